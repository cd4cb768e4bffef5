"""Figures of the final test: bars by site, ROC, calibration; and what the sites' labels look like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wardround.metrics.clinical import CALIBRATION_BINS, Predictions, binary_auc, confidence_bins, roc_curve
from wardround.metrics.intervals import Description, Estimate
from wardround.metrics.scores import Scores
from wardround.report.drawing import DASHES, INK, MUTED, PALETTE, Panel, colours, draw, legend_below
from wardround.report.reading import Results
from wardround.report.words import HEADLINES, METRICS, count, decimal, listed, plural, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_BARS = 30
NO_PREDICTIONS = (
    "The single predictions did not leave the sites (evaluation.share), so this figure cannot be drawn; "
    "the metrics above were computed at the sites."
)


def bars_panel(name: str, results: Results, beside: Sequence[tuple[str, Results]]) -> Panel:
    """Draw the first of `HEADLINES` that is defined, of every site and run, with intervals."""
    runs = [(name, results), *beside]
    metric = next((name for name in HEADLINES if _any(runs, name)), None)
    if metric is None:
        return Panel("By site", "No metric is defined on any site's test part: there are too few test images.")
    chance = {"auc": 0.5, "balanced_accuracy": 1 / max(1, len(results.classes))}.get(metric, 0.0)
    begin = f"chance, {chance:.2g}" if chance else "0"
    places = ["pooled", *results.sites]
    shown = places[:MOST_BARS]
    label = METRICS[metric]
    alt = f"{label} on the test parts. " + " ".join(
        f"{name}: " + ", ".join(f"{place} {_said(found, place, metric)}" for place in shown) + "."
        for name, found in runs
    )

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        step = 0.8 / len(runs)
        for index, (label_of_run, found) in enumerate(runs):
            offset = (index - (len(runs) - 1) / 2) * step
            bars = Bars(label_of_run, PALETTE[index % len(PALETTE)], offset, step * 0.86, chance)
            bars.draw(axes, [_estimate(found, place, metric) for place in shown])
        axes.set_yticks(range(len(shown)), [shortened(place) for place in shown], color=INK)
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.axvline(chance, color=MUTED, linewidth=1)
        floor = results.floor.auc.value if results.floor is not None and metric == "auc" else None
        if floor is not None:
            axes.axvline(floor, color=INK, linestyle=":", label="floor")
        axes.set_xlabel(f"{label} on the test part (bars start at {begin})")
        axes.grid(visible=False, axis="y")
        if len(runs) > 1 or floor is not None:
            legend_below(figure, axes)

    height = 1.1 + len(shown) * max(0.3, 0.22 * len(runs)) + (0.25 if len(runs) > 1 else 0)
    caption = f"Lines are 95 % intervals (bootstrap of whole patients or lesions). {_undefined(runs, shown, metric)}"
    if len(places) > MOST_BARS:
        caption += f" The first {MOST_BARS - 1} of {len(results.sites)} sites; the table has all."
    return Panel(f"{label} by site", caption.strip(), draw("bars", alt, height, paint))


def roc_panel(results: Results) -> Panel:
    """Draw the pooled ROC curve of each class against the rest."""
    title = "ROC, pooled"
    predictions = results.predictions
    if not isinstance(predictions, Predictions):
        return Panel(title, NO_PREDICTIONS)
    curves = []
    for column in range(len(results.classes)) if len(results.classes) > 2 else [1]:
        positives, scores = predictions.labels == column, predictions.probabilities[:, column]
        alarms, hits = roc_curve(scores, positives)
        if alarms.size:
            area = float(binary_auc(scores, positives))
            curves.append((results.classes[column], area, int(positives.sum()), alarms, hits))
    if not curves:
        return Panel(title, "The test images show one class only, so there is no ROC curve.")
    alt = "ROC curves, one class against the rest. Areas: " + ", ".join(
        f"{name} {decimal(area)} (n = {number})" for name, area, number, _, _ in curves
    )

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color="#aab2bd", linewidth=1)
        palette = colours(len(curves))
        for index, (name, area, number, alarms, hits) in enumerate(curves):
            label = f"{shortened(name)}  {decimal(area)}  (n = {number})"
            axes.plot(alarms, hits, color=palette[index], linestyle=DASHES[index % len(DASHES)], label=label)
        axes.set(xlabel="false alarms among the others", ylabel="found among the class")
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
        legend_below(figure, axes, columns=2)

    caption = "Each class against the rest over all sites' test images, with the area under the curve."
    if len(results.classes) == 2:
        caption = f"“{results.classes[1]}” against “{results.classes[0]}” over all sites' test images."
    return Panel(title, caption, draw("roc", alt, 4.0 + 0.19 * ((len(curves) + 1) // 2), paint))


def calibration_panel(results: Results) -> Panel:
    """Draw how often the most probable class is right, against how probable it was said to be."""
    title = "Calibration, pooled"
    predictions = results.predictions
    if not isinstance(predictions, Predictions):
        return Panel(title, NO_PREDICTIONS)
    if not len(predictions):
        return Panel(title, "There are no test images, so there is nothing to calibrate.")
    said, right, numbers = reliability(predictions)
    error = decimal(_value(results.pooled, "calibration_error"))
    alt = f"Reliability diagram; the expected calibration error is {error}. " + " ".join(
        f"Said {s:.2f}, right {r:.2f} (n = {n})." for s, r, n in zip(said, right, numbers, strict=True)
    )

    def paint(figure: Figure) -> None:
        from matplotlib.ticker import MaxNLocator

        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        top.plot([0, 1], [0, 1], color="#aab2bd", linewidth=1)
        top.plot(said, right, color=PALETTE[0], marker="o", markersize=5)
        top.set(ylabel="share that is right", ylim=(-0.02, 1.02), xlim=(0, 1.01))
        bottom.bar(said, numbers, width=0.8 / CALIBRATION_BINS, color="#9aa5b1")
        bottom.set(xlabel="probability of the predicted class", ylabel="images")
        bottom.yaxis.set_major_locator(MaxNLocator(2, integer=True))
        figure.align_ylabels()

    caption = (
        f"On the diagonal, a prediction made with 80 % is right in 80 % of cases; below it the model is too sure. "
        f"Expected calibration error {error}."
    )
    return Panel(title, caption, draw("calibration", alt, 4.2, paint))


def scores_panel(results: Results, metric: str) -> Panel:
    """Draw which share of the test images scores at most so much, pooled."""
    label = METRICS[metric]
    title = f"{label} of single images"
    if not isinstance(results.predictions, Scores):
        return Panel(title, NO_PREDICTIONS)
    column = results.predictions.values[metric]
    scores = np.sort(column[~np.isnan(column)])
    if not scores.size:
        return Panel(title, "There are no test images, so there is nothing to show.")
    low, middle, high = np.percentile(scores, [5, 50, 95])
    alt = f"Distribution of the {label}: 5 % of the images have less than {low:.3f}, half of them {middle:.3f}."

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot(scores, np.arange(1, scores.size + 1) / scores.size, color=PALETTE[0])
        axes.set(xlabel=label, ylabel="share of images with at most this", ylim=(-0.02, 1.02))

    caption = (
        f"{plural(scores.size, 'test image')} of all sites: the middle one has {middle:.3f}; 5 % have less than "
        f"{low:.3f}, 5 % more than {high:.3f}."
    )
    return Panel(title, caption, draw("scores", alt, 3.4, paint))


def reliability(predictions: Predictions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Group predictions by the probability of the predicted class, in bins ``(low, high]``.

    Returns:
        Mean probability, share that is right, and number of images, ``(B,)`` each; empty bins are left out.
    """
    confidence, correct, bins = confidence_bins(predictions)
    numbers = np.bincount(bins, minlength=CALIBRATION_BINS)
    filled = numbers > 0
    said = np.bincount(bins, confidence, CALIBRATION_BINS)[filled] / numbers[filled]
    right = np.bincount(bins, correct, CALIBRATION_BINS)[filled] / numbers[filled]
    return said, right, numbers[filled]


def label_panel(results: Results) -> Panel:
    """Draw the share of each class among every site's training images."""
    title = "Label mix by site"
    known = {
        site: facts.label_counts
        for site, facts in results.facts.items()
        if facts.label_counts and sum(facts.label_counts)
    }
    if not known:
        return Panel(title, "The sites did not say how many images of each class they hold (evaluation.share).")
    shown = dict(list(known.items())[:MOST_BARS])
    shares = np.array([np.array(counts) / sum(counts) for counts in shown.values()])
    alt = "Training images by class. " + " ".join(
        f"{site}: " + ", ".join(f"{name} {number}" for name, number in zip(results.classes, counts, strict=True)) + "."
        for site, counts in shown.items()
    )

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        start = np.zeros(len(shown))
        for index, (name, colour) in enumerate(zip(results.classes, colours(len(results.classes)), strict=True)):
            axes.barh(
                range(len(shown)), shares[:, index], 0.72, start, color=colour, edgecolor="white", label=shortened(name)
            )
            start += shares[:, index]
        labels = [f"{shortened(site)}\nn = {count(sum(counts))}" for site, counts in shown.items()]
        axes.set_yticks(range(len(shown)), labels, color=INK)
        axes.set(xlim=(0, 1), ylim=(len(shown) - 0.5, -0.5), xlabel="share of the training images")
        axes.grid(visible=False)
        legend_below(figure, axes, columns=4)

    caption = f"Training images of each class at {plural(len(known), 'site')}."
    if len(known) > MOST_BARS:
        caption = f"Training images of each class at the first {MOST_BARS} of {plural(len(known), 'site')}."
    height = 1.1 + 0.42 * len(shown) + 0.19 * (len(results.classes) // 4)
    return Panel(title, caption, draw("labels", alt, height, paint))


@dataclass(frozen=True)
class Bars:
    """The bars of one run, one for each place, from chance to the value.

    Attributes:
        name: of the run.
        colour: of its bars.
        offset: from the middle of a place, which is 1 high.
        height: of a bar.
        chance: value at which bars start.
    """

    name: str
    colour: str
    offset: float
    height: float
    chance: float

    def draw(self, axes: Axes, estimates: Sequence[Estimate]) -> None:
        """Draw the bars, their intervals and their values; what is undefined stays empty."""
        end = self.chance
        label: str | None = shortened(self.name)
        for place, estimate in enumerate(estimates):
            if estimate.value is None:
                continue
            middle, length = place + self.offset, estimate.value - self.chance
            axes.barh(middle, length, self.height, self.chance, color=self.colour, alpha=0.55, lw=0, label=label)
            label = None  # once in the legend
            if estimate.low is not None and estimate.high is not None:
                axes.plot([estimate.low, estimate.high], [middle] * 2, color=INK, linewidth=1.1)
            right = max(self.chance, estimate.value, estimate.high or 0) + 0.008
            axes.text(right, middle, f"{estimate.value:.3f}", va="center", fontsize=8.5, color=INK)
            end = max(end, right)
        low, high = axes.get_xlim()
        axes.set_xlim(low, max(high, end + 0.055))


def _any(runs: Sequence[tuple[str, Results]], metric: str) -> bool:
    return any(
        _value(found, metric) is not None for _, results in runs for found in (results.pooled, *results.sites.values())
    )


def _estimate(results: Results, place: str, metric: str) -> Estimate:
    found = results.pooled if place == "pooled" else results.sites.get(place)
    return (found.metrics.get(metric) if found else None) or Estimate(None)


def _value(description: Description, metric: str) -> float | None:
    return description.metrics[metric].value if metric in description.metrics else None


def _said(results: Results, place: str, metric: str) -> str:
    return decimal(_estimate(results, place, metric).value).replace("–", "not defined")


def _undefined(runs: Sequence[tuple[str, Results]], places: Sequence[str], metric: str) -> str:
    absent = [p for p in places if all(_estimate(found, p, metric).value is None for _, found in runs)]
    why = "too few patients or lesions of a class" if metric in ("auc", "balanced_accuracy") else "no test image"
    return f"Not defined for {listed(absent)}: {why}." if absent else ""
