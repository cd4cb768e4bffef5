"""Figures over rounds: the training loss, and the looks at the validation parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from wardround.report.drawing import DASHES, INK, MARKERS, Panel, colours, draw, legend_below
from wardround.report.reading import Run
from wardround.report.words import HEADLINES, LOSSES, METRICS, decimal, listed, plural, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMED_LINES = 8
Series = Mapping[str, tuple[Sequence[int], Sequence[float]]]
"""Site -> rounds and values."""


def loss_panel(run: Run) -> Panel:
    """Draw each site's training loss over the rounds it took part in."""
    title = "Training loss"
    series: dict[str, tuple[list[int], list[float]]] = {}
    for record in run.records:
        for site, said in record.accepted.items():
            rounds, values = series.setdefault(site, ([], []))
            rounds.append(record.round)
            values.append(said["loss"])
    if not series:
        return Panel(title, "No round was completed, so there is no training loss to show.")
    first, last = run.records[0], run.records[-1]
    what = LOSSES[run.task]
    alt = (
        f"Training loss over {plural(len(run.records), 'round')}: "
        f"the mean over sites goes from {decimal(first.loss)} to {decimal(last.loss)}."
    )
    mean = ([record.round for record in run.records], [record.loss for record in run.records])

    def paint(figure: Figure) -> None:
        axes = _lines(figure, series, mean, "mean", _order(run))
        axes.set_ylabel(what)

    caption = (
        f"Mean {what} of each site's own batches, as the sites report it; the mean over sites, weighted "
        f"by their images, went from {decimal(first.loss)} to {decimal(last.loss)}."
    )
    return Panel(title, caption + _crowd(series), draw("loss", alt, _height(series), paint))


def validation_panel(run: Run) -> Panel:
    """Draw the validation AUC, or where it is undefined the balanced accuracy, pooled and by site."""
    looks = [(record.round, record.validation) for record in run.records if record.validation]
    if not looks:
        every = run.plan["evaluation"].get("every", 0)
        why = f"the plan looks only every {every} rounds" if every else "the plan sets evaluation.every = 0"
        return Panel("On the validation parts", f"No round looked at the validation parts: {why}.")
    metric = next((name for name in HEADLINES if _defined(looks, name)), None)
    if metric is None:
        return Panel(
            "On the validation parts", "No metric is defined on the validation parts: they hold too few images."
        )
    series, mean = _values(looks, metric)
    label = METRICS[metric]
    best = max(mean[1], default=None)
    alt = f"Validation {label} over {plural(len(looks), 'look')}" + (
        f"; pooled, it ends at {decimal(mean[1][-1])} and is best at {decimal(best)}." if mean[1] else "."
    )

    def paint(figure: Figure) -> None:
        axes = _lines(figure, series, mean, "pooled", _order(run))
        axes.set_ylabel(f"validation {label}")

    caption = f"{label} on images that no site trains on and that choose nothing in the final test."
    if metric == "balanced_accuracy":
        caption += " AUC is not defined here: no class is shown by enough patients or lesions."
    absent = sorted({site for _, values in looks for site in values if site != "pooled"} - set(series))
    if absent:
        caption += f" Not defined at {listed(absent)}: too few patients or lesions of a class."
    return Panel(f"Validation {label}", caption + _crowd(series), draw("validation", alt, _height(series), paint))


def _defined(looks: Sequence[tuple[int, Mapping[str, Mapping[str, float | None]]]], metric: str) -> bool:
    return any(values.get(metric) is not None for _, sites in looks for values in sites.values())


def _values(
    looks: Sequence[tuple[int, Mapping[str, Mapping[str, float | None]]]], metric: str
) -> tuple[dict[str, tuple[list[int], list[float]]], tuple[list[int], list[float]]]:
    series: dict[str, tuple[list[int], list[float]]] = {}
    for index, sites in looks:
        for site, values in sites.items():
            value = values.get(metric)
            if value is not None:
                rounds, found = series.setdefault(site, ([], []))
                rounds.append(index)
                found.append(value)
    return series, series.pop("pooled", ([], []))


def _order(run: Run) -> list[str]:
    """List every site the run speaks of, so that a site has one colour in all figures."""
    named = {site for record in run.records for site in (*record.accepted, *record.validation)}
    return sorted(named - {"pooled"})


def _lines(
    figure: Figure,
    series: Series,
    mean: tuple[Sequence[int], Sequence[float]],
    mean_label: str,
    order: Sequence[str],
) -> Axes:
    from matplotlib.ticker import MaxNLocator

    axes = figure.subplots()
    crowded = len(order) > NAMED_LINES
    palette = colours(min(len(order), NAMED_LINES))
    for index, site in enumerate(order):
        if site not in series:
            continue
        rounds, values = series[site]
        if crowded:
            axes.plot(rounds, values, color="#c3cad3", linewidth=0.7)
            continue
        axes.plot(
            rounds,
            values,
            color=palette[index],
            linestyle=DASHES[index % len(DASHES)],
            marker=MARKERS[index % len(MARKERS)] if len(rounds) <= 12 else "",
            markersize=4,
            label=shortened(site),
        )
    if len(series) > 1 or not series:
        axes.plot(*mean, color=INK, linewidth=2.6, marker="o" if len(mean[0]) == 1 else "", label=mean_label)
    axes.set_xlabel("round")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(x=0.02)
    low, high = axes.get_ylim()
    if high - low < 0.02:
        middle = float(np.mean([low, high]))
        axes.set_ylim(middle - 0.01, middle + 0.01)
    legend_below(figure, axes)
    return axes


def _height(series: Series) -> float:
    return 3.0 + 0.17 * (min(len(series), NAMED_LINES) // 3)


def _crowd(series: Series) -> str:
    return f" One grey line for each of {len(series)} sites." if len(series) > NAMED_LINES else ""
