"""What a body host can rebuild of HAM10000's images, by cut depth and protection, and what hiding more costs in Dice.

    WARDROUND_DATA=folder python experiments/split-leakage/run.py [OUT] [--rounds N] [--steps N] [--only NAME] [--quick]

Every network is trained with its protection, then attacked with what crossed the wire. The adversary's public images
are those of the other three sites: as near to the attacked site's as any it could have. Runs and attacks are kept.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wardround.attacks.cut.inversion import DecoderAttack, OptimisationAttack, likeness, mean_image, thumbnails
from wardround.attacks.cut.observation import CutObservation
from wardround.core.codec import encode
from wardround.data.sites import SiteData
from wardround.rounds.plan import Plan
from wardround.rounds.split.asks import Ask, Wire
from wardround.rounds.split.forms import FORMS
from wardround.rounds.split.guard import guard_of
from wardround.rounds.split.rules import SplitRules
from wardround.study.build import sites_of
from wardround.study.folder import RunFolder
from wardround.study.predict import loaded
from wardround.tasks.inputs import to_input
from wardround.tasks.models.costs import site_costs, whole_costs
from wardround.tasks.models.cut import Cut, cut
from wardround.tasks.models.halves import probe

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "split-segmentation"))

from methods import plan_of, run, scores_of  # noqa: E402

SEED = 11
ATTACKED_IMAGES = 64
OPTIMISED_IMAGES = 16
GUARDS: dict[str, dict[str, float]] = {
    "nothing": {},
    "noise .5": {"noise_sd": 0.5},
    "noise 1": {"noise_sd": 1.0},
    "noise 2": {"noise_sd": 2.0},
    "decorrelation .1": {"decorrelation": 0.1},
    "decorrelation 1": {"decorrelation": 1.0},
    "decorrelation 1, noise 1": {"decorrelation": 1.0, "noise_sd": 1.0},
}
DEPTHS = (1, 2, 3)


@dataclass(frozen=True)
class Setting:
    """A cut and what is done before it.

    Attributes:
        depth: of the cut.
        guard: name in `GUARDS`.
        wire: form of what crosses.
    """

    depth: int
    guard: str
    wire: str = "float32"

    @property
    def rules(self) -> SplitRules:
        """The table of the plan."""
        return SplitRules(self.depth, "apart", self.wire, **GUARDS[self.guard])

    @property
    def name(self) -> str:
        """Of folders and rows."""
        return f"depth {self.depth}, {self.guard}" + ("" if self.wire == "float32" else f", {self.wire}")


SETTINGS = [Setting(depth, guard) for depth in DEPTHS for guard in GUARDS] + [Setting(1, "nothing", "int8")]


def sender(split: Cut, rules: SplitRules, wire: Wire) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return images -> what the body host reads of them, by way of bytes."""
    guard = guard_of(rules)

    def sent(images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            activation, _ = split.head(images)
            activation = activation if guard is None else guard.protect(activation, images)
            return CutObservation.of_frames([encode(wire.ask(Ask.LOOK, activation))], wire).activations

    return sent


def attack(plan: Plan, path: Path, sites: dict[str, SiteData], steps: int) -> dict[str, Any]:
    """Attack the first site's images with what its trained head sends."""
    if plan.split is None:
        raise ValueError("the plan cuts nothing")
    task, network = loaded(RunFolder(path), plan, None)
    split = cut(network, plan.split.depth)
    wire = Wire(FORMS[plan.split.wire], *probe(split, task.channels))
    sent = sender(split, plan.split, wire)
    victim, *others = sorted(sites)
    rng = np.random.default_rng(SEED)
    rows = rng.permutation(len(sites[victim].train))[:ATTACKED_IMAGES]
    images = to_input(sites[victim].train.fed(np.sort(rows)))
    public = torch.cat([to_input(sites[name].train.fed(np.arange(len(sites[name].train)))) for name in others])
    torch.manual_seed(SEED)
    seen = CutObservation(sent(images))
    decoded, losses = DecoderAttack(steps=steps).run(seen, sent, public)
    few = CutObservation(seen.activations[:OPTIMISED_IMAGES])
    optimised = OptimisationAttack().run(few, lambda x: split.head(x)[0], tuple(images.shape[1:]))  # type: ignore[arg-type]
    quarter = max(1, steps // 4)
    return {
        "decoder": asdict(likeness(images, decoded)),
        "decoder_loss": [float(np.mean(losses[-2 * quarter : -quarter])), float(np.mean(losses[-quarter:]))],
        "optimisation": asdict(likeness(images[:OPTIMISED_IMAGES], optimised)),
        "mean image": asdict(likeness(images, mean_image(images, public))),
        "thumbnail 8 px": asdict(likeness(images, thumbnails(images))),
    }


def main() -> None:
    """Train and attack what is missing; print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=Path("runs/split-leakage"))
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--steps", type=int, default=6000, help="of the decoder")
    parser.add_argument("--only", choices=[setting.name for setting in SETTINGS], action="append")
    parser.add_argument("--quick", action="store_true", help="a few steps of each, to see that it works")
    chosen = parser.parse_args()
    rounds, steps = (1, 20) if chosen.quick else (chosen.rounds, chosen.steps)
    base = plan_of("interleaved", "natural", SEED, rounds)
    sites = sites_of(base, Path(os.environ["WARDROUND_DATA"]))
    chosen.out.mkdir(parents=True, exist_ok=True)
    for setting in SETTINGS:
        if chosen.only and setting.name not in chosen.only:
            continue
        plan = replace(base, split=setting.rules)
        path = chosen.out / setting.name.replace(", ", "-").replace(" ", "-")
        run(plan, sites, path)
        kept = path.with_suffix(".json")
        if not kept.exists():
            kept.write_text(json.dumps(attack(plan, path, sites, steps), indent=1) + "\n")
        print(f"{setting.name}: {kept.read_text()}", flush=True)
    (chosen.out / "results.md").write_text(table(chosen.out))
    print(table(chosen.out))


def table(out: Path) -> str:
    """Return what is there as a table: SSIM of what was rebuilt, the site's share of the work, and Dice."""
    lines = [
        "| setting | decoder | optimisation | mean image | thumbnail | site computes | Dice |",
        "|---|---|---|---|---|---|---|",
    ]
    network, images = plan_of("interleaved", "natural", SEED, 1).model.build(3, 2), torch.zeros(8, 3, 64, 64)
    whole = whole_costs(network, images)
    for setting in SETTINGS:
        path = out / setting.name.replace(", ", "-").replace(" ", "-")
        if not path.with_suffix(".json").exists():
            continue
        found = json.loads(path.with_suffix(".json").read_text())
        ssim = [f"{found[what]['ssim']:.3f}" for what in ("decoder", "optimisation", "mean image", "thumbnail 8 px")]
        share = site_costs(network, setting.depth, images).share_of(whole).flops
        dice = float(np.nanmean(scores_of(path)[0].values["dice"]))
        lines.append(f"| {setting.name} | {' | '.join(ssim)} | {share} % | {dice:.3f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
