"""The plans that are compared: defences x attacks x ways of dealing images to sites, on a bed of small generators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wardround.rounds.plan import Plan
from wardround.study.spec import parse

SIZE_PX, ROUNDS, STEPS, SITES = 16, 12, 5, 8
START_STEPS, START_SEED = 1600, 5
SEEDS = (71, 72, 73)
CALIBRATION_SEEDS = (902, 903, 904)
DATA: dict[str, dict[str, Any]] = {
    "pneumonia": {"source": "medmnist", "dataset": "pneumoniamnist", "size_px": SIZE_PX},
    "ham10000": {"source": "ham10000", "size_px": SIZE_PX},
}
REAL = ("rosendahl", "vidir_modern", "vidir_molemax", "vienna_dias")
MODEL = {"name": "dcgan", "size_px": SIZE_PX, "width": 16, "latent": 32}
PROBE = {"share": 0.05}
OURS, PLAIN, ORACLE = "generator e-detector", "mean", "oracle"


@dataclass(frozen=True)
class Dealt:
    """A way of dealing images, and how much is trained between rounds.

    Attributes:
        data: key of `DATA`.
        sites: ``[data.sites]``.
        culprits: the malicious sites; the first where one attacks.
        steps: of each site in a round.
    """

    data: str
    sites: dict[str, Any]
    culprits: tuple[str, ...]
    steps: int = STEPS


def iid(count: int, steps: int = STEPS) -> Dealt:
    """Return equal sites, a quarter of them malicious."""
    culprits = tuple(f"site-{2 + 3 * n}" for n in range(count // 4))
    return Dealt("pneumonia", {"by": "iid", "sites": count}, culprits, steps)


DEALT: dict[str, Dealt] = {
    "iid": iid(SITES),
    "dirichlet": Dealt("pneumonia", {"by": "dirichlet", "sites": SITES, "alpha": 0.3}, ("site-2", "site-5")),
    "real": Dealt("ham10000", {"by": "natural"}, ("rosendahl",)),
    "iid, 4": iid(4),
    "iid, 20": iid(20),
    "iid, 4, short": iid(4, steps=2),
}
MARK = {"pattern": "white", "size_px": 4, "margin_px": 1}
UNSEEN: dict[str, dict[str, Any]] = {
    "x3, noise": {"pattern": "noise"},
    "x3, sinusoid": {"pattern": "sinusoid"},
    "x3, low frequency": {"pattern": "low_frequency", "opacity": 0.3},
    "x3, blended": {"opacity": 0.5},
}
"""Marks unlike the white square, of 3 pixels, against which the detector's settings were chosen."""


def trigger(sites: tuple[str, ...], **changes: Any) -> dict[str, Any]:
    """Return the ``[[attack]]`` that marks images."""
    return {"kind": "image_trigger", "sites": list(sites), **MARK, **changes}


def scaled(sites: tuple[str, ...], times: float = 3.0) -> dict[str, Any]:
    """Return the ``[[attack]]`` that lengthens updates."""
    return {"kind": "scale", "sites": list(sites), "times": times}


HARM: dict[str, tuple[dict[str, Any], float]] = {
    "white, 4 px, x1": ({}, 1.0),
    "white, 2 px": ({"size_px": 2}, 3.0),
    "white, 6 px": ({"size_px": 6}, 3.0),
    "noise, 4 px": ({"pattern": "noise"}, 3.0),
    "white, 4 px, half marked": ({"share": 0.5}, 3.0),
    "white, 4 px, blended .5": ({"opacity": 0.5}, 3.0),
    "white, 4 px, x5": ({}, 5.0),
    "sinusoid, 4 px": ({"pattern": "sinusoid"}, 3.0),
    "low frequency .3": ({"pattern": "low_frequency", "opacity": 0.3}, 3.0),
}
"""Name -> how the mark differs from `MARK`, and the length of the update; one of four sites attacks, under the mean.

Beside them stands the table's own row, a white mark of 4 pixels, times three.
"""


def attacks(by: str) -> dict[str, list[dict[str, Any]]]:
    """Return what malicious sites do: a quarter of the sites, or one of them; and what is compared in `HARM`."""
    all_of_them = DEALT[by].culprits
    one = all_of_them[:1]
    harm = {name: [trigger(one, **mark), scaled(one, times)] for name, (mark, times) in HARM.items()}
    return {
        **harm,
        **{name: [trigger(all_of_them, **mark), scaled(all_of_them)] for name, mark in UNSEEN.items()},
        "benign": [],
        "plain": [trigger(all_of_them)],
        "x3": [trigger(all_of_them), scaled(all_of_them)],
        "x3, lying": [trigger(all_of_them), scaled(all_of_them), {"kind": "lie", "sites": list(all_of_them)}],
        "x3, one": [trigger(one), scaled(one)],
    }


def defences(count: int) -> dict[str, dict[str, Any]]:
    """Return what is compared, for rounds in which `count` sites attack: those that ask for it are told.

    FedDetect as released waits for 10 of its 200 rounds; of the bed's 12 it waits for 2.
    """
    return {
        PLAIN: {},
        "norms": {"screen": [{"name": "norms"}]},
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
        "FoolsGold": {"screen": [{"name": "foolsgold"}]},
        "FLTrust": {"screen": [{"name": "fltrust"}]},
        "FLAME": {"screen": [{"name": "flame"}]},
        "AlignIns": {"screen": [{"name": "alignins"}]},
        "FedDetect": {"screen": [{"name": "feddetect", "warm_up": 2}]},
        "FedDetect, calibrated": {"screen": [{"name": "calibrated_feddetect"}]},
        OURS: {"screen": [{"name": "generator_e_detector"}]},
    }


BELIEVE_LOSSES = ("FedDetect", "FedDetect, calibrated")
"""To every other defence a site that lies about its losses is the same, bit for bit, as one that does not."""


def plan_of(by: str, attack: list[dict[str, Any]], defence: str, seed: int, start: dict[str, str]) -> Plan:
    """Return one run's plan; the seed is that of training, and of the split where sites are simulated.

    The coordinator's images are set aside in every plan, so that all defences train and are measured on the same ones:
    see ``run.py``, which deals them. A plan without a screen that asks for them has no ``[probe]``.

    Args:
        by: key of `DEALT`.
        attack: ``[[attack]]`` tables.
        defence: key of `defences`.
        seed: of the run.
        start: ``[start]``, the weights that every run goes on from.
    """
    way = DEALT[by]
    chosen = defences(len(way.culprits)).get(defence, {})
    asks = any(screen["name"] in ("fltrust", "generator_e_detector") for screen in chosen.get("screen", []))
    table: dict[str, Any] = {
        "name": "bed",
        "seed": seed,
        "rounds": ROUNDS,
        "quorum": 1,  # a screen may leave out as many as it likes
        "average_decay": 0.6,
        "data": {**DATA[way.data], "split_seed": 0 if by == "real" else seed, "sites": way.sites},
        "task": {"name": "synthesis"},
        "model": MODEL,
        "algorithm": {"name": "fedgan"},
        "training": _training(way.steps, 16, 0.001),
        "evaluation": {"every": 0, "bootstrap": 0},
        "start": start,
        "aggregator": {"name": "mean", "weighting": "uniform"},
        **chosen,
        "attack": attack,
    }
    if asks:
        table["probe"] = PROBE
    return parse({key: value for key, value in table.items() if value not in ([], {})})


def start_plan(data: str) -> Plan:
    """Return the plan of the weights that every run on these images goes on from, trained on all of them at once."""
    return parse(
        {
            "name": f"start-{data}",
            "seed": START_SEED,
            "rounds": 8,
            "average_decay": 0.6,
            "data": {**DATA[data], "sites": {"by": "natural"}},
            "task": {"name": "synthesis"},
            "model": MODEL,
            "algorithm": {"name": "fedgan", "pooled": True},
            "training": {**_training(START_STEPS // 8, 32, 0.002), "schedule": "cosine"},
            "evaluation": {"every": 0, "bootstrap": 0},
        }
    )


def judge_plan(data: str) -> Plan:
    """Return the plan of a classifier whose features measure distances."""
    return parse(
        {
            "name": f"judge-{data}",
            "seed": 7,
            "rounds": 8,
            "data": {**DATA[data], "sites": {"by": "natural"}},
            "model": {"name": "small_cnn", "width": 32},
            "algorithm": {"name": "central"},
            "training": {**_training(0, 32, 0.002), "epochs": 1.0, "schedule": "cosine"},
            "evaluation": {"every": 0, "bootstrap": 0},
        }
    )


def _training(steps: int, batch_size: int, learning_rate: float) -> dict[str, Any]:
    return {
        "steps": steps,
        "batch_size": batch_size,
        "optimiser": "adamw",
        "learning_rate": learning_rate,
        "keep_optimiser": True,
        "precision": "float32",
    }
