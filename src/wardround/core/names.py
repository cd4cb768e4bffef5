"""What a site may be called, in keys, messages and ledgers alike."""

from __future__ import annotations

MAX_NAME_BYTES = 128


def is_site_name(name: object) -> bool:
    """Whether `name` is 1 to 128 bytes of printable characters."""
    if not isinstance(name, str) or not name.isprintable():
        return False
    return 0 < len(name.encode("utf-8", "surrogatepass")) <= MAX_NAME_BYTES
