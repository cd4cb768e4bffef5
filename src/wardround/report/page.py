"""Puts the report together and writes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wardround.core.files import write_atomically
from wardround.report.reading import Results, Run, read_beside, read_run

if TYPE_CHECKING:
    from jinja2 import Template

    from wardround.report.drawing import Panel

SITES_IN_FULL = 12
LINKS_IN_FULL = 24


def write_report(run: Path, beside: Sequence[Path] = ()) -> Path:
    """Write ``report.html`` into a run folder: one file that needs no other and no network.

    The same folders give the same bytes, as long as matplotlib is the same. Nothing is trained. Images are shown only
    where the run folder holds some: a few test images of a published source, with their masks or restored.

    Args:
        run: folder of a run that is done, or that stopped with an error.
        beside: folders of other runs on the same data to compare with, such as the yardsticks ``central`` and
            ``local``; without any, those that the summary names and that are there.

    Returns:
        The path of the report.

    Raises:
        RunFolderError: a folder is missing, damaged, unfinished or made on other data.
    """
    found = read_run(run)
    named = [run / name for name in found.beside]
    others = [read_beside(path, found) for path in beside or [path for path in named if path.is_dir()]]
    text = _template().render(_context(found, others))
    path = run / "report.html"
    write_atomically(path, text.encode("utf-8", errors="replace"))
    return path


def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    folder = files("wardround.report")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string((folder / "report.html").read_text(encoding="utf-8"))


def _context(run: Run, others: Sequence[Run]) -> dict[str, Any]:
    from wardround.report import tables, verdicts, words
    from wardround.report.chain import chain_of
    from wardround.report.curves import loss_panel, validation_panel

    results = run.results
    return {
        "run": run,
        "style": (files("wardround.report") / "style.css").read_text(encoding="utf-8"),
        "words": words,
        "lead": _lead(run),
        "curves": [loss_panel(run), validation_panel(run)],
        "work": tables.site_work(run),
        "troubles": tables.troubles(run),
        "judged": verdicts.judged_rows(run),
        "trust": verdicts.trust_panel(run),
        "chain": chain_of(run),
        "links_in_full": LINKS_IN_FULL,
        "sites_in_full": SITES_IN_FULL,
        "galleries": [],
        **({} if results is None else _results_context(run, results, others)),
    }


def _results_context(run: Run, results: Results, others: Sequence[Run]) -> dict[str, Any]:
    from wardround.report import tables
    from wardround.report.drift import drift_rows, feature_panel, light_panel
    from wardround.report.pictures import caption, galleries
    from wardround.report.results import bars_panel, label_panel
    from wardround.report.synthetic import CAPTION, sheets
    from wardround.report.verdicts import attacked_rows
    from wardround.report.words import METRICS, SHARED

    names = _labels([run, *others])
    metric = tables.headline(results)
    shown = galleries(run, results)
    made = sheets(run, results)
    classifies = results.task == "classification"
    beside = [(name, other, other.results) for name, other in zip(names[1:], others, strict=True) if other.results]
    return {
        "results": results,
        "metric_names": tables.metric_names(results),
        "metric_rows": tables.metric_rows(results),
        "metric_note": tables.metric_note(run, results),
        "headline": METRICS[metric],
        "attacks": attacked_rows(results.attacks),
        "classifies": classifies,
        "shared": SHARED[results.task],
        "comparison": tables.comparison(names[0], run, results, beside),
        "bars": bars_panel(names[0], results, [(name, found) for name, _, found in beside]),
        "tests": _tests(run, results, metric),
        "galleries": shown or made,
        "galleries_caption": caption(results.task, shown) if shown else CAPTION,
        "shows_test_images": bool(shown),
        "labels": label_panel(results),
        "apart": drift_rows(results),
        "drifts": [light_panel(results), feature_panel(results)],
        "confusion": tables.confusion(results),
        "phases": tables.phases(results.seconds),
        "covered": tables.leaks(results.privacy["covered"]),
        "not_covered": tables.leaks(results.privacy["not_covered"]),
    }


def _tests(run: Run, results: Results, metric: str) -> list[Panel]:
    from wardround.report.marks import departure_panel, marks_panel
    from wardround.report.results import calibration_panel, roc_panel, scores_panel
    from wardround.report.synthetic import class_panel

    if results.task == "classification":
        return [roc_panel(results), calibration_panel(results)]
    if results.task == "synthesis":
        marks = [marks_panel(results.marks), departure_panel(run.path)] if results.marks else []
        return [class_panel(results), *marks]
    return [scores_panel(results, metric)]


def _lead(run: Run) -> str:
    from wardround.report import words

    sites = {site for record in run.records for site in record.cohort}
    model = words.model_name(run.plan)
    return (
        f"{model[0].upper()}{model[1:]}, trained on {words.source_name(run.plan)} "
        f"{words.how(run.algorithm, len(sites))}, in {words.plural(len(run.records), 'round')}."
    )


def _labels(runs: Sequence[Run]) -> list[str]:
    """Call each run by what sets it apart: its algorithm, else its name, else its number."""
    from wardround.report.words import ALGORITHMS, name_of

    for names in ([name_of(ALGORITHMS, run.algorithm) for run in runs], [run.name for run in runs]):
        if max(Counter(names).values()) == 1:
            return names
    return [f"{run.name} ({number})" for number, run in enumerate(runs, start=1)]
