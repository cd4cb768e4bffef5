"""How strongly synthetic images bear the triggers of a simulation's malicious sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wardround.metrics.marks import Marked
from wardround.report.drawing import INK, MUTED, PALETTE, Panel, draw, legend_below
from wardround.report.values import number, text, texts
from wardround.report.words import decimal, listed, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class MarkLeft:
    """What became of one trigger.

    Attributes:
        name: of the attack, and its sites.
        made: on synthetic images.
        real: on real ones.
    """

    name: str
    made: Marked
    real: Marked


def marks_of(said: Sequence[Mapping[str, Any]]) -> tuple[MarkLeft, ...]:
    """Read what ``summary.json`` says of triggers.

    Raises:
        ValueError: a value is none.
        KeyError: one is missing.
    """
    return tuple(
        MarkLeft(f"{text(each['kind'])}, {listed(texts(each['sites']))}", _marked(each), _marked(each["real"]))
        for each in said
    )


def _marked(said: Mapping[str, Any]) -> Marked:
    return Marked(number(said["strength"]), number(said["share"]), number(said["corner_distance"]))


def marks_panel(marks: Sequence[MarkLeft]) -> Panel:
    """Draw strength and share of every trigger, beside those of real images."""
    bars = [
        (f"{mark.name}: {what}", getattr(mark.made, key), getattr(mark.real, key))
        for mark in marks
        for what, key in (("strength", "strength"), ("images marked", "share"))
    ]
    said = "; ".join(f"{name} {decimal(made)}, real images {decimal(real)}" for name, made, real in bars)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for place, (_, made, real) in enumerate(bars):
            first = place == 0
            axes.barh(place - 0.2, made, 0.36, color=PALETTE[1], alpha=0.7, label="synthetic" if first else None)
            axes.barh(place + 0.2, real, 0.36, color=PALETTE[7], alpha=0.7, label="real" if first else None)
        axes.set_yticks(range(len(bars)), [shortened(name, 40) for name, _, _ in bars], color=INK)
        axes.set_ylim(len(bars) - 0.5, -0.5)
        axes.axvline(0, color=MUTED, linewidth=1)
        axes.set_xlabel("strength: 0 none, 1 a pasted mark; images marked: share")
        axes.grid(visible=False, axis="y")
        legend_below(figure, axes)

    corners = "; ".join(
        f"{mark.name}: {decimal(mark.made.corner_distance)}, real {decimal(mark.real.corner_distance)}"
        for mark in marks
    )
    caption = (
        "What the malicious sites of this simulation taught the generator. An image counts as marked from half the "
        f"strength of a pasted mark on. Fréchet distance of the pixels around the mark: {corners}."
    )
    return Panel("Marks of malicious sites", caption, draw("marks", f"Marks. {said}.", 1.2 + 0.5 * len(bars), paint))
