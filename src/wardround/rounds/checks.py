"""What the coordinator checks in a site's words and tensors before it believes them."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from wardround.core.update import Tensors, all_finite, is_vote
from wardround.errors import RunError, WireError

MOST_EXAMPLES = 10**9
"""Images that one site may claim; a larger number would drown every other site's."""


def shown(value: Any) -> str:
    """Return `value` as text for an error: a few words of it, whatever its length."""
    return reprlib.repr(value)


def check_facts(site: str, facts: Mapping[str, Any]) -> None:
    """Check what a site says of itself when it joins.

    Raises:
        RunError: a fact is missing or of the wrong kind.
    """
    for key in ("num_train", "num_val", "num_test", "channels"):
        if type(facts.get(key)) is not int or not 0 <= facts[key] <= MOST_EXAMPLES:
            raise RunError(f"site {site} could not join: its {key} is {shown(facts.get(key))}, which is no count")
    for key in ("classes", "malignant"):
        names = facts.get(key)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise RunError(f"site {site} could not join: its {key} is {shown(names)}, which is no list of names")
    held = facts.get("trains_class")
    if not isinstance(held, list) or len(held) != len(facts["classes"]) or not all(type(has) is bool for has in held):
        raise RunError(f"site {site} could not join: its trains_class is {shown(held)}, not one bool for each class")
    counts = facts.get("label_counts", [])
    if not isinstance(counts, list) or not all(type(count) is int for count in counts):
        raise RunError(f"site {site} could not join: its label_counts is {shown(counts)}, which is no list of counts")


def check_against(tensors: Tensors, template: Tensors) -> None:
    """Check that a site's update has the template's names, shapes and dtypes, and only finite values.

    Raises:
        WireError: it has not.
    """
    if tensors.keys() != template.keys():
        strange = sorted(tensors.keys() ^ template.keys())[0]
        raise WireError(f"the update and the broadcast differ in tensor {strange!r}")
    for name, expected in template.items():
        found = tensors[name]
        if found.shape != expected.shape or found.dtype != expected.dtype:
            raise WireError(f"tensor {name!r} is {found.dtype} {found.shape}, not {expected.dtype} {expected.shape}")
    if not all_finite(tensors.values()):
        raise WireError("the update holds a NaN or an infinity")
    if not all(np.isin(value, (-1, 0, 1)).all() for name, value in tensors.items() if is_vote(name)):
        raise WireError("the update votes with other numbers than -1, 0 and 1")
