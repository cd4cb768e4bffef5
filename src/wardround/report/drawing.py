"""How every figure looks, and how it becomes inline SVG: the same bytes for the same numbers."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_IN = 4.7
INK, MUTED, RULE = "#1b1f24", "#59636e", "#dfe3e8"

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#332288", "#7F7F7F")
"""Okabe and Ito's colours, told apart by people with any colour vision; yellow, pale on white, gave way."""
DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
MARKERS = "osD^vPX*"

STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a site may be called "$5"
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": "#aab2bd",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.handlelength": 2.2,
}

_IDS = re.compile(r' id="(?:[A-Za-z0-9.]+_)+\d+"')  # not referred to, and repeated from figure to figure
_SIZE = re.compile(r' (?:width|height)="[\d.]+pt"')


@dataclass(frozen=True)
class Panel:
    """One figure of the report, or the sentence that says why there is none.

    Attributes:
        title: heading.
        caption: what to read from it; or why it is missing.
        svg: inline SVG; empty when the figure is missing.
    """

    title: str
    caption: str
    svg: Markup | str = ""


def draw(name: str, alt: str, height_in: float, paint: Callable[[Figure], None]) -> Markup:
    """Draw a figure as inline SVG.

    Args:
        name: unlike that of any other figure on the page; keeps the identifiers inside apart.
        alt: says in words what the figure shows.
        height_in: height in inches, at a width of `WIDTH_IN`.
        paint: draws on the empty figure.
    """
    import matplotlib.style
    from matplotlib.figure import Figure

    with (
        warnings.catch_warnings(),
        matplotlib.style.context(["default", STYLE | {"svg.hashsalt": f"wardround {name}"}]),
    ):
        # The browser draws the text with its own fonts, so it does not matter that ours lacks a letter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained", facecolor="none")
        paint(figure)
        written = io.StringIO()
        metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(written, format="svg", metadata=metadata)
    text = written.getvalue()
    head, body = text[text.index("<svg") :].split(">", 1)
    head = _SIZE.sub("", head)
    return Markup(f'{head} role="img" aria-label="{escape(alt)}">{_IDS.sub("", body)}')  # noqa: S704 - matplotlib escapes


def colours(number: int) -> Sequence[str]:
    """Return `number` colours that differ in hue, or beyond the palette in lightness."""
    if number <= len(PALETTE):
        return PALETTE[:number]
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colormaps["cividis"](index / (number - 1))) for index in range(number)]


def legend_below(figure: Figure, axes: Axes, columns: int = 3) -> None:
    """Put the legend of `axes` under the figure, where it hides nothing."""
    handles, labels = axes.get_legend_handles_labels()
    longest = max((len(label) for label in labels), default=0)
    if handles:
        fitting = max(1, min(columns, len(handles), 68 // (longest + 8)))
        figure.legend(handles, labels, loc="outside lower left", ncols=fitting)
