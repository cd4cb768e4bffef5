"""The five-key plan: the configuration that a published system is run with."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from wardround.errors import PlanError

FIVE_KEYS = ("rounds", "clients_per_round", "learning_rate", "dp_epsilon", "he_precision")

PROTECTIONS = {"dp_epsilon": "differential privacy"}
"""Keys that need a protection, which this version does not have yet."""

PRECISION_BITS = (4, 32)


def from_five_keys(table: Mapping[str, Any]) -> dict[str, Any]:
    """Translate the five keys; everything else takes the documented defaults.

    Defaults: the embedded slide, four sites, the small CNN, FedAvg with one local pass per round, batches of 32.
    ``he_precision`` is the bits of one value: updates are clipped to norm 10, quantised, masked and encrypted in the
    packed scheme, and the sites open the sum.

    Returns:
        The tables of a plan, as `spec.parse` takes them.

    Raises:
        PlanError: a key is unknown, or needs a protection that is not there: it is refused, never ignored.
    """
    for key in table:
        if key not in FIVE_KEYS:
            close = difflib.get_close_matches(key, FIVE_KEYS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"the keys are {', '.join(FIVE_KEYS)}"
            raise PlanError(f"{key} is no key of the five-key plan: {hint}")
    for key, protection in PROTECTIONS.items():
        if table.get(key) is not None:
            raise PlanError(
                f"{key} = {table[key]!r} asks for {protection}, which this version does not have yet: "
                f"remove {key} to train without it"
            )
    for key, kinds in (("rounds", (int,)), ("clients_per_round", (int,)), ("learning_rate", (int, float))):
        if key in table and type(table[key]) not in kinds:
            raise PlanError(f"{key} = {table[key]!r} is no {'number' if float in kinds else 'whole number'}")
    plan: dict[str, Any] = {"data": {"source": "slide"}, "training": {"momentum": 0.9}}
    if "rounds" in table:
        plan["rounds"] = table["rounds"]
    if "clients_per_round" in table:
        plan["sites_per_round"] = table["clients_per_round"]
    if "learning_rate" in table:
        plan["training"]["learning_rate"] = table["learning_rate"]
    if table.get("he_precision") is not None:
        plan["protect"] = _encrypted(table["he_precision"])
    return plan


def _encrypted(bits: Any) -> list[dict[str, Any]]:
    least, most = PRECISION_BITS
    if type(bits) is not int or not least <= bits <= most:
        raise PlanError(f"he_precision = {bits!r} is no whole number of bits from {least} to {most}")
    return [
        {"stage": "clip", "norm": 10.0},
        {"stage": "quantise", "bits": bits},
        {"stage": "masks"},
        {"stage": "homomorphic", "scheme": "packed"},
    ]
