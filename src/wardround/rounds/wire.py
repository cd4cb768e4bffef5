"""Reads the fields and blobs of messages, whose other end is not trusted to be well formed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from wardround.core.codec import Message
from wardround.errors import WireError
from wardround.rounds.checks import shown


def tensor_of(data: bytes) -> np.ndarray:
    """Return bytes as a uint8 array, which a message carries."""
    return np.frombuffer(data, np.uint8)


def bytes_of(message: Message, name: str) -> bytes:
    """Return a blob of a message.

    Raises:
        WireError: there is none of that name.
    """
    found = message.tensors.get(name)
    if found is None or found.dtype != np.uint8 or found.ndim != 1:
        raise WireError(f"the message carries no bytes called {name!r}")
    return found.tobytes()


def number_of(message: Message, name: str, largest: int = 2**31) -> int:
    """Return a count of a message.

    Raises:
        WireError: it is missing, no whole number, negative or above `largest`.
    """
    value = message.fields.get(name)
    if type(value) is not int or not 0 <= value <= largest:
        raise WireError(f"the message's {name} is {shown(value)}, which is no whole number from 0 to {largest}")
    return value


def names_of(message: Message, name: str) -> tuple[str, ...]:
    """Return a list of site names, sorted and each there once.

    Raises:
        WireError: it is none.
    """
    value = message.fields.get(name)
    if not isinstance(value, list) or not all(isinstance(site, str) for site in value):
        raise WireError(f"the message's {name} is {shown(value)}, which is no list of names")
    if list(value) != sorted(set(value)):
        raise WireError(f"the message's {name} are not sorted, or name a site twice")
    return tuple(value)


def weights_in(message: Message, most: int) -> Mapping[str, int]:
    """Return site -> integer weight.

    Raises:
        WireError: they are no weights, or sum to more than `most`.
    """
    value: Any = message.fields.get("weights")
    if not isinstance(value, dict) or not value:
        raise WireError(f"the message's weights are {shown(value)}, which is no table of weights")
    if not all(type(weight) is int and weight > 0 for weight in value.values()) or sum(value.values()) > most:
        raise WireError(f"the message's weights are not whole numbers above 0 whose sum is at most {most}")
    return value
