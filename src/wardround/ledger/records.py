"""Records: small JSON objects of a kind and a version that can be written in one way only.

An entry of the log, a proof in a file and what a witness remembers are all records. Whatever is wrong with the bytes
of one, reading it raises `LedgerError` and nothing else, and bytes that were read are the bytes that writing gives.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, Self, TypeVar, get_type_hints

from wardround.core.codec import canonical_json
from wardround.core.names import MAX_NAME_BYTES, is_site_name
from wardround.errors import LedgerError

MAX_SITES = 10_000
MAX_WHOLE = 2**53 - 1
"""Largest whole number in a record: the largest that every reader of JSON keeps exactly."""

R = TypeVar("R", bound="Record")

_HEX = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Rule:
    """What a field may hold, and how it stands in JSON.

    Attributes:
        says: what it may hold, in words that complete "it is not …".
        allows: whether a value is that.
        write: value -> JSON value.
        read: JSON value -> value; anything that `allows` refuses where there is none.
    """

    says: str
    allows: Callable[[Any], bool]
    write: Callable[[Any], Any] = lambda value: value
    read: Callable[[Any], Any] = lambda value: value


def text(max_bytes: int, empty: bool = False) -> Rule:
    """Return the rule of printable text."""
    says = f"printable text of {0 if empty else 1} to {max_bytes} bytes"
    return Rule(says, lambda value: (empty or value != "") and is_text(value, max_bytes))


def number(least: float = 0, most: float = MAX_WHOLE) -> Rule:
    """Return the rule of a finite number between two bounds; a whole one is written without a point."""

    def allows(value: object) -> bool:
        return isinstance(value, int | float) and type(value) is not bool and least <= value <= most

    return Rule(f"a number from {least} to {most}", allows, lambda value: int(value) if value == int(value) else value)


def optional(rule: Rule) -> Rule:
    """Return the rule of what `rule` allows, or ``None``."""
    return Rule(
        f"{rule.says}, or nothing",
        lambda value: value is None or rule.allows(value),
        lambda value: None if value is None else rule.write(value),
        lambda value: None if value is None else rule.read(value),
    )


def listed(rule: Rule, most: int) -> Rule:
    """Return the rule of a tuple of at most `most` values that `rule` allows."""
    return Rule(
        f"a list of at most {most} values, each of them {rule.says}",
        lambda value: type(value) is tuple and len(value) <= most and all(map(rule.allows, value)),
        lambda value: [rule.write(one) for one in value],
        lambda value: tuple(map(rule.read, value)) if type(value) is list else None,
    )


def named(names: Rule, rule: Rule, most: int) -> Rule:
    """Return the rule of a mapping of 1 to `most` names to values that `rule` allows, and that JSON has as they are."""

    def allows(value: object) -> bool:
        if not isinstance(value, Mapping) or not 1 <= len(value) <= most:
            return False
        return all(map(names.allows, value)) and all(map(rule.allows, value.values()))

    return Rule(f"1 to {most} names, each with {rule.says}", allows, dict)


def is_text(value: object, max_bytes: int) -> bool:
    """Whether `value` is a string of printable characters and at most `max_bytes` bytes."""
    return isinstance(value, str) and value.isprintable() and len(value.encode()) <= max_bytes


WHOLE = Rule("a whole number below 2^53", lambda value: type(value) is int and 0 <= value <= MAX_WHOLE)
DIGEST = Rule("64 lowercase hexadecimal digits", lambda value: isinstance(value, str) and bool(_HEX.fullmatch(value)))
HASH = Rule(
    "32 bytes in hexadecimal digits",
    lambda value: type(value) is bytes and len(value) == 32,
    bytes.hex,
    lambda value: bytes.fromhex(value) if DIGEST.allows(value) else None,
)
SITE = Rule(f"a site's name, which is printable text of 1 to {MAX_NAME_BYTES} bytes", is_site_name)

Whole = Annotated[int, WHOLE]
Digest = Annotated[str, DIGEST]
Hash = Annotated[bytes, HASH]
SiteName = Annotated[str, SITE]


@dataclass(frozen=True)
class Record:
    """Base of all records; a subclass is a frozen dataclass whose every field is annotated with its `Rule`.

    Attributes:
        kind: what stands in the bytes for the class; unique.
        version: of the kind; another one is refused.
        what: the record in words, the subject of every refusal.
        max_bytes: longest record that is read or written.
    """

    kind: ClassVar[str]
    version: ClassVar[int] = 1
    what: ClassVar[str]
    max_bytes: ClassVar[int] = 2**17

    def __post_init__(self) -> None:
        for name, rule in _rules(type(self)).items():
            if not rule.allows(getattr(self, name)):
                raise LedgerError(f"{self.what} is not legal: its {name.replace('_', ' ')} is not {rule.says}")
        self.require()

    def require(self) -> None:
        """Refuse fields that are legal alone and not together, with a `LedgerError`."""

    def to_bytes(self) -> bytes:
        """Write the record.

        Raises:
            LedgerError: it is longer than a record of this kind may be.
        """
        values = {name: rule.write(getattr(self, name)) for name, rule in _rules(type(self)).items()}
        data = canonical_json({"kind": self.kind, "version": self.version, **values})
        if len(data) > self.max_bytes:
            raise LedgerError(f"{self.what} takes {len(data)} bytes, more than the limit of {self.max_bytes}")
        return data

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote.

        Raises:
            LedgerError: the bytes are not such a record, or not as `to_bytes` writes it.
        """
        return read_record(data, {cls.kind: cls}, cls.what, cls.max_bytes)


def read_record(data: bytes, kinds: Mapping[str, type[R]], what: str, max_bytes: int) -> R:
    """Read a record of one of several kinds.

    Args:
        data: bytes from outside.
        kinds: kind -> class.
        what: the record in words, the subject of every refusal.
        max_bytes: longest record that is looked at.

    Raises:
        LedgerError: the bytes are none of these records, or not as `Record.to_bytes` writes it.
    """
    values = _read_object(data, what, max_bytes)
    kind, version = values.pop("kind", None), values.pop("version", None)
    found = kinds.get(kind) if isinstance(kind, str) else None
    if found is None or version != found.version:
        raise LedgerError(f"{what} is of a kind or version that this installation does not read")
    rules = _rules(found)
    if set(values) != set(rules):
        raise LedgerError(f"{found.what} lacks a field, or has one that it should not have")
    record = found(**{name: rules[name].read(value) for name, value in values.items()})
    if record.to_bytes() != data:
        raise LedgerError(f"{found.what} is not written in the one way in which it may be")
    return record


def _rules(record: type[Record]) -> Mapping[str, Rule]:
    if record not in _KNOWN_RULES:
        hints = get_type_hints(record, include_extras=True)
        _KNOWN_RULES[record] = {one.name: hints[one.name].__metadata__[0] for one in fields(record)}
    return _KNOWN_RULES[record]


_KNOWN_RULES: dict[type[Record], Mapping[str, Rule]] = {}


def _read_object(data: bytes, what: str, max_bytes: int) -> dict[str, Any]:
    if type(data) is not bytes:
        raise LedgerError(f"{what} is no bytes")
    if len(data) > max_bytes:
        raise LedgerError(f"{what} has {len(data)} bytes, more than the limit of {max_bytes}")
    try:
        values = json.loads(data.decode())
    except (ValueError, RecursionError):
        raise LedgerError(f"{what} is not JSON") from None
    if not isinstance(values, dict):
        raise LedgerError(f"{what} is not a JSON object")
    return values
