"""Rows of the report's tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wardround.errors import DataError
from wardround.metrics.clinical import Predictions, macro_auc
from wardround.metrics.intervals import Description, Estimate, paired_difference, worst_of
from wardround.metrics.measures import Outcome
from wardround.metrics.scores import MeanOf, Scores
from wardround.report.reading import Results, Run
from wardround.report.words import (
    ALGORITHMS,
    HEADLINES,
    LEAKS,
    METRICS,
    NOTES,
    PHASES,
    UNDEFINED,
    count,
    decimal,
    duration,
    interval,
    listed,
    name_of,
    plural,
    round_ranges,
    signed,
    signed_interval,
    size,
)


@dataclass(frozen=True)
class Cell:
    """A number, and below it in small print how sure it is."""

    value: str
    small: str = ""


@dataclass(frozen=True)
class Row:
    """A line of a table: its name, what explains the name, and its cells."""

    name: str
    small: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Compared:
    """One run of the comparison.

    Attributes:
        name: of the run.
        algorithm: readable.
        pooled: AUC (or Dice, PSNR) over all test images.
        difference: this, minus that of the run this report is about, on the same images.
        site_mean: mean over sites of their own.
        sites: of each site.
    """

    name: str
    algorithm: str
    pooled: Cell
    difference: Cell
    site_mean: Cell
    sites: tuple[Cell, ...]


@dataclass(frozen=True)
class Shade:
    """A cell of the confusion matrix: a number of images, and its share of the row in percent."""

    number: int
    percent: int


@dataclass(frozen=True)
class Part:
    """A phase of the run: its seconds, and their share in percent."""

    name: str
    duration: str
    percent: float


@dataclass(frozen=True)
class SiteWork:
    """What one site did over all rounds."""

    site: str
    rounds: str
    duration: str
    sent: str


@dataclass(frozen=True)
class Trouble:
    """Something that happened in one or more rounds."""

    rounds: str
    site: str
    what: str


def metric_names(results: Results) -> tuple[str, ...]:
    """Name the metrics of a run in the order of the summary."""
    return tuple(name_of(METRICS, name) for name in results.pooled.metrics)


def metric_rows(results: Results) -> list[Row]:
    """One row for all test images, one for the worst of several sites in each metric, and one for each site."""
    columns = tuple(results.pooled.metrics)
    return [
        _metric_row("All sites, pooled", results.pooled, columns),
        *([_worst_row(results, columns)] if len(results.sites) > 1 else []),
        *(_metric_row(site, found, columns) for site, found in results.sites.items()),
    ]


def _worst_row(results: Results, columns: Sequence[str]) -> Row:
    values = {s: {name: e.value for name, e in found.metrics.items()} for s, found in results.sites.items()}
    worst = worst_of(values)
    cells = [Cell(decimal(worst[name][1]), worst[name][0]) if name in worst else Cell(UNDEFINED) for name in columns]
    return Row("Worst site", "", (Cell(""), *cells))


def _metric_row(name: str, description: Description, columns: Sequence[str]) -> Row:
    cells = [Cell(count(description.num_examples), plural(description.num_groups, "group"))]
    cells += [_cell(description.metrics.get(column, Estimate(None))) for column in columns]
    return Row(name, ", ".join(description.auc_classes), tuple(cells))


def _cell(estimate: Estimate) -> Cell:
    return Cell(decimal(estimate.value), interval(estimate))


def headline(results: Results) -> str:
    """Return the metric by which runs are compared."""
    return next(name for name in HEADLINES if name in results.pooled.metrics)


def metric_note(run: Run, results: Results) -> str:
    """Say what the metrics are; of a classifier, name the classes that each AUC averages."""
    return NOTES[results.task] if results.task in NOTES else _auc_note(run, results)


def _auc_note(run: Run, results: Results) -> str:
    enough = f"at least {run.min_positives} patients or lesions"
    if len(results.classes) == 2:
        positive, negative = results.classes[1], results.classes[0]
        return f"AUC is that of “{positive}” against “{negative}”; it is defined where {enough} show each of them."
    usual = results.pooled.auc_classes
    differing = [f"{site}: {_classes(found)}" for site, found in results.sites.items() if found.auc_classes != usual]
    note = f"AUC averages one class against the rest, over the classes that {enough} show: {_classes(results.pooled)}."
    return note + (
        f" Fewer or others at {'; '.join(differing[:12])}." if differing else " They are the same at every site."
    )


def _classes(description: Description) -> str:
    return listed(description.auc_classes, 30) or "none"


def comparison(name: str, run: Run, results: Results, beside: Sequence[tuple[str, Run, Results]]) -> list[Compared]:
    """Compare runs on the same test images; empty when there is nothing beside this run, not even a floor."""
    if not beside and results.floor is None:
        return []
    places = tuple(results.sites)
    metric = headline(results)
    rows = [_compared(name, run, results, Cell(UNDEFINED), places, metric)]
    for label, other, found in beside:
        difference = _difference(run, results.predictions, found.predictions, metric)
        rows.append(_compared(label, other, found, difference, places, metric))
    if results.floor is not None:
        none = Cell(UNDEFINED)
        floor = results.floor
        rows.append(Compared("Floor", floor.what, _cell(floor.auc), none, none, tuple(none for _ in places)))
    return rows


def _compared(name: str, run: Run, results: Results, difference: Cell, places: Sequence[str], metric: str) -> Compared:
    found = [results.sites[place].metrics[metric] if place in results.sites else Estimate(None) for place in places]
    values = [estimate.value for estimate in found]
    defined = [value for value in values if value is not None]
    site_mean = float(np.mean(defined)) if defined and len(defined) == len(values) else None
    return Compared(
        name,
        name_of(ALGORITHMS, run.algorithm),
        _cell(results.pooled.metrics[metric]),
        difference,
        Cell(decimal(site_mean)),
        tuple(_cell(estimate) for estimate in found),
    )


def _difference(run: Run, mine: Outcome | None, other: Outcome | None, metric: str) -> Cell:

    def auc(predictions: Predictions, weights: np.ndarray) -> np.ndarray:
        return macro_auc(predictions, weights, min_positive_groups=run.min_positives)

    replicates = int(run.plan["evaluation"].get("bootstrap", 0))
    try:
        if isinstance(mine, Predictions) and isinstance(other, Predictions):
            found = paired_difference([other], [mine], auc, replicates=replicates)
        elif isinstance(mine, Scores) and isinstance(other, Scores):
            found = paired_difference([other], [mine], MeanOf(metric), replicates=replicates)
        else:
            return Cell(UNDEFINED)
    except DataError:
        return Cell(UNDEFINED, "other test images")
    return Cell(signed(found.value), signed_interval(found))


def confusion(results: Results) -> list[tuple[str, list[Shade]]]:
    """Sum the sites' confusion matrices; one row for each true class."""
    width = len(results.classes)
    counts = sum(results.confusion.values(), np.zeros((width, width), np.int64))
    rows = []
    for name, row in zip(results.classes, counts.tolist(), strict=True):
        total = max(1, sum(row))
        rows.append((name, [Shade(number, round(100 * number / total)) for number in row]))
    return rows


def phases(seconds: Mapping[str, float]) -> list[Part]:
    """Seconds by phase, in the order of a run."""
    total = sum(seconds.values()) or 1.0
    order = [*(phase for phase in PHASES if phase in seconds), *(phase for phase in seconds if phase not in PHASES)]
    return [Part(name_of(PHASES, phase), duration(seconds[phase]), 100 * seconds[phase] / total) for phase in order]


def site_work(run: Run) -> list[SiteWork]:
    """Add up each site's accepted rounds."""
    rounds: dict[str, int] = {}
    seconds: dict[str, float] = {}
    sent: dict[str, int] = {}
    for record in run.records:
        for site, said in record.accepted.items():
            rounds[site] = rounds.get(site, 0) + 1
            seconds[site] = seconds.get(site, 0.0) + said["seconds"]
            sent[site] = sent.get(site, 0) + said["bytes"]
    return [SiteWork(site, str(rounds[site]), duration(seconds[site]), size(sent[site])) for site in sorted(rounds)]


def troubles(run: Run) -> list[Trouble]:
    """Gather failures and repairs; the same one in many rounds is one row."""
    found: dict[tuple[str, str], list[int]] = {}
    for record in run.records:
        for site, reason in record.failed.items():
            if site in record.judged:  # what screens say of it has a table of its own
                continue
            found.setdefault((site, reason), []).append(record.round)
        for event in record.events:
            rounds = found.setdefault(("", event), [])
            if record.round not in rounds:
                rounds.append(record.round)
    rows = [Trouble(round_ranges(rounds), site, what) for (site, what), rounds in found.items()]
    if run.results is not None:
        rows += [Trouble("final test", site, reason) for site, reason in run.results.not_tested.items()]
        rows += [Trouble("end", "", what) for what in run.results.signing_troubles]
    return rows


def leaks(names: Sequence[Any]) -> list[str]:
    """Say in words what privacy covers, or does not."""
    return [name_of(LEAKS, str(name)) for name in names]
