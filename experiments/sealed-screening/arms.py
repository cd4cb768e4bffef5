"""The plans that are compared: what is sealed, and who may judge what x attacks x ways of dealing HAM10000."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "robust-classification"))

from rows import PROBE, VICTIMS, plan_of

from wardround.rounds.plan import Plan
from wardround.study.spec import parse, to_table

MASKED = [
    # Far beyond any update here: malicious sites of a simulation would clip, too, and real ones need not.
    {"stage": "clip", "norm": 100.0},
    {"stage": "quantise", "bits": 16, "floor": 4.0},
    {"stage": "masks"},
]
PAIRS = {"size": 2}


@dataclass(frozen=True)
class Hospitals:
    """How HAM10000 is dealt.

    Attributes:
        by: the rule.
        sites: how many.
        malicious: those that attack, where there is an attack.
    """

    by: str
    sites: int
    malicious: tuple[str, ...]

    @property
    def name(self) -> str:
        """As the tables have it."""
        return f"{self.by}, {self.sites} sites, {len(self.malicious)} malicious"

    @property
    def table(self) -> dict[str, Any]:
        """``[data.sites]``."""
        return {"by": self.by, "sites": self.sites, **({"alpha": 0.3} if self.by == "dirichlet" else {})}


EIGHT = Hospitals("iid", 8, ("site-2", "site-5"))
EIGHT_ONE = Hospitals("iid", 8, ("site-2",))
SIXTEEN = Hospitals("iid", 16, ("site-02", "site-05", "site-09"))
UNLIKE = Hospitals("dirichlet", 16, ("site-02", "site-05", "site-09"))

SEALED: dict[str, dict[str, Any]] = {
    "sealed, one sum": {"protect": MASKED},
    "sealed, groups, clip": {"protect": MASKED, "groups": PAIRS, "screen": [{"name": "clip_norms"}]},
    "sealed, groups, evidence": {"protect": MASKED, "groups": PAIRS, "screen": [{"name": "group_evidence"}]},
}
OPEN: dict[str, dict[str, Any]] = {
    "open, mean": {},
    "open, clip": {"screen": [{"name": "clip_norms"}]},
    "open, e-detector": {"screen": [{"name": "e_detector"}], "probe": PROBE},
}
ARMS = {**SEALED, **OPEN}


def attacks(malicious: tuple[str, ...]) -> dict[str, list[dict[str, Any]]]:
    """Return what malicious sites do: all teach nevi as melanomas."""
    flip = {"kind": "label_flip", "sites": list(malicious), **VICTIMS}
    return {
        "benign": [],
        "flip": [flip],
        "x5, lying": [
            flip,
            {"kind": "scale", "sites": list(malicious), "times": 5.0},
            {"kind": "lie", "sites": list(malicious)},
        ],
    }


def plan_for(dealt: Hospitals, attack: str, arm: str, seed: int) -> Plan:
    """Return one run's plan: that of the other experiment, but for who is there and what is sealed."""
    table = to_table(plan_of("iid", "benign", "mean", seed))
    chosen = {
        "name": "sealed-screening",
        "data": {**table["data"], "sites": dealt.table},
        "screen": [],
        "ledger": {"cosign": "nobody"},  # it costs the same whatever is judged
        **ARMS[arm],
        "attack": attacks(dealt.malicious)[attack],
    }
    return parse({key: value for key, value in {**table, **chosen}.items() if value != []})
