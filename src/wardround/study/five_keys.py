"""The five-key plan: the configuration that a published system is run with."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import Any

from wardround.errors import PlanError
from wardround.protect.attempt import default_threshold

FIVE_KEYS = ("rounds", "clients_per_round", "learning_rate", "dp_epsilon", "he_precision")

PRECISION_BITS = (4, 32)
SLIDE_SITES = 4
DELTA = 1e-5
SAMPLING_RATE = 0.1
EXPECTED_UNITS = 200.0
"""A tenth of the embedded slide's images at three sites, roughly; sums of gradients are divided by it."""
SUM_NORM = 128.0
"""Of one site's sum of clipped gradients: more than a tenth of its images can make together."""


def from_five_keys(table: Mapping[str, Any]) -> dict[str, Any]:
    """Translate the five keys; everything else takes the documented defaults.

    Defaults: the embedded slide, four sites, the small CNN, FedAvg with one local pass per round, batches of 32.
    ``he_precision`` is the bits of one value: updates are clipped to norm 10, quantised, masked and encrypted in the
    packed scheme, and the sites open the sum. ``dp_epsilon`` is the epsilon of the whole run for each image, at delta
    1e-5, by DP-SGD: one step a round, whose noise is added once to the sealed sum where ``he_precision`` is given, by
    each site in full where it is not.

    Returns:
        The tables of a plan, as `spec.parse` takes them.

    Raises:
        PlanError: a key is unknown, or its value is none.
    """
    for key in table:
        if key not in FIVE_KEYS:
            close = difflib.get_close_matches(key, FIVE_KEYS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"the keys are {', '.join(FIVE_KEYS)}"
            raise PlanError(f"{key} is no key of the five-key plan: {hint}")
    numbers = (int, float)
    for key, kinds in (("rounds", (int,)), ("clients_per_round", (int,)), ("learning_rate", numbers)):
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
    if table.get("dp_epsilon") is not None:
        plan |= _private(plan, table["dp_epsilon"])
    return plan


def _private(plan: Mapping[str, Any], epsilon: Any) -> dict[str, Any]:
    """Return the tables that differ under differential privacy."""
    if type(epsilon) not in (int, float) or not 0 < epsilon < math.inf:
        raise PlanError(f"dp_epsilon = {epsilon!r} is no positive number")
    sealed = plan.get("protect", [])
    algorithm = {"name": "dpsgd", "sampling_rate": SAMPLING_RATE, "noise": "sum"}
    changed: dict[str, Any] = {
        "aggregator": {"weighting": "uniform"},
        "privacy": {"unit": "image", "epsilon": float(epsilon), "delta": DELTA},
        "algorithm": {**algorithm, "expected_units": EXPECTED_UNITS},
        # A published rate of a thousandth is Adam's; noise as large as the gradient needs a step that it cannot swell.
        "server": {"name": "adam", "learning_rate": float(plan["training"].get("learning_rate", 0.001)), "tau": 1e-6},
        "training": {"learning_rate": 1.0},
    }
    if sealed:
        changed["protect"] = _noisy(sealed, plan.get("sites_per_round") or SLIDE_SITES)
    else:
        changed["protect"] = [{"stage": "noise"}]
    return changed


def _noisy(sealed: list[dict[str, Any]], sites: int) -> list[dict[str, Any]]:
    """Put shares of noise between the integers and the masks."""
    _, quantise, _, encryption = sealed
    return [
        {"stage": "clip", "norm": SUM_NORM},
        quantise,
        {"stage": "noise", "mechanism": "discrete_gaussian"},
        {"stage": "masks", "threshold": default_threshold(sites, 0)},
        encryption,
    ]


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
