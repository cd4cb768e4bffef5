"""How strongly synthetic images bear the triggers of a simulation's malicious sites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wardround.errors import RunFolderError
from wardround.metrics.marks import Marked
from wardround.report.drawing import INK, MUTED, PALETTE, Panel, draw, legend_below
from wardround.report.values import number, text, texts
from wardround.report.words import decimal, listed, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure


DEPARTURE_FILE = "departure.safetensors"
LARGEST_BYTES = 2**22
LARGEST_DEPARTURE = 2.0
"""Standard deviations at which the colours of the map end."""


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


def departure_panel(run: Path) -> Panel:
    """Draw where synthetic images depart from real ones; not every run folder holds a map of it.

    Raises:
        RunFolderError: the file is damaged.
    """
    title = "Where synthetic images depart from real ones"
    path = run / DEPARTURE_FILE
    if not path.is_file():
        return Panel(
            title, "This run folder holds no map of it: the images are not published, or it is of an older version."
        )
    shift = _departure(path)
    row, column = np.unravel_index(int(np.abs(shift).argmax()), shift.shape)
    alt = (
        f"Difference of the mean images in standard deviations of real ones, {shift.shape[0]} x {shift.shape[1]} "
        f"pixels; the largest is {decimal(float(shift[row, column]))} in row {row}, column {column}."
    )

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        drawn = axes.imshow(shift, cmap="PuOr_r", vmin=-LARGEST_DEPARTURE, vmax=LARGEST_DEPARTURE)
        axes.set(xticks=[], yticks=[])
        axes.grid(visible=False)
        figure.colorbar(drawn, ax=axes, label="standard deviations of real images")

    caption = (
        "Mean of the synthetic images less that of the test images of the same classes, pixel by pixel; the largest is "
        f"{decimal(float(shift[row, column]))} standard deviations. A mark stands out from its surroundings; a broad "
        "difference is what the generator has not learned."
    )
    return Panel(title, caption, draw("departure", alt, 3.4, paint))


def _departure(path: Path) -> np.ndarray:
    import safetensors.numpy
    from safetensors import SafetensorError

    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise RunFolderError(f"{path} is larger than {LARGEST_BYTES} bytes: it holds more than a map")
        shift = safetensors.numpy.load(path.read_bytes())["departure"]
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise RunFolderError(f"{path} is damaged: {error}") from None
    if shift.ndim != 2 or not shift.size or shift.dtype != np.float32 or not np.isfinite(shift).all():
        raise RunFolderError(f"{path} is damaged: it holds no map of finite numbers")
    return np.asarray(shift)


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
        axes.set_xlabel("strength: 0 none, 1 the whole mark; images marked: share")
        axes.grid(visible=False, axis="y")
        legend_below(figure, axes)

    corners = "; ".join(
        f"{mark.name}: {decimal(mark.made.corner_distance)}, real {decimal(mark.real.corner_distance)}"
        for mark in marks
    )
    caption = (
        "What the malicious sites of this simulation taught the generator. An image counts as marked from half the "
        f"strength of the mark on. Fréchet distance of the pixels around the mark: {corners}."
    )
    return Panel("Marks of malicious sites", caption, draw("marks", f"Marks. {said}.", 1.2 + 0.5 * len(bars), paint))
