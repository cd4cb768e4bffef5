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

from wardround.attacks.cut.inversion import (
    DecoderAttack,
    OptimisationAttack,
    from_nothing,
    likeness,
    mean_image,
    thumbnails,
)
from wardround.attacks.cut.observation import CutObservation
from wardround.core.codec import encode
from wardround.data.sites import SiteData
from wardround.metrics.intervals import paired_difference
from wardround.metrics.scores import MeanOf
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

from comparison import REPLICATES, scores_of  # noqa: E402
from methods import plan_of, run  # noqa: E402

SEED = 11
METHOD, WIDTHS, ROUNDS = "interleaved, rounds of 5", [16, 32, 64, 128], 8
ATTACKED_IMAGES = 64
OPTIMISED_IMAGES = 16
FLOORS = ("mean image", "thumbnail 8 px")
GUARDS: dict[str, dict[str, float]] = {
    "nothing": {},
    "noise 1": {"noise_sd": 1.0},
    "noise 4": {"noise_sd": 4.0},
    "decorrelation 1, noise 1": {"decorrelation": 1.0, "noise_sd": 1.0},
    "decorrelation 1, noise 4": {"decorrelation": 1.0, "noise_sd": 4.0},
}


@dataclass(frozen=True)
class Setting:
    """A cut and what is done before it.

    Attributes:
        depth: of the cut.
        guard: name in `GUARDS`.
        wire: form of what crosses.
        views: how often the adversary sees each image, with fresh noise each time; it takes the mean.
    """

    depth: int
    guard: str
    wire: str = "float32"
    views: int = 1

    @property
    def rules(self) -> SplitRules:
        """The table of the plan."""
        return SplitRules(self.depth, "apart", self.wire, **GUARDS[self.guard])

    @property
    def network(self) -> str:
        """Names what was trained; several settings may attack one."""
        return f"depth {self.depth}, {self.guard}" + ("" if self.wire == "float32" else f", {self.wire}")

    @property
    def name(self) -> str:
        """Of rows."""
        return self.network + ("" if self.views == 1 else f", seen {self.views} times")


SETTINGS = [
    *(Setting(depth, "nothing") for depth in (1, 3, 2)),
    *(Setting(3, guard) for guard in ("noise 4", "noise 1")),
    *(Setting(1, guard) for guard in ("noise 1", "decorrelation 1, noise 1")),
    Setting(3, "noise 4", views=8),
    Setting(1, "nothing", "int8"),
    Setting(3, "decorrelation 1, noise 4"),
    *(Setting(2, guard) for guard in ("noise 1", "noise 4")),
]


def sender(split: Cut, rules: SplitRules, wire: Wire, views: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return images -> what the body host reads of them, by way of bytes; the mean over `views`."""
    guard = guard_of(rules)

    def once(images: torch.Tensor, clear: torch.Tensor) -> torch.Tensor:
        sent = clear if guard is None else guard.protect(clear, images)
        return CutObservation.of_frames([encode(wire.ask(Ask.LOOK, sent))], wire).activations

    def sent(images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            clear, _ = split.head(images)
            return torch.stack([once(images, clear) for _ in range(views)]).mean(dim=0)

    return sent


def attack(plan: Plan, path: Path, sites: dict[str, SiteData], steps: int, views: int) -> dict[str, Any]:
    """Attack the first site's images with what its trained head sends."""
    if plan.split is None:
        raise ValueError("the plan cuts nothing")
    task, network = loaded(RunFolder(path), plan, None)
    split = cut(network, plan.split.depth)
    wire = Wire(FORMS[plan.split.wire], *probe(split, task.channels))
    sent = sender(split, plan.split, wire, views)
    victim, *others = sorted(sites)
    rng = np.random.default_rng(SEED)
    rows = rng.permutation(len(sites[victim].train))[:ATTACKED_IMAGES]
    images = to_input(sites[victim].train.fed(np.sort(rows)))
    public = torch.cat([to_input(sites[name].train.fed(np.arange(len(sites[name].train)))) for name in others])
    torch.manual_seed(SEED)
    seen = CutObservation(sent(images))
    decoded, losses = DecoderAttack(steps=steps).run(seen, sent, public)
    head = _Activation(split)
    refined = OptimisationAttack(steps=300, learning_rate=0.02).run(seen, head, decoded)
    few = CutObservation(seen.activations[:OPTIMISED_IMAGES])
    optimised = OptimisationAttack().run(few, head, from_nothing(OPTIMISED_IMAGES, tuple(images.shape[1:])))  # type: ignore[arg-type]
    quarter = max(1, steps // 4)
    return {
        "decoder": asdict(likeness(images, decoded)),
        "decoder_loss": [float(np.mean(losses[-2 * quarter : -quarter])), float(np.mean(losses[-quarter:]))],
        "refined": asdict(likeness(images, refined)),
        "optimisation": asdict(likeness(images[:OPTIMISED_IMAGES], optimised)),
        "mean image": asdict(likeness(images, mean_image(images, public))),
        "thumbnail 8 px": asdict(likeness(images, thumbnails(images))),
    }


@dataclass(frozen=True)
class _Activation:
    split: Cut

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return self.split.head(images)[0]


def base_plan(rounds: int) -> Plan:
    """Return the plan that every setting varies."""
    plan = plan_of(METHOD, "natural", SEED, rounds)
    return replace(plan, model=replace(plan.model, widths=tuple(WIDTHS)))  # type: ignore[type-var]


def folder_of(out: Path, setting: Setting) -> Path:
    """Return where the setting's run lies."""
    return out / setting.network.replace(", ", "-").replace(" ", "-")


def attacked_file(out: Path, setting: Setting) -> Path:
    """Return where the attack's figures lie."""
    return out / (setting.name.replace(", ", "-").replace(" ", "-") + ".json")


def main() -> None:
    """Train and attack what is missing; print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=Path("runs/split-leakage"))
    parser.add_argument("--steps", type=int, default=1500, help="of the decoder")
    parser.add_argument("--only", choices=[setting.name for setting in SETTINGS], action="append")
    parser.add_argument("--quick", action="store_true", help="a few steps of each, to see that it works")
    chosen = parser.parse_args()
    rounds, steps = (1, 20) if chosen.quick else (ROUNDS, chosen.steps)
    base = base_plan(rounds)
    sites = sites_of(base, Path(os.environ["WARDROUND_DATA"]))
    chosen.out.mkdir(parents=True, exist_ok=True)
    for setting in SETTINGS:
        if chosen.only and setting.name not in chosen.only:
            continue
        plan = replace(base, split=setting.rules)
        path = folder_of(chosen.out, setting)
        run(plan, sites, path)
        kept = attacked_file(chosen.out, setting)
        if not kept.exists():
            kept.write_text(json.dumps(attack(plan, path, sites, steps, setting.views), indent=1) + "\n")
        print(f"{setting.name}: {kept.read_text()}", flush=True)
    rows = rows_of(chosen.out)
    (chosen.out / "results.json").write_text(json.dumps(rows, indent=1) + "\n")
    (chosen.out / "results.md").write_text(table(rows))
    draw(rows, chosen.out / "tradeoff.png")
    print(table(rows))


def rows_of(out: Path) -> list[dict[str, Any]]:
    """Return a row for each setting that was attacked, with its Dice beside that of the first."""
    network, images = base_plan(1).model.build(3, 2), torch.zeros(8, 3, 64, 64)
    whole = whole_costs(network, images)
    rows = []
    for setting in SETTINGS:
        if not attacked_file(out, setting).exists():
            continue
        found = json.loads(attacked_file(out, setting).read_text())
        scores = scores_of(folder_of(out, setting), "dice")[0]
        row = {"setting": setting.name, "depth": setting.depth, "protected": setting.guard != "nothing"}
        row |= {what: found[what]["ssim"] for what in ("decoder", "refined", "optimisation", *FLOORS)}
        row["worst"] = max(row["decoder"], row["refined"], row["optimisation"])
        row["decoder's loss, third and last quarter"] = found["decoder_loss"]
        row["site_flops_percent"] = site_costs(network, setting.depth, images).share_of(whole).flops
        row["dice"] = float(MeanOf("dice")(scores, np.ones(len(scores))))
        base = folder_of(out, SETTINGS[0])
        if setting.network != SETTINGS[0].network:
            pair = paired_difference([scores], [scores_of(base, "dice")[0]], MeanOf("dice"), REPLICATES)
            row["dice - unprotected cut at 1"] = [pair.value, pair.low, pair.high]
        rows.append(row)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a table: SSIM of what was rebuilt, the site's share of the work, and Dice."""
    lines = [
        "| setting | decoder | its loss, two last quarters | refined | optimisation | mean image | thumbnail "
        "| site computes | Dice | - unprotected cut at 1 |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        third, last = row["decoder's loss, third and last quarter"]
        ssim = [f"{row[what]:.3f}" for what in ("refined", "optimisation", *FLOORS)]
        cost = row.get("dice - unprotected cut at 1")
        words = "" if cost is None else "{:+.3f} ({:+.3f}, {:+.3f})".format(*cost)
        lines.append(
            f"| {row['setting']} | {row['decoder']:.3f} | {third:.3f}, {last:.3f} | {' | '.join(ssim)} "
            f"| {row['site_flops_percent']} % | {row['dice']:.3f} | {words} |"
        )
    return "\n".join(lines) + "\n"


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw what is rebuilt against Dice, a marker for each cut and its share of the work: to choose from."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7.5, 4.5))
    for depth, marker in zip((1, 2, 3), "osD", strict=True):
        own = [row for row in rows if row["depth"] == depth]
        label = f"cut at {depth}: the site computes {own[0]['site_flops_percent']} %" if own else ""
        axes.scatter([row["dice"] for row in own], [row["worst"] for row in own], marker=marker, s=60, label=label)
    for row in rows:
        words = row["setting"].partition(", ")[2]
        axes.annotate(words, (row["dice"], row["worst"]), (6, 4), textcoords="offset points", fontsize=8)
    for floor, style in zip(FLOORS, (":", "--"), strict=True):
        axes.axhline(rows[0][floor], color="grey", linestyle=style)
        axes.annotate(floor, (axes.get_xlim()[0], rows[0][floor]), (2, 2), textcoords="offset points", fontsize=8)
    axes.set(xlabel="Dice on the test images", ylabel="SSIM of what the best attack rebuilds")
    axes.margins(x=0.12, y=0.08)
    axes.legend(loc="upper right", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
