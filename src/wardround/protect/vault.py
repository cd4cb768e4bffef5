"""Secrets on a site's own disk, encrypted under a passphrase."""

from __future__ import annotations

import getpass
import hmac
import os
import re
import sys
from functools import cached_property, partial
from pathlib import Path

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from wardround.errors import TrustError
from wardround.protect.boxes import KEY_BYTES, derived, open_box, seal_box
from wardround.protect.octets import joined
from wardround.protect.private_files import make_private_folder, read_own, write_private

IN_ENVIRONMENT = "WARDROUND_PASSPHRASE_FILE"
MIN_PASSPHRASE = 12
MAX_PASSPHRASE_BYTES = 1024
MAX_FILE_BYTES = 2**30

LOG2_COST = 17
"""scrypt with N = 2^17, r = 8, p = 1: 128 MiB and a quarter of a second for each guess."""

_COSTS = range(15, 21)
_SALT_BYTES = 16
_CHECK_BYTES = 32
_HEADER = b"WRVH\x01"
_FILE = b"WRVF\x01"
_HEADER_NAME, _STUDY_NAME = "vault.salt", "simulation.key"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Vault:
    """Named secrets in one folder: encrypted and authenticated files of mode 0600 in a folder of mode 0700.

    The key comes from the passphrase by scrypt (RFC 7914) with a salt of the folder's own, once for each `Vault`, when
    it is first needed. Each file is sealed with AES-256-GCM together with its name, so files cannot be altered or
    renamed. Older copies of a file can still be put back in its place: whoever writes to the disk can do that.

    Attributes:
        folder: made on the first write.
    """

    def __init__(self, folder: Path, passphrase: bytes, log2_cost: int = LOG2_COST) -> None:
        self.folder = folder
        self._make_key = partial(_from_passphrase, folder, passphrase, log2_cost)

    @classmethod
    def for_study(cls, folder: Path) -> Vault:
        """Return a vault whose key lies beside it: for simulations, where one user is every site.

        It protects nothing against that user, nor against whoever reads that user's files. What it keeps is that a
        study runs the same code as a deployment.
        """
        vault = cls(folder, b"")
        vault._make_key = partial(_from_study_file, folder)
        return vault

    def __repr__(self) -> str:
        return f"Vault({str(self.folder)!r})"

    def holds(self, name: str) -> bool:
        """Whether a secret of this name is there; it need not be legible."""
        return self._path(name).exists()

    def names(self) -> tuple[str, ...]:
        """Names of the secrets that are there, sorted."""
        found = (path.name.removesuffix(".sealed") for path in self.folder.glob("*.sealed"))
        return tuple(sorted(name for name in found if _NAME.fullmatch(name)))

    def write(self, name: str, content: bytes, sync: bool = True) -> None:
        """Keep `content` under `name`, replacing what was there; a crash leaves the one or the other.

        Args:
            name: of the secret.
            content: all of it.
            sync: wait until it is on the disk; see `core.files.write_atomically`.

        Raises:
            ValueError: `name` is not 1 to 128 letters, digits, ``.``, ``_`` and ``-``.
            TrustError: the passphrase is not the vault's, or too short to begin a vault with.
            OSError: the disk refuses.
        """
        path, box = self._path(name), seal_box(self._key, content, self._bound_to(name))
        make_private_folder(self.folder)
        write_private(path, _FILE + box, sync=sync)

    def read(self, name: str) -> bytes:
        """Return the secret kept under `name`.

        Raises:
            ValueError: `name` is not 1 to 128 letters, digits, ``.``, ``_`` and ``-``.
            TrustError: it is missing or damaged, or the passphrase is not the vault's.
        """
        path = self._path(name)
        data = read_own(path, MAX_FILE_BYTES)
        content = open_box(self._key, data[len(_FILE) :], self._bound_to(name)) if data.startswith(_FILE) else None
        if content is None:
            raise TrustError(f"{path} is damaged, renamed or of another vault: put back the copy that you keep of it")
        return content

    def forget(self, name: str) -> None:
        """Delete the secret kept under `name`, if there is one."""
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name for a secret")
        return self.folder / f"{name}.sealed"

    @staticmethod
    def _bound_to(name: str) -> bytes:
        return joined("vault file", _FILE, name.encode())

    @cached_property
    def _key(self) -> bytes:
        return self._make_key()


def passphrase_from_environment(new: bool = False) -> bytes:
    """Return the passphrase from the file that WARDROUND_PASSPHRASE_FILE names, else from a prompt on the terminal.

    Args:
        new: ask twice, and refuse one that is too short to begin a vault with.

    Raises:
        TrustError: there is neither, or the file may be read by others.
    """
    path = os.environ.get(IN_ENVIRONMENT)
    if path:
        passphrase = _from_passphrase_file(Path(path))
    elif sys.stdin is not None and sys.stdin.isatty():
        passphrase = _prompted(new)
    else:
        raise TrustError(
            f"the site's keys need their passphrase and there is no terminal to ask on: "
            f"set {IN_ENVIRONMENT} to a file of mode 0600 that holds it"
        )
    if not passphrase:
        raise TrustError("the passphrase is empty: give the one that was chosen at wardround keys new")
    if new:
        check_passphrase(passphrase)
    return passphrase


def _from_passphrase_file(path: Path) -> bytes:
    why = f"others can read this passphrase; chmod 600 {path}"
    content = read_own(path, MAX_PASSPHRASE_BYTES, forbidden=0o077, why=why)
    return content.removesuffix(b"\n").removesuffix(b"\r")


def _prompted(twice: bool) -> bytes:
    try:
        passphrase = getpass.getpass("Passphrase of this site's keys: ")
        if twice and getpass.getpass("The same again: ") != passphrase:
            raise TrustError("the two passphrases differ: try again")
    except EOFError:
        raise TrustError("no passphrase was given") from None
    return passphrase.encode("utf-8", "surrogateescape")


def check_passphrase(passphrase: bytes) -> None:
    """Refuse a passphrase that is too short to begin a vault with.

    Raises:
        TrustError: it has fewer than `MIN_PASSPHRASE` characters.
    """
    letters = len(passphrase.decode("utf-8", "replace"))
    if letters < MIN_PASSPHRASE:
        raise TrustError(f"a passphrase of {letters} characters is too short: take {MIN_PASSPHRASE} or more")


def _from_passphrase(folder: Path, passphrase: bytes, log2_cost: int) -> bytes:
    path = folder / _HEADER_NAME
    if not path.exists():
        if any(folder.glob("*.sealed")):
            raise TrustError(f"{path} is missing, and nothing beside it opens without it: put back your copy")
        check_passphrase(passphrase)
        _begin(path, passphrase, log2_cost)
    header = read_own(path, len(_HEADER) + 1 + _SALT_BYTES + _CHECK_BYTES)
    start, cost, check = header[: len(_HEADER)], header[len(_HEADER) : len(_HEADER) + 1], header[-_CHECK_BYTES:]
    salt = header[len(_HEADER) + 1 : -_CHECK_BYTES]
    # Bounded, because the file decides how much memory the next line takes and how cheap a guess is.
    if start != _HEADER or len(salt) != _SALT_BYTES or cost[0] not in _COSTS:
        raise TrustError(f"{path} is damaged: put back the copy that you keep of it")
    root = _stretched(passphrase, salt, cost[0])
    if not hmac.compare_digest(check, derived(root, "vault check", cost, salt)):
        raise TrustError(f"the passphrase is not the one of {folder}")
    return derived(root, "vault key")


def _begin(path: Path, passphrase: bytes, log2_cost: int) -> None:
    salt, cost = os.urandom(_SALT_BYTES), bytes([log2_cost])
    check = derived(_stretched(passphrase, salt, log2_cost), "vault check", cost, salt)
    make_private_folder(path.parent)
    write_private(path, _HEADER + cost + salt + check, replace=False)


def _stretched(passphrase: bytes, salt: bytes, log2_cost: int) -> bytes:
    return Scrypt(salt=salt, length=KEY_BYTES, n=2**log2_cost, r=8, p=1).derive(passphrase)


def _from_study_file(folder: Path) -> bytes:
    path = folder / _STUDY_NAME
    if not path.exists():
        make_private_folder(folder)
        write_private(path, os.urandom(KEY_BYTES), replace=False)
    root = read_own(path, KEY_BYTES)
    if len(root) != KEY_BYTES:
        raise TrustError(f"{path} is damaged: delete the run folder and start the simulation again")
    return derived(root, "vault key")
