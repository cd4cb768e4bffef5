"""The report: whole, self-contained, the same bytes every time, and safe whatever the data say."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from pages import page

from wardround.errors import RunFolderError
from wardround.report import write_report
from wardround.study.run import train
from wardround.study.spec import parse

HOSTILE = "</style><script>alert('x')</script>&\"$\\frac{"


def trained(folder: Path, algorithm: str, **evaluation: Any) -> Path:
    plan = parse(
        {
            "name": f"slide-{algorithm}",
            "rounds": 2,
            "data": {"source": "slide"},
            "algorithm": {"name": algorithm},
            "training": {"steps": 2},
            "evaluation": {"every": 1, "bootstrap": 50, **evaluation},
        }
    )
    return train(plan, out=folder / algorithm, workers=0)


@pytest.fixture(scope="module")
def federated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("federated"), "fedavg")


@pytest.fixture(scope="module")
def central(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("central"), "central")


@pytest.fixture
def run(federated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(federated, tmp_path / "run"))


def edit_summary(run: Path, change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((run / "summary.json").read_text())
    change(summary)
    (run / "summary.json").write_text(json.dumps(summary))
    return summary


def edit_records(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    records = [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]
    for record in records:
        change(record)
    (run / "rounds.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def test_the_same_folder_gives_the_same_bytes_even_in_another_process(run: Path, central: Path) -> None:
    first = write_report(run, [central]).read_bytes()
    assert write_report(run, [central]).read_bytes() == first
    code = (
        "import sys; from pathlib import Path; from wardround.report import write_report\n"
        "write_report(Path(sys.argv[1]), [Path(sys.argv[2])]); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(run), str(central)], check=True)
    assert (run / "report.html").read_bytes() == first
    assert list(run.glob("*.partial")) == []


def test_importing_the_report_costs_nothing_heavy() -> None:
    code = "import sys, wardround.report; assert not {'torch', 'matplotlib', 'jinja2'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_it_shows_the_numbers_of_the_summary(run: Path) -> None:
    summary = json.loads((run / "summary.json").read_text())
    found = page(run)
    for description, interval in [
        (summary["metrics"]["pooled"], summary["intervals"]["pooled"]),
        *((summary["metrics"]["sites"][site], summary["intervals"]["sites"][site]) for site in summary["sites"]),
    ]:
        for metric, value in description.items():
            assert f"{value:.3f}" in found.text
            assert "{:.3f}–{:.3f}".format(*interval[metric]) in found.text
    assert "FedAvg at 4 sites, in 2 rounds." in found.text
    confusion = np.sum(list(summary["confusion"].values()), axis=0)
    for number in confusion.ravel().tolist():
        assert str(number) in found.text
    for package, version in summary["versions"].items():
        assert f"{package} {version}" in found.text
    assert (run / "plan.toml").read_text() in html.unescape((run / "report.html").read_text())


def test_every_figure_is_there_and_says_what_it_shows(run: Path) -> None:
    figures = [attributes for tag, attributes in page(run).tags if tag == "svg"]
    assert len(figures) == 8
    alts = [str(attributes["aria-label"]) for attributes in figures]
    starts = ("Training loss", "Validation", "AUC on the test", "ROC", "Reliability", "Training images by class")
    for start in (*starts, "Mean grey level of each channel", "Distance of mean features"):
        assert any(alt.startswith(start) for alt in alts)
    assert all(attributes["role"] == "img" for attributes in figures)


def test_it_needs_no_other_file_and_shows_no_pixel(run: Path, central: Path) -> None:
    found = page(run, central)
    text = (run / "report.html").read_text(encoding="utf-8")
    tags = {tag for tag, _ in found.tags}
    assert not tags & {"script", "img", "image", "iframe", "link", "object"}
    for _, attributes in found.tags:
        for key in ("href", "xlink:href", "src"):
            assert str(attributes.get(key) or "#").startswith("#")
    assert not re.search(r"url\((?!#)|@import|data:", text)
    assert "default-src 'none'" in text
    assert str(run.parent) not in text


def test_identifiers_are_defined_once_or_alike(run: Path) -> None:
    text = write_report(run).read_text(encoding="utf-8")
    for target in set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', text)):
        assert f'id="{"".join(target)}"' in text
    assert not re.search(r'id="(figure|axes|text|patch)_\d', text)


def test_comparison_is_paired_and_counts_the_floor(run: Path, central: Path) -> None:
    edit_summary(
        run,
        lambda s: s.update(floor={"auc": 0.612, "low": 0.587, "high": 0.645, "what": "linear model on mean colour"}),
    )
    found = page(run, central)
    mine, other = (json.loads((folder / "summary.json").read_text())["metrics"] for folder in (run, central))
    difference = other["pooled"]["auc"] - mine["pooled"]["auc"]
    assert f"{difference:+.3f}".replace("-", "−") in found.text
    assert f"{np.mean([site['auc'] for site in mine['sites'].values()]):.3f}" in found.text
    assert "pooled training" in found.text
    assert "linear model on mean colour" in found.text
    assert "0.587–0.645" in found.text


def test_runs_that_the_summary_names_are_compared_without_asking(run: Path, central: Path) -> None:
    shutil.copytree(central, run.parent / "yardstick")
    edit_summary(run, lambda s: s.update(beside=["../yardstick", "../gone"]))
    assert "Beside other runs on the same data" in page(run).text


def test_runs_of_one_algorithm_are_told_apart(run: Path, federated: Path) -> None:
    text = page(run, federated).text
    assert "slide-fedavg (1)" in text
    assert "slide-fedavg (2)" in text
    assert "+0.000" in text


def test_other_data_are_not_compared(run: Path, federated: Path) -> None:
    plan = (run / "plan.toml").read_text()
    (run / "plan.toml").write_text(plan.replace("split_seed = 0", "split_seed = 1"))
    with pytest.raises(RunFolderError, match="was made on other data"):
        write_report(run, [federated])


def hostile(run: Path) -> None:
    """Give the first site, a class, a failure, a version and the floor names that try to leave their place."""

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {HOSTILE if key == "north-east" else key: renamed(member) for key, member in value.items()}
        if isinstance(value, list):
            return [renamed(member) for member in value]
        return HOSTILE if value in ("north-east", "much DAB") else value

    def change_summary(summary: dict[str, Any]) -> None:
        changed = renamed(summary)
        changed["name"] = HOSTILE
        changed["versions"]["numpy"] = HOSTILE
        changed["not_tested"] = {HOSTILE: HOSTILE}
        changed["floor"] = {"auc": 0.6, "low": 0.5, "high": 0.7, "what": HOSTILE}
        summary.update(changed)
        changed["privacy"]["not_covered"].append(HOSTILE)

    def change_record(record: dict[str, Any]) -> None:
        changed = renamed(record)
        changed["failed"] = {HOSTILE: HOSTILE}
        changed["events"] = [HOSTILE]
        record.update(changed)

    edit_summary(run, change_summary)
    edit_records(run, change_record)
    with (run / "plan.toml").open("a") as plan:
        plan.write(f"# {HOSTILE}\n")


def test_whatever_the_data_say_stays_text(run: Path) -> None:
    before = {tag for tag, _ in page(run).tags}
    hostile(run)
    found = page(run)
    assert {tag for tag, _ in found.tags} <= before | {"ul", "li", "td", "code"}
    assert "script" not in {tag for tag, _ in found.tags}
    assert found.text.count(HOSTILE) >= 10
    assert not [key for _, attributes in found.tags for key in attributes if key.startswith("on")]


def test_letters_that_our_font_lacks_are_no_trouble(run: Path) -> None:
    content = (run / "summary.json").read_text().replace("north-east", "北京\u0007")
    (run / "summary.json").write_text(content.replace("\u0007", ""))
    assert "北京" in page(run).text


def test_failures_are_gathered(run: Path) -> None:
    def change(record: dict[str, Any]) -> None:
        record["failed"] = {"north-east": "the update holds a NaN or an infinity"}
        record["events"] = ["worker 1 was started again"] if record["round"] == 1 else []

    assert "None: every site that was asked answered well" in page(run).text
    edit_records(run, change)
    text = page(run).text
    assert text.count("the update holds a NaN or an infinity") == 1
    assert "0–1 north-east the update holds" in text
    assert "1 – worker 1 was started again" in text


def test_a_run_without_predictions_says_why_figures_are_missing(tmp_path: Path) -> None:
    found = page(trained(tmp_path, "fedavg", share="metrics", every=0))
    assert len([tag for tag, _ in found.tags if tag == "svg"]) == 2
    assert found.text.count("The single predictions did not leave the sites") == 2
    assert "The sites did not say how many images of each class they hold" in found.text
    assert "the plan sets evaluation.every = 0" in found.text
    assert "the class probabilities and labels of each" not in found.text


def test_a_run_that_stopped_has_a_report(run: Path) -> None:
    done = json.loads((run / "summary.json").read_text())
    kept = {key: done[key] for key in ("schema", "name", "plan_digest", "seed", "versions")}
    (run / "summary.json").write_text(json.dumps({**kept, "status": "failed", "reason": "round 2 had 1 good update"}))
    found = page(run)
    assert "This run stopped. round 2 had 1 good update" in found.text
    assert "2 completed rounds are kept" in found.text
    assert len([tag for tag, _ in found.tags if tag == "svg"]) == 2
    (run / "rounds.jsonl").unlink()
    assert "No round was completed" in page(run).text


def test_pooled_training_is_called_what_it_is(central: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(central, tmp_path / "run"))
    text = page(run).text
    assert "a yardstick, not a federation" in text
    assert "it needs all images in one place" in text


def test_a_thousand_sites_stay_readable(run: Path) -> None:
    names = [f"site-{index:04d}" for index in range(1000)]

    def multiply(summary: dict[str, Any]) -> None:
        for table in (summary["metrics"], summary["intervals"], summary["tested"]):
            table["sites"] = dict.fromkeys(names, table["sites"]["north-east"])
        for key in ("confusion", "sites"):
            summary[key] = dict.fromkeys(names, summary[key]["north-east"])

    def multiply_record(record: dict[str, Any]) -> None:
        record["cohort"] = names
        record["accepted"] = dict.fromkeys(names, record["accepted"]["north-east"])

    edit_summary(run, multiply)
    edit_records(run, multiply_record)
    text = page(run).text
    assert "988 more sites" in text
    assert "One grey line for each of 1000 sites" in text
    assert "The first 29 of 1000 sites" in text


@pytest.mark.parametrize("name", ["plan.toml", "summary.json", "rounds.jsonl", "predictions.safetensors"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe nonsense {\n", b"[1, 2]\n", b'{"schema": 1, "status": "done"}\n'])
def test_damaged_files_are_refused_by_name(run: Path, name: str, content: bytes) -> None:
    (run / name).write_bytes(content)
    with pytest.raises(RunFolderError) as caught:
        write_report(run)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)
    assert not (run / "report.html").exists()


@pytest.mark.parametrize("name", ["plan.toml", "summary.json", "rounds.jsonl"])
def test_missing_files_are_refused(run: Path, name: str) -> None:
    (run / name).unlink()
    with pytest.raises(RunFolderError, match=re.escape(name)):
        write_report(run)


def test_absent_folders_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="is no run folder"):
        write_report(tmp_path / "absent")
    with pytest.raises(RunFolderError, match="is no run folder"):
        write_report(run, [tmp_path / "absent"])


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.update(schema=2),
        lambda s: s["metrics"]["pooled"].update(auc="high"),
        lambda s: s["metrics"]["pooled"].update(auc=float("nan")),
        lambda s: s["intervals"]["pooled"].update(auc=[0.1]),
        lambda s: s["confusion"].update({"north-east": [[1]]}),
        lambda s: s["sites"]["north-east"].update(label_counts=[1]),
        lambda s: s["bytes"].update(up=-1),
        lambda s: s.update(seconds=[1]),
        lambda s: s.update(floor={"auc": 0.6}),
        lambda s: s.pop("tested"),
    ],
)
def test_a_summary_that_contradicts_itself_is_refused(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    edit_summary(run, change)
    with pytest.raises(RunFolderError, match=r"summary\.json is damaged"):
        write_report(run)


def test_predictions_that_do_not_fit_are_refused(run: Path) -> None:
    arrays = safetensors.numpy.load_file(run / "predictions.safetensors")
    for damaged in (
        {**arrays, "labels": arrays["labels"] + 2},
        {**arrays, "probabilities": arrays["probabilities"] * 2},
        {key: value for key, value in arrays.items() if key != "groups"},
    ):
        safetensors.numpy.save_file(damaged, run / "predictions.safetensors")
        with pytest.raises(RunFolderError, match=r"predictions\.safetensors is damaged"):
            write_report(run)


def test_a_line_that_a_crash_cut_short_does_not_count(run: Path) -> None:
    before = write_report(run).read_bytes()
    with (run / "rounds.jsonl").open("ab") as lines:
        lines.write(b'{"round": 2, "coh')
    assert write_report(run).read_bytes() == before
