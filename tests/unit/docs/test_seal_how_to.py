"""The how-to on the sealed sum does what it says, and links lead somewhere."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wardround.protect.packing import choose_plain
from wardround.protect.scheme import Scheme
from wardround.report import write_report
from wardround.rounds.plan import Plan
from wardround.study.explain import explain
from wardround.study.folder import RunFolder
from wardround.study.run import train
from wardround.study.spec import load, parse

ROOT = Path(__file__).parents[3]
HOW_TO = ROOT / "docs" / "how-to" / "seal-the-sum.md"
README = ROOT / "README.md"
TEMPLATE = ROOT / "src" / "wardround" / "study" / "template.toml"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def block(page: Path, language: str, holding: str = "") -> str:
    found = re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)
    return next(one for one in found if holding in one)


def table() -> dict[str, Any]:
    """Return the plan that the how-to arrives at."""
    return tomllib.loads(TEMPLATE.read_text() + block(HOW_TO, "toml", "[[protect]]"))


def how_to_plan() -> Plan:
    return parse(table())


def test_the_four_stages_of_how_to_readme_and_template_are_one_plan() -> None:
    shown = tomllib.loads(TEMPLATE.read_text() + block(README, "toml", "[[protect]]"))
    head, mark, stages = TEMPLATE.read_text().partition("#   [[protect]]")
    taken_off = head + "\n".join(line.removeprefix("#") for line in (mark + stages).splitlines())
    assert how_to_plan().digest() == parse(shown).digest() == parse(tomllib.loads(taken_off)).digest()


def test_check_says_what_the_how_to_shows() -> None:
    said = explain(how_to_plan()).splitlines()
    for line in block(HOW_TO, "text", "opened by").splitlines():
        assert line in said


def test_the_how_to_trains_and_leaves_what_it_says(tmp_path: Path) -> None:
    changes = {"data": {"source": "slide", "stride_px": 16}, "training": {"steps": 2}, "evaluation": {"every": 0}}
    short = {**table(), "rounds": 2, **changes}
    run = train(parse(short), tmp_path / "run", workers=0)
    page = write_report(run).read_text()
    assert "A single site&#39;s update left it only masked and encrypted (packed)." in page
    assert "What left the sites" in page
    assert "Failures and repairs" in page
    for record in RunFolder(run).records():
        for said in record.accepted.values():
            assert said["weight"] == 16
            assert 0 <= said["cut"] < 0.001
    models = {path.read_bytes() for path in tmp_path.glob("run.sites/*/model.safetensors")}
    assert models == {(run / "model.safetensors").read_bytes()}
    without = {**short, "protect": short["protect"][:2]}
    quantised = train(parse(without), tmp_path / "quantised", workers=0)
    assert (quantised / "model.safetensors").read_bytes() in models


def test_every_file_of_a_sealed_run_is_in_the_reference(tmp_path: Path) -> None:
    plan = replace(how_to_plan(), rounds=2)
    train(plan, tmp_path / "run", workers=0)
    reference = (ROOT / "docs" / "reference" / "run-folder.md").read_text()
    written = {path.name for path in tmp_path.glob("**/*") if path.is_file()}
    assert {"attempts.sealed", "entries.log", "signed-checkpoint", "log.key"} <= written
    for name in written:
        kind = re.sub(r"^(update|state|attempts|contribution)-\d+", r"\1-<round>", name)
        kind = re.sub(r"^ledger-at-[0-9a-f]{16}-\d+", "ledger-at-<run>-<entries>", kind)
        kind = re.sub(r"^data-use-[0-9a-f]{16}", "data-use-<run>", kind)
        kind = re.sub(r"^frame-[0-9a-f]+-\d+-\d+-\d+-[0-9a-f]+", "frame-<run>-<round>-<attempt>-<part>-<update>", kind)
        assert f"`{kind}`" in reference, name


def test_the_five_keys_train(tmp_path: Path) -> None:
    spec = tmp_path / "five.json"
    spec.write_text(block(HOW_TO, "json"))
    plan = load(spec)
    assert plan.pipeline.masks is not None
    run = train(plan, tmp_path / "run", workers=0)
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["status"], summary["rounds"]) == ("done", 2)
    assert summary["privacy"]["not_covered"][0] == "sums of updates, to the sites"


def per_float(bits: int, weight_total: int) -> tuple[float, float]:
    pipeline = parse({**table(), "protect": _with(bits, weight_total)}).pipeline
    scheme = Scheme.of(pipeline, weight_total)
    assert scheme.lattice is not None
    return scheme.lattice.upload_chunk_bytes / scheme.chunk_values, scheme.lattice.sum_chunk_bytes / scheme.chunk_values


def _with(bits: int, weight_total: int) -> list[dict[str, Any]]:
    return [
        {**stage, "bits": bits, "weight_total": weight_total} if stage["stage"] == "quantise" else stage
        for stage in table()["protect"]
    ]


def test_figures_in_words_are_what_frames_take() -> None:
    how_to, readme = HOW_TO.read_text(), README.read_text()
    up, down = per_float(16, 64)
    assert f"({up:.2f} per float instead of 4)" in readme.replace("\n", " ")
    assert f"({down:.2f} instead of 4)" in readme.replace("\n", " ")
    assert f"({down:.2f} bytes per float here)" in how_to.replace("\n", " ")
    assert f"{up + down:.2f} bytes per float" in how_to.replace("\n", " ")
    assert f"they are {sum(per_float(8, 8)):.2f}." in how_to.replace("\n", " ")
    assert f"then take {per_float(8, 4)[0]:.2f} bytes per float" in how_to.replace("\n", " ")
    assert choose_plain(16, 64).word_bytes / choose_plain(16, 64).fields == 3.0


def anchors(page: Path) -> set[str]:
    """Return where a link into a page can lead, as the usual renderers name headings."""
    text = page.read_text()
    named = set(re.findall(r'<a id="([^"]+)">', text))
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return named | {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        found = (page.parent / name) if name else page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


def test_what_security_says_is_shown_by_tests_that_are_there() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    named = set(re.findall(r"`(?:[\w./-]*/)?(test_\w+\.py)`", text))
    assert len(named) > 8
    assert named <= {path.name for path in ROOT.glob("tests/**/test_*.py")}
    for path in re.findall(r"`((?:tests|experiments|benchmarks)/[\w./-]+)`", text):
        assert (ROOT / path).exists(), path
