"""Files that nobody but their owner reads: mode 0600 in folders of mode 0700, whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from wardround.errors import TrustError


def make_private_folder(folder: Path) -> None:
    """Make `folder` if need be; it ends with mode 0700.

    Raises:
        TrustError: it cannot be made, or belongs to somebody else.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_mode & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise TrustError(f"{folder} cannot be made a private folder ({error.strerror}): choose another") from None


def write_private(path: Path, content: bytes, replace: bool = True, sync: bool = True) -> bool:
    """Write `content` with mode 0600 from the first byte on; a crash leaves the old file or the new one.

    Args:
        path: of the file.
        content: all of it.
        replace: whether a file that is there may be replaced.
        sync: wait until it is on the disk.

    Returns:
        Whether the file was written; False leaves the one that was there, also when another process made it meanwhile.

    Raises:
        OSError: the disk refuses.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    opened = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        with os.fdopen(opened, "wb") as file:
            file.write(content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        if replace:
            os.replace(partial, path)
            return True
        try:
            os.link(partial, path)
        except FileExistsError:
            return False
        return True
    finally:
        partial.unlink(missing_ok=True)


def read_own(path: Path, max_bytes: int, forbidden: int = 0, why: str = "") -> bytes:
    """Read a file of this site's own disk.

    Args:
        path: of the file.
        max_bytes: longest file that is read.
        forbidden: permission bits that it must not have.
        why: what is wrong with them, and the way out; ends the sentence.

    Raises:
        TrustError: it is missing, cannot be read, is too long or has a forbidden permission.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(max_bytes + 1)
    except OSError as error:
        raise TrustError(f"{path} cannot be read: {error.strerror}") from None
    if mode & forbidden:
        raise TrustError(f"{path} has mode {mode & 0o777:04o}: {why}")
    if len(content) > max_bytes:
        raise TrustError(f"{path} is longer than {max_bytes} bytes: it is not what it should be")
    return content
