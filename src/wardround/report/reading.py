"""Reads what a report shows from a run folder, and refuses a folder that contradicts itself."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from wardround.errors import DataError, RunFolderError
from wardround.metrics.intervals import Description, Estimate
from wardround.metrics.measures import Outcome, measures_of
from wardround.report.attacks import AttackResult, attack_of
from wardround.report.looks import Looks, looks_of
from wardround.report.marks import MarkLeft, marks_of
from wardround.report.values import count, number, text, texts
from wardround.rounds.record import RoundRecord

SCHEMA_VERSION = 1

Content = TypeVar("Content")


@dataclass(frozen=True)
class SiteFacts:
    """What a site said of itself when it joined.

    Attributes:
        num_train: training images.
        num_val: validation images.
        num_test: test images.
        label_counts: training images of each class; ``None`` where that did not leave the site.
    """

    num_train: int
    num_val: int
    num_test: int
    label_counts: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Floor:
    """What a model that cannot see shapes reaches on the same test images.

    Attributes:
        auc: pooled AUC with its interval.
        what: names the model.
    """

    auc: Estimate
    what: str


@dataclass(frozen=True)
class Results:
    """What only a finished run has.

    Attributes:
        classes: names, in the order of the network's outputs.
        malignant: those that count as malignant.
        pooled: metrics over all test images.
        sites: metrics on each site's own test images.
        confusion: site -> int64 ``(C, C)``, rows true, columns predicted; empty for other tasks than classification.
        facts: site -> what it holds; under ``central`` alone for a pooled run.
        not_tested: site -> why it is missing from `sites`.
        privacy: the ``privacy`` table as it stands in the summary.
        bytes_up: of all accepted updates.
        bytes_down: of all broadcasts.
        seconds: phase -> seconds at the coordinator.
        personal: number of weight arrays that stayed at the sites.
        model_sha256: of ``model.safetensors``.
        predictions: what was said of each test image, pooled; ``None`` where that did not leave the sites.
        floor: see `Floor`; ``None`` if none was computed.
        confirmed: sites that heard the end of the ledger from each other; ``None`` if the summary does not say.
        signing_troubles: what went wrong when the sites signed that end.
        task: what was learned, by its name in the plan.
        looks: site -> what its test images look like; empty where that did not leave the sites.
        feature_distances: site -> other site -> distance of their mean features; likewise.
        marks: what became of triggers on images, where malicious sites of a simulation had some.
    """

    classes: tuple[str, ...]
    malignant: tuple[str, ...]
    pooled: Description
    sites: Mapping[str, Description]
    confusion: Mapping[str, np.ndarray]
    facts: Mapping[str, SiteFacts]
    not_tested: Mapping[str, str]
    privacy: Mapping[str, Any]
    bytes_up: int
    bytes_down: int
    seconds: Mapping[str, float]
    personal: int
    model_sha256: str
    predictions: Outcome | None = None
    floor: Floor | None = None
    confirmed: tuple[str, ...] | None = None
    signing_troubles: tuple[str, ...] = ()
    task: str = "classification"
    looks: Mapping[str, Looks] = field(default_factory=dict)
    feature_distances: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    marks: tuple[MarkLeft, ...] = ()
    attacks: tuple[AttackResult, ...] = ()


@dataclass(frozen=True)
class Run:
    """One run folder, read and checked.

    Attributes:
        path: of the folder.
        name: of the run.
        plan: ``plan.toml`` as nested tables.
        plan_text: the same as it is written.
        plan_digest: 64 hexadecimal digits.
        records: one per completed round.
        reason: why the run stopped; empty when it is done.
        versions: package -> version.
        results: ``None`` for a run that stopped.
        beside: run folders that the summary names for comparison, relative to the folder.
    """

    path: Path
    name: str
    plan: Mapping[str, Any]
    plan_text: str
    plan_digest: str
    records: Sequence[RoundRecord]
    reason: str
    versions: Mapping[str, str]
    results: Results | None
    beside: tuple[str, ...]

    @property
    def algorithm(self) -> str:
        """Name of the algorithm in the plan; any that pools all images is ``central``."""
        said = self.plan["algorithm"]
        return "central" if said.get("pooled") is True else str(said["name"])

    @property
    def task(self) -> str:
        """Name of what is learned, as the plan has it."""
        return str(self.plan.get("task", {"name": "classification"})["name"])

    @property
    def min_positives(self) -> int:
        """Groups that a class needs to count in an AUC."""
        return int(self.plan["evaluation"]["min_positives"])


def read_run(path: Path) -> Run:
    """Read a run folder.

    Raises:
        RunFolderError: a file is missing or damaged, or the run never came to an end of any kind.
    """
    if not (path / "plan.toml").is_file():
        raise RunFolderError(f"{path} is no run folder: it holds no plan.toml")
    if not (path / "summary.json").is_file():
        raise RunFolderError(f"{path} holds no summary.json: finish the run with --resume")
    plan, plan_text = _parsed(path / "plan.toml", _plan)
    summary = _parsed(path / "summary.json", _object)
    records = _parsed(path / "rounds.jsonl", _records) if (path / "rounds.jsonl").is_file() else []
    run = _parsed(path / "summary.json", lambda _: _run(path, plan, plan_text, records, summary))
    found = path / "predictions.safetensors"
    if run.results is None or not found.is_file():
        return run
    return replace(run, results=replace(run.results, predictions=_predictions(found, run.results)))


def read_beside(path: Path, run: Run) -> Run:
    """Read a run folder that is compared with `run`.

    Raises:
        RunFolderError: it cannot be read, did not finish, or was trained on other data.
    """
    other = read_run(path)
    if other.results is None or run.results is None:
        stopped = other if other.results is None else run
        raise RunFolderError(f"{stopped.path} did not finish, so there is nothing to compare: go on with --resume")
    if _data(other) != _data(run) or other.results.classes != run.results.classes:
        raise RunFolderError(f"{path} was made on other data than {run.path}: compare runs whose [data] is the same")
    return other


def _data(run: Run) -> dict[str, Any]:
    return {key: value for key, value in run.plan["data"].items() if key != "path"}  # the same files may lie elsewhere


def _parsed(path: Path, read: Callable[[bytes], Content]) -> Content:
    try:
        return read(path.read_bytes())
    except OSError as error:
        raise RunFolderError(f"{path} cannot be read: {error.strerror}") from None
    except KeyError as error:
        raise RunFolderError(f"{path} is damaged: it lacks {error.args[0]!r}") from None
    except (ValueError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise RunFolderError(f"{path} is damaged: {error}") from None


def _plan(content: bytes) -> tuple[dict[str, Any], str]:
    text = content.decode()
    plan = tomllib.loads(text)
    for table, key in (
        ("algorithm", "name"),
        ("model", "name"),
        ("data", "source"),
        ("data", "sites"),
        ("evaluation", "min_positives"),
    ):
        plan[table][key]  # a KeyError names what a plan written by this package always has
    return plan, text


def _object(content: bytes) -> dict[str, Any]:
    found = json.loads(content)
    if not isinstance(found, dict):
        raise ValueError("it holds no object")
    if found.get("schema") != SCHEMA_VERSION:
        raise ValueError(f"its schema is {found.get('schema')!r}, this version reads {SCHEMA_VERSION}")
    return found


def _records(content: bytes) -> list[RoundRecord]:
    # What follows the last line feed was cut short by a crash.
    records = [RoundRecord.from_json(json.loads(line)) for line in content.split(b"\n")[:-1]]
    for record in records:
        for said in record.accepted.values():
            number(said["loss"]), number(said["seconds"]), count(said["bytes"]), count(said["num_examples"])
        for values in record.validation.values():
            _ = [value is None or number(value) for value in values.values()]
        _ = [text(reason) for reason in (*record.failed.values(), *record.events)]
        count(record.round), count(record.bytes_up), count(record.bytes_down)
    return records


def _run(
    path: Path,
    plan: Mapping[str, Any],
    plan_text: str,
    records: Sequence[RoundRecord],
    summary: Mapping[str, Any],
) -> Run:
    done = {"done": True, "failed": False}[summary["status"]]
    if done and not records:
        raise ValueError("it says the run is done, but rounds.jsonl holds no round")
    return Run(
        path=path,
        name=text(summary["name"]),
        plan=plan,
        plan_text=plan_text,
        plan_digest=text(summary["plan_digest"]),
        records=records,
        reason="" if done else text(summary["reason"]),
        versions={text(package): text(version) for package, version in summary["versions"].items()},
        results=_results(summary) if done else None,
        beside=texts(summary.get("beside", ())),
    )


def _results(summary: Mapping[str, Any]) -> Results:
    classes = texts(summary["classes"])
    task = text(summary.get("task", "classification"))
    measures_of(task)
    tested = {site: _description(summary, "sites", site) for site in summary["metrics"]["sites"]}
    return Results(
        classes=classes,
        malignant=texts(summary["malignant"]),
        pooled=_description(summary, "pooled"),
        sites=tested,
        confusion={
            site: _square(summary["confusion"][site], len(classes)) for site in tested if task == "classification"
        },
        facts={site: _facts(said, len(classes)) for site, said in summary["sites"].items()},
        not_tested={text(site): text(reason) for site, reason in summary["not_tested"].items()},
        privacy={key: summary["privacy"][key] for key in ("epsilon", "delta", "unit", "covered", "not_covered")},
        bytes_up=count(summary["bytes"]["up"]),
        bytes_down=count(summary["bytes"]["down"]),
        seconds={text(phase): number(seconds) for phase, seconds in summary["seconds"].items()},
        personal=len(summary["personal"]),
        model_sha256=text(summary["model_sha256"]),
        floor=_floor(summary["floor"]) if summary.get("floor") is not None else None,
        confirmed=texts(summary["ledger"]["confirmed"]) if "ledger" in summary else None,
        signing_troubles=texts(summary["ledger"]["events"]) if "ledger" in summary else (),
        task=task,
        marks=marks_of(summary.get("marks", ())),
        looks={text(site): looks_of(said) for site, said in summary.get("drift", {}).get("looks", {}).items()},
        feature_distances={
            text(site): {text(other): number(far) for other, far in row.items()}
            for site, row in summary.get("drift", {}).get("features", {}).items()
        },
        attacks=tuple(attack_of(said) for said in summary.get("attacks", [])),
    )


def _description(summary: Mapping[str, Any], *where: str) -> Description:
    values, intervals, tested = summary["metrics"], summary["intervals"], summary["tested"]
    for key in where:
        values, intervals, tested = values[key], intervals[key], tested[key]
    return Description(
        metrics={name: _estimate(value, intervals[name]) for name, value in values.items()},
        auc_classes=texts(tested["auc_classes"]),
        num_examples=count(tested["examples"]),
        num_groups=count(tested["groups"]),
    )


def _estimate(value: Any, interval: Any) -> Estimate:
    low, high = (None, None) if interval is None else (number(interval[0]), number(interval[1]))
    return Estimate(None if value is None else number(value), low, high)


def _floor(said: Mapping[str, Any]) -> Floor:
    interval = None if said["low"] is None or said["high"] is None else (said["low"], said["high"])
    return Floor(_estimate(said["auc"], interval), text(said["what"]))


def _facts(said: Mapping[str, Any], width: int) -> SiteFacts:
    counts = said.get("label_counts")
    if counts is not None and len(counts) != width:
        raise ValueError(f"label_counts has {len(counts)} numbers for {width} classes")
    return SiteFacts(
        count(said["num_train"]),
        count(said["num_val"]),
        count(said["num_test"]),
        None if counts is None else tuple(count(number) for number in counts),
    )


def _square(rows: Sequence[Sequence[Any]], width: int) -> np.ndarray:
    counts = np.array([[count(number) for number in row] for row in rows], dtype=np.int64)
    if counts.shape != (width, width):
        raise ValueError(f"a confusion matrix has shape {counts.shape}, not {(width, width)}")
    return counts


def _predictions(path: Path, results: Results) -> Outcome:
    import safetensors.numpy
    from safetensors import SafetensorError

    def read(content: bytes) -> Outcome:
        arrays = safetensors.numpy.load(content)
        return measures_of(results.task, results.classes, results.malignant).outcome(arrays, arrays["groups"])

    try:
        return _parsed(path, read)
    except (SafetensorError, DataError) as error:
        raise RunFolderError(f"{path} is damaged: {error}") from None
