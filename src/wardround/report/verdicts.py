"""What screens said of each site, round by round, and what attacks in a simulation came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wardround.report.attacks import AttackResult
from wardround.report.drawing import Panel, draw
from wardround.report.reading import Run
from wardround.report.words import count, decimal, listed, plural, round_ranges, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_SITES = 30


@dataclass(frozen=True)
class Judged:
    """One site's rounds under the plan's screens.

    Attributes:
        site: its name, and whether it attacked.
        left_out: rounds in which nothing of its update counted.
        doubted: rounds in which part of its weight was taken.
        reason: what was said of it last, where something was.
    """

    site: str
    left_out: str
    doubted: str
    reason: str


def judged_rows(run: Run) -> list[Judged]:
    """Return one row for each site that screens judged; none where nobody judges."""
    culprits = _culprits(run)
    rows = []
    for site in _sites(run):
        said = [(record.round, record.judged[site]) for record in run.records if site in record.judged]
        left_out = [index for index, verdict in said if not verdict["trust"]]
        doubted = [index for index, verdict in said if 0 < verdict["trust"] < 1]
        reasons = [verdict["reason"] for _, verdict in said if verdict["reason"]]
        name = f"{site} (attacks from round {culprits[site]})" if site in culprits else site
        rows.append(Judged(name, _rounds(left_out), _rounds(doubted), reasons[-1] if reasons else ""))
    return rows


def trust_panel(run: Run) -> Panel:
    """Draw what screens left each site of its weight in each round."""
    title = "Trust in each site, round by round"
    sites = _sites(run)
    if not sites:
        return Panel(title, "No screen judged the updates of this run.")
    shown, culprits = sites[:MOST_SITES], _culprits(run)
    trust = np.array([[_trust(record.judged, site) for record in run.records] for site in shown])
    alt = "Trust left to each site. " + " ".join(
        f"{site}: {decimal(float(np.nanmean(row)))} in the mean, left out in {plural(int((row == 0).sum()), 'round')}."
        for site, row in zip(shown, trust, strict=True)
    )

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        drawn = axes.pcolormesh(np.ma.masked_invalid(trust), cmap="cividis", vmin=0.0, vmax=1.0)
        names = [f"{shortened(site, 14)}{' *' if site in culprits else ''}" for site in shown]
        axes.set_yticks(np.arange(len(shown)) + 0.5, names)
        axes.set(xlabel="round", ylim=(len(shown), 0))
        axes.grid(visible=False)
        figure.colorbar(drawn, ax=axes, label="part of its weight that counts")

    caption = "Dark: the update was left out, or not asked for. White: the site took no part, or its answer failed."
    if culprits:
        caption += " * plays a malicious site."
    if len(sites) > MOST_SITES:
        caption += f" The first {MOST_SITES} of {plural(len(sites), 'site')}."
    return Panel(title, caption, draw("trust", alt, 1.4 + 0.26 * len(shown), paint))


def attacked_rows(attacks: Sequence[AttackResult]) -> list[tuple[str, str, str, str]]:
    """Return kind, malicious sites, success and victims of each attack with a target."""
    return [(each.kind, listed(each.sites), decimal(each.success), count(each.victims)) for each in attacks]


def _sites(run: Run) -> list[str]:
    return sorted({site for record in run.records for site in record.judged})


def _culprits(run: Run) -> dict[str, int]:
    found: dict[str, int] = {}
    for attack in run.plan.get("attack", []):
        for site in attack["sites"]:
            found[site] = min(found.get(site, attack["from_round"]), attack["from_round"])
    return found


def _trust(judged: Mapping[str, Mapping[str, Any]], site: str) -> float:
    return float(judged[site]["trust"]) if site in judged else float("nan")


def _rounds(indices: list[int]) -> str:
    return round_ranges(indices) if indices else ""
