"""The plans that are compared: defences x attacks x ways of dealing HAM10000 to sites."""

from __future__ import annotations

from typing import Any

from wardround.rounds.plan import Plan
from wardround.study.spec import parse

ROUNDS = 16
RATE = 0.5
SEEDS = (51, 52, 53)
CALIBRATION_SEEDS = tuple(range(101, 109))
CALIBRATION = "other classes"
SITES: dict[str, tuple[str, ...]] = {
    "iid": ("site-2", "site-5"),
    "dirichlet": ("site-2", "site-5"),
    "real": ("rosendahl",),
}
"""Way of dealing -> malicious sites: two of eight, or one of the four that there are; the first where one attacks."""
DEALT: dict[str, dict[str, Any]] = {
    "iid": {"by": "iid", "sites": 8},
    "dirichlet": {"by": "dirichlet", "sites": 8, "alpha": 0.3},
    "real": {"by": "natural"},
}
VICTIMS = {"source": "nv", "target": "mel"}
OTHER_VICTIMS = {"source": "nv", "target": "bkl"}
"""Nevi taught as keratoses: the attack on which the e-detector's settings were chosen, and no row of a table."""
UNIFORM = {"weighting": "uniform"}
PROBE = {"share": 0.05}


def defences(count: int) -> dict[str, dict[str, Any]]:
    """Return what is compared, for rounds in which up to `count` sites attack: those that ask for it are told."""
    return {
        "mean": {},
        "clip norms": {"screen": [{"name": "clip_norms"}]},
        "median": {"aggregator": {"name": "median"}},
        "trimmed mean": {"aggregator": {"name": "trimmed_mean", "trim": count}},
        "geometric median": {"aggregator": {"name": "geometric_median"}},
        "krum": {"aggregator": {"name": "krum", "malicious": count}},
        "multi-krum": {"aggregator": {"name": "multi_krum", "malicious": count}},
        "centred clipping": {"screen": [{"name": "centred_clipping"}]},
        "mixing, median": {
            "screen": [{"name": "nearest_neighbour_mixing", "malicious": count}],
            "aggregator": {"name": "median"},
        },
        "mixing untold, median": {
            "screen": [{"name": "nearest_neighbour_mixing"}],
            "aggregator": {"name": "median"},
        },
        "FoolsGold": {"screen": [{"name": "foolsgold"}]},
        "FLTrust": {"screen": [{"name": "fltrust"}], "probe": PROBE},
        "FLAME": {"screen": [{"name": "flame"}]},
        "AlignIns": {"screen": [{"name": "alignins"}]},
        "FedDetect": {"screen": [{"name": "feddetect"}]},
        "FedDetect, calibrated": {"screen": [{"name": "calibrated_feddetect"}]},
        "e-detector": {"screen": [{"name": "e_detector"}], "probe": PROBE},
    }


def attacks(by: str) -> dict[str, list[dict[str, Any]]]:
    """Return what malicious sites do: nevi, or marked images, are taught as melanomas.

    One site replaces the model, on equal sites only.
    """
    pair, one = list(SITES[by]), list(SITES[by][:1])
    replacement = [
        {"kind": "label_flip", "sites": one, **VICTIMS},
        {"kind": "scale", "sites": one, "times": 10.0},
    ]
    return {
        "benign": [],
        "flip": [{"kind": "label_flip", "sites": pair, **VICTIMS}],
        **({"replacement": replacement} if by == "iid" else {}),
        "x5, lying": [
            {"kind": "label_flip", "sites": pair, **VICTIMS},
            {"kind": "scale", "sites": pair, "times": 5.0},
            {"kind": "lie", "sites": pair},
        ],
        "trigger": [
            {"kind": "trigger", "sites": pair, "target": VICTIMS["target"]},
            {"kind": "scale", "sites": pair, "times": 5.0},
            {"kind": "lie", "sites": pair},
        ],
    }


def calibration_attack(by: str) -> list[dict[str, Any]]:
    """Return the attack on which settings were chosen."""
    pair = list(SITES[by])
    return [
        {"kind": "label_flip", "sites": pair, **OTHER_VICTIMS},
        {"kind": "scale", "sites": pair, "times": 4.0},
    ]


def plan_of(by: str, attack: str, defence: str, seed: int) -> Plan:
    """Return one run's plan; the seed is that of training and of the split."""
    chosen = defences(len(SITES[by]))[defence]
    aggregator = chosen.get("aggregator", {"name": "mean", **UNIFORM})
    table: dict[str, Any] = {
        "name": "robust",
        "seed": seed,
        "rounds": ROUNDS,
        "quorum": 1,  # a screen may leave out as many as it likes
        "data": {"source": "ham10000", "size_px": 32, "split_seed": seed, "sites": DEALT[by]},
        "model": {"name": "scattering", "order": 1, "scale": 10.0},
        "training": {"steps": 5, "batch_size": 64, "learning_rate": RATE, "schedule": "cosine", "precision": "float32"},
        "evaluation": {"every": 0, "bootstrap": 0},
        **chosen,
        "aggregator": aggregator,
        "attack": calibration_attack(by) if attack == CALIBRATION else attacks(by)[attack],
    }
    return parse({key: value for key, value in table.items() if value != []})
