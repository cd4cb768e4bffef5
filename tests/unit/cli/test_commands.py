"""The verbs: what they print, where they stop, and what they do not import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from terminal import wardround

from wardround.study.spec import load

HEAVY = (
    "torch",
    "pydantic",
    "numpy",
    "matplotlib",
    "monai",
    "sklearn",
    "skimage",
    "safetensors",
    "nvflare",
    "PIL",
    "pydicom",
    "nibabel",
)

SMALL = """name = "small"
rounds = 2
[data]
stride_px = 16
[model]
width = 8
[training]
steps = 1
[evaluation]
every = 1
bootstrap = 5
"""


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["init", "--help"], ["data", "prepare", "--help"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    # Typer itself loads pydantic, where there is one, for a verb with arguments.
    heavy = {*HEAVY} - ({"pydantic"} if len(words) > 1 else set())
    code = (
        "import sys; from wardround.cli.main import main\n"
        f"sys.argv = ['wardround', *{words!r}]\n"
        "try: main()\n"
        f"except SystemExit as end: print('HEAVY', end.code, sorted({heavy!r} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout.rstrip().endswith("HEAVY 0 []")
    assert "wardround" in said.stdout


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    said = wardround(capsys, "--help")
    assert said.code == 0
    assert all(verb in said.out for verb in ("demo", "init", "check", "train", "predict", "report"))


def test_init_writes_a_plan_that_check_accepts_and_train_could_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert wardround(capsys, "init").out == "plan.toml\n"
    said = wardround(capsys, "check", "plan.toml")
    assert (said.code, said.err) == (0, "")
    assert "What each party can see" in said.out
    assert "coordinator" in said.out
    assert "other sites" in said.out
    assert load(Path("plan.toml")).digest()[:8] in said.out


def test_train_prints_the_run_folder_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(SMALL)
    run = tmp_path / "run"
    said = wardround(capsys, "train", plan, "--out", run, "--workers", 0)
    assert said.code == 0, said.err
    assert said.out.splitlines()[-1] == str(run)
    assert {"plan.toml", "rounds.jsonl", "summary.json", "model.safetensors", "report.html"} <= {
        path.name for path in run.iterdir()
    }
    assert "2/2" in said.err
    again = wardround(capsys, "train", plan, "--out", run, "--resume")
    assert (again.code, again.out.splitlines()[-1]) == (0, str(run))


def test_seed_replaces_the_plan_s(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(SMALL.replace("rounds = 2", "rounds = 1\nseed = 3"))
    said = wardround(capsys, "train", plan, "--out", tmp_path / "run", "--seed", 8, "--workers", 0)
    assert said.code == 0, said.err
    assert json.loads((tmp_path / "run/summary.json").read_text())["seed"] == 8
    assert load(tmp_path / "run/plan.toml").seed == 8


def test_without_out_the_folder_is_named_by_the_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = tmp_path / "plan.toml"
    plan.write_text(SMALL.replace("rounds = 2", "rounds = 1"))
    said = wardround(capsys, "train", plan, "--workers", 0)
    assert said.out.splitlines()[-1] == f"runs/small-{load(plan).digest()[:8]}"
    assert Path(said.out.splitlines()[-1], "summary.json").exists()


def test_a_defect_is_one_line_and_debug_shows_its_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(path: Path) -> None:
        raise ZeroDivisionError("of\nall things")

    monkeypatch.setattr("wardround.study.spec.load", break_down)
    monkeypatch.delenv("WARDROUND_DEBUG", raising=False)
    said = wardround(capsys, "check", tmp_path / "plan.toml")
    assert said.code == 1
    assert said.err == "wardround: this is a defect, please report it: ZeroDivisionError: of all things\n"
    monkeypatch.setenv("WARDROUND_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        wardround(capsys, "check", tmp_path / "plan.toml")


def test_an_interrupt_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("wardround.study.spec.load", interrupt)
    said = wardround(capsys, "check", tmp_path / "plan.toml")
    assert said.code == 1
    assert said.sentence == "interrupted; --resume goes on after the last completed round"


def test_what_the_system_refuses_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_up(path: Path) -> None:
        raise OSError(28, "No space left on device", "/runs")

    monkeypatch.setattr("wardround.study.spec.load", fill_up)
    monkeypatch.delenv("WARDROUND_DEBUG", raising=False)
    said = wardround(capsys, "check", tmp_path / "plan.toml")
    assert said.code == 1
    assert "No space left on device: '/runs'" in said.sentence


def test_attack_prints_its_page_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(SMALL.replace("width = 8", 'name = "flat_cnn"'))
    out = tmp_path / "out"
    said = wardround(capsys, "attack", plan, "--out", out, "--updates", 1, "--steps", 3)
    assert said.code == 0, said.err
    assert said.out.splitlines()[-1] == str(out / "leakage.html")
    assert "1/1  round 0" in said.err
    assert "data:image/png" in (out / "leakage.html").read_text()
    again = wardround(capsys, "attack", plan, "--out", out)
    assert (again.code, again.out) == (2, "")
    assert "holds something already" in again.err
