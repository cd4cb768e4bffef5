"""``wardround ledger`` as an auditor and a hospital use it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny
from PIL import Image
from typer.testing import CliRunner

from wardround.cli.main import app
from wardround.errors import LedgerError, WardroundError
from wardround.study.build import sites_of
from wardround.study.folder import RunFolder
from wardround.study.run import train

FOLDER_TABLE = "image,label,site,patient\n"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table: two sites, losslessly stored pictures."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(3)
    rows = []
    for index in range(48):
        pixels = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
        rows.append(f"{index}.png,{'ab'[index % 2]},{'north' if index < 24 else 'south'},p{index}")
    (folder / "manifest.csv").write_text(FOLDER_TABLE + "\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def run(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    plan = tiny.plan(
        rounds=2,
        data={"source": "manifest", "path": str(pictures), "size_px": 16},
        training={"steps": 2},
        protect=tiny.PIPELINES["packed and masked"],
    )
    return train(plan, tmp_path_factory.mktemp("runs") / "run", workers=0)


def call(*words: object) -> tuple[int, str]:
    """Return the exit code and what was printed; an error is its sentence."""
    result = CliRunner().invoke(app, ["ledger", *map(str, words)])
    if isinstance(result.exception, WardroundError):
        return result.exception.exit_code, str(result.exception)
    return result.exit_code, result.output


def test_a_run_is_verified_and_read_like_a_logbook(run: Path, tmp_path: Path) -> None:
    code, said = call("verify", run)
    assert (code, said.startswith("internally consistent only")) == (0, True)
    shutil.copy(run / "roster.json", tmp_path / "kept.json")
    code, said = call("verify", run, "--keys", tmp_path / "kept.json")
    assert (code, said.startswith("verified: run ")) == (0, True)
    code, said = call("show", run)
    assert code == 0
    for words in (
        "opening  run ",
        "north counts with weight",
        "has used",
        "co-signed by north, south",
        "end  the model",
    ):
        assert words in said


def test_a_checkpoint_is_exported_and_catches_a_rollback(run: Path, tmp_path: Path) -> None:
    code, said = call("export-checkpoint", run, "--out", tmp_path / "kept.txt")
    assert (code, str(tmp_path / "kept.txt") in said) == (0, True)
    assert len((tmp_path / "kept.txt").read_bytes()) < 20_000
    code, said = call("verify", run, "--checkpoint", tmp_path / "kept.txt")
    assert (code, "which continue the" in said) == (0, True)
    assert call("export-checkpoint", run, "--out", tmp_path / "no" / "folder")[0] == 2


def used(run: Path, pictures: Path) -> tuple[Path, Path]:
    """Return a picture that north's list holds, and one that it does not."""
    plan = RunFolder(run).plan()
    train_part = sites_of(plan, None)["north"].train
    names = [f"{index}.png" for index in range(24)]
    held = {train_part.pixels[row].tobytes() for row in train_part.rows}
    inside = [name for name in names if np.asarray(Image.open(pictures / name)).tobytes() in held]
    outside = [name for name in names if name not in inside]
    lists = [call("prove", run, "--site", "north", "--image", pictures / name, "--out", "x")[0] for name in inside]
    Path("x").unlink(missing_ok=True)
    return pictures / inside[lists.index(0)], pictures / outside[0]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_presence_is_proved_to_anybody(run: Path, pictures: Path, here: Path) -> None:
    inside, _ = used(run, pictures)
    code, said = call("prove", run, "--site", "north", "--image", inside)
    assert code == 0, said
    shutil.copy(run / "roster.json", "kept.json")
    code, said = call("check", "proof.json", "--keys", "kept.json", "--image", inside, "--run", run)
    assert (code, "holds exactly these pixels (co-signed by enough sites)" in said) == (0, True)
    assert call("check", "proof.json")[0] == 0
    code, said = call("prove", run, "--site", "north", "--absent", inside, "--out", "absent.json")
    assert (code, "holds exactly these pixels: no such proof" in said) == (2, True)
    assert not Path("absent.json").exists()


def test_the_same_pixels_in_another_file_are_the_same_image(run: Path, pictures: Path, here: Path) -> None:
    inside, _ = used(run, pictures)
    assert call("prove", run, "--site", "north", "--image", inside)[0] == 0
    Image.open(inside).save("again.tiff")
    pixels = np.asarray(Image.open(inside))
    np.save("pixels.npy", pixels)
    for other in ("again.tiff", "pixels.npy"):
        assert call("check", "proof.json", "--image", other, "--run", run)[0] == 0, other
    assert call("check", "proof.json", "--image", "pixels.npy")[0] == 0


@pytest.mark.parametrize("change", ["one bit", "jpeg", "scaled"])
def test_the_limit_a_changed_picture_is_another_image(run: Path, pictures: Path, here: Path, change: str) -> None:
    inside, _ = used(run, pictures)
    assert call("prove", run, "--site", "north", "--image", inside)[0] == 0
    picture = Image.open(inside)
    changes: dict[str, Callable[[], None]] = {
        "one bit": lambda: Image.fromarray(_flipped(np.asarray(picture))).save("other.png"),
        "jpeg": lambda: picture.save("other.jpg"),
        "scaled": lambda: picture.resize((15, 15)).save("other.png"),
    }
    changes[change]()
    (other,) = Path().glob("other.*")
    code, said = call("check", "proof.json", "--image", other, "--run", run)
    assert (code, "a single changed bit makes another image" in said) == (2, True)
    assert call("prove", run, "--site", "north", "--image", other, "--out", "other.json")[0] == 2


def _flipped(pixels: np.ndarray) -> np.ndarray:
    changed = pixels.copy()
    changed[3, 4, 1] ^= 1
    return changed


def test_absence_is_proved_to_the_auditor_who_has_the_key(run: Path, pictures: Path, here: Path) -> None:
    _, outside = used(run, pictures)
    code, said = call("prove", run, "--site", "north", "--absent", outside, "--show-key", "key.json")
    assert code == 0, said
    assert "only the data-use key shows" in call("check", "proof.json")[1]
    code, said = call("check", "proof.json", "--key", "key.json", "--image", outside, "--run", run)
    assert (code, "does not hold exactly these pixels in their place" in said) == (0, True)
    assert "never" not in said
    assert "it does not show what a model was or was not trained on" in said
    assert call("prove", run, "--site", "south", "--absent", outside, "--show-key", "other.json")[0] == 0
    assert call("prove", run, "--site", "north", "--absent", outside)[0] == 0
    code, said = call("check", "proof.json", "--key", "other.json")
    assert (code, "the data-use key shown is of site 'south'" in said) == (2, True)


def test_an_earlier_round_s_list_can_be_shown(run: Path, pictures: Path, here: Path) -> None:
    inside, _ = used(run, pictures)
    for index in (0, 1):
        call("prove", run, "--site", "north", "--image", inside, "--round", index, "--out", f"{index}.json")
    found = [json.loads(path.read_text())["used"]["round"] for path in sorted(here.glob("[01].json"))]
    assert found in ([0, 1], [1])
    assert (
        "logged no list of images in round 9"
        in call("prove", run, "--site", "north", "--image", inside, "--round", 9)[1]
    )


REFUSED: dict[str, tuple[list[str], str]] = {
    "nothing": (["prove", "RUN"], "give one of --image FILE and --absent FILE"),
    "both": (["prove", "RUN", "--image", "a.png", "--absent", "a.png"], "give one of"),
    "no site": (["prove", "RUN", "--image", "a.png"], "several sites: name one with --site"),
    "another site": (["prove", "RUN", "--site", "west", "--image", "a.png"], "is no site of this run"),
    "no store": (
        ["prove", "RUN", "--site", "north", "--store", "nowhere", "--image", "a.png"],
        "holds nothing of site",
    ),
    "no image": (["prove", "RUN", "--site", "north", "--image", "a.png"], "a.png cannot be read"),
    "no array": (["prove", "RUN", "--site", "north", "--image", "a.npy"], "a.npy cannot be read"),
    "no proof": (["check", "nothing.json"], "nothing.json cannot be read"),
    "no plan": (["check", "nothing.json", "--image", "a.png"], "give --run RUN"),
    "no run": (["verify", "nowhere"], "nowhere"),
    "no keys": (["verify", "RUN", "--keys", "nothing.json"], "nothing.json cannot be read"),
    "bad keys": (["verify", "RUN", "--keys", "bad.json"], "bad.json was changed"),
    "bad trust": (["verify", "RUN", "--keys", "bad.toml"], "bad.toml"),
    "no checkpoint": (["verify", "RUN", "--checkpoint", "nothing.txt"], "nothing.txt cannot be read"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_ends_in_one_sentence(run: Path, here: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDROUND_HOME", str(here / "no-home"))
    for name in ("bad.json", "bad.toml"):
        Path(name).write_text("[" * 2000)
        Path(name).chmod(0o600)
    words, says = REFUSED[what]
    code, said = call(*(run if word == "RUN" else word for word in words))
    assert code == 2
    assert says in said
    assert "\n" not in said.strip()


def test_our_error_is_what_a_damaged_ledger_gives(tmp_path: Path, run: Path) -> None:
    shutil.copytree(run / "ledger", tmp_path / "run" / "ledger")
    log = tmp_path / "run" / "ledger" / "entries.log"
    log.write_bytes(log.read_bytes()[:-3])
    code, said = call("verify", tmp_path / "run")
    assert (code, "were cut off" in said or "damaged" in said) == (2, True)
    assert issubclass(LedgerError, WardroundError)
