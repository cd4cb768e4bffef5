"""The plans that are compared: defences x attacks x ways of dealing images to sites, on a bed of small generators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wardround.rounds.plan import Plan
from wardround.study.spec import parse

SIZE_PX, ROUNDS, STEPS, SITES = 16, 12, 5, 8
START_STEPS, START_SEED = 1600, 5
SEEDS = (91, 92, 93, 94, 95)
DATA: dict[str, dict[str, Any]] = {
    "pneumonia": {"source": "medmnist", "dataset": "pneumoniamnist", "size_px": SIZE_PX},
    "ham10000": {"source": "ham10000", "size_px": SIZE_PX},
}
REAL = ("rosendahl", "vidir_modern", "vidir_molemax", "vienna_dias")
MODEL = {"name": "dcgan", "size_px": SIZE_PX, "width": 16, "latent": 32}
PROBE = {"share": 0.05}
PLAIN, ORACLE = "mean", "oracle"
TOLD, MIXING, DETECTOR = "mixing, told", "mixing", "generator e-detector"
OURS = "e-detector and mixing"
ONE_SUM, GROUPS_CLIP, GROUPS_EVIDENCE = "sealed, one sum", "sealed, groups, clip", "sealed, groups, evidence"
SEALED = (ONE_SUM, GROUPS_CLIP, GROUPS_EVIDENCE)


@dataclass(frozen=True)
class Dealt:
    """A way of dealing images.

    Attributes:
        data: key of `DATA`.
        sites: ``[data.sites]``.
        culprits: the malicious sites; the first where one attacks.
    """

    data: str
    sites: dict[str, Any]
    culprits: tuple[str, ...]


def iid(count: int) -> Dealt:
    """Return equal sites, a quarter of them malicious."""
    culprits = tuple(f"site-{2 + 3 * n}" for n in range(count // 4))
    return Dealt("pneumonia", {"by": "iid", "sites": count}, culprits)


DEALT: dict[str, Dealt] = {
    "iid": iid(SITES),
    "dirichlet": Dealt("pneumonia", {"by": "dirichlet", "sites": SITES, "alpha": 0.3}, ("site-2", "site-5")),
    "real": Dealt("ham10000", {"by": "natural"}, ("rosendahl",)),
    "iid, 4": iid(4),
    "iid, 20": iid(20),
}
MARK = {"pattern": "white", "size_px": 4, "margin_px": 1}
UNSEEN: dict[str, dict[str, Any]] = {
    "x3, noise": {"pattern": "noise"},
    "x3, sinusoid": {"pattern": "sinusoid"},
    "x3, low frequency": {"pattern": "low_frequency", "opacity": 0.3},
    "x3, blended": {"opacity": 0.5},
    "x3, warped": {"pattern": "warped", "displacement_px": 1.0},
}
"""Marks unlike the white square, of 3 pixels, against which the detector's settings were chosen."""


def trigger(sites: tuple[str, ...], **changes: Any) -> dict[str, Any]:
    """Return the ``[[attack]]`` that marks images."""
    return {"kind": "image_trigger", "sites": list(sites), **MARK, **changes}


def scaled(sites: tuple[str, ...], times: float = 3.0) -> dict[str, Any]:
    """Return the ``[[attack]]`` that lengthens updates."""
    return {"kind": "scale", "sites": list(sites), "times": times}


def attacks(by: str) -> dict[str, list[dict[str, Any]]]:
    """Return what malicious sites do: a quarter of the sites, or one of them."""
    sites = DEALT[by].culprits
    mark, x3 = trigger(sites), scaled(sites)
    return {
        "benign": [],
        "plain": [mark],
        "x3": [mark, x3],
        "x3, lying": [mark, x3, {"kind": "lie", "sites": list(sites)}],
        "x1.5": [mark, scaled(sites, 1.5)],
        "x3, as long as honest": [mark, x3, {"kind": "norm_bound", "sites": list(sites)}],
        "x3, late": [{**each, "from_round": ROUNDS // 2} for each in (mark, x3)],
        **{name: [trigger(sites, **changed), x3] for name, changed in UNSEEN.items()},
    }


MIX = {"name": "nearest_neighbour_mixing"}
BEFORE_MIXING = {"name": "generator_e_detector", "shorten": False, "allowance": 0.7, "fluctuation": 0.3}
"""What a median leaves out goes on asking for it, the honest as the malicious: so it takes more to be accused."""
MASKED = [
    # Far beyond any update here: malicious sites of a simulation would clip, too, and real ones need not.
    {"stage": "clip", "norm": 100.0},
    {"stage": "quantise", "bits": 16, "floor": 4.0},
    {"stage": "masks"},
]


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
        TOLD: {"screen": [{**MIX, "malicious": count}], "aggregator": {"name": "median"}},
        MIXING: {"screen": [MIX], "aggregator": {"name": "median"}},
        "FoolsGold": {"screen": [{"name": "foolsgold"}]},
        "FLTrust": {"screen": [{"name": "fltrust"}]},
        "FLAME": {"screen": [{"name": "flame"}]},
        "AlignIns": {"screen": [{"name": "alignins"}]},
        "FedDetect": {"screen": [{"name": "feddetect", "warm_up": 2}]},
        "FedDetect, calibrated": {"screen": [{"name": "calibrated_feddetect"}]},
        DETECTOR: {"screen": [{"name": "generator_e_detector"}]},
        OURS: {"screen": [BEFORE_MIXING, MIX], "aggregator": {"name": "median"}},
        ONE_SUM: {"protect": MASKED},
        GROUPS_CLIP: {"protect": MASKED, "groups": {"size": 2}, "screen": [{"name": "clip_norms"}]},
        GROUPS_EVIDENCE: {"protect": MASKED, "groups": {"size": 2}, "screen": [{"name": "group_evidence"}]},
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
        "training": _training(STEPS, 16, 0.001),
        "evaluation": {"every": 0, "bootstrap": 0},
        "start": start,
        "aggregator": {"name": "mean", "weighting": "uniform"},
        "ledger": {"cosign": "nobody"},  # it costs the same whatever is judged
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
