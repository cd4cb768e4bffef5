"""Bad input: exit code 2, one sentence that names the thing, nothing written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from terminal import Said, wardround

from wardround.study.spec import load, to_toml

Terminal = Callable[..., Said]


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run a command that must be refused; return its sentence."""
    monkeypatch.setenv("WARDROUND_CACHE", str(tmp_path.parent / f"{tmp_path.name}-cache"))
    monkeypatch.delenv("WARDROUND_DATA", raising=False)
    monkeypatch.delenv("WARDROUND_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> str:
        before = listing(tmp_path)
        said = wardround(capsys, *words)
        assert said.code == 2, said.err
        assert said.out == ""
        assert listing(tmp_path) == before
        return said.sentence

    return run


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below `folder` with its size and time of change, and every folder."""
    found = {str(path): path.stat() for path in folder.rglob("*")}
    return {path: (stat.st_size if Path(path).is_file() else -1, stat.st_mtime_ns) for path, stat in found.items()}


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


PLANS: dict[str, tuple[str, str]] = {
    "broken TOML": ("rounds = = 3", "plan.toml is not valid TOML"),
    "misspelt key": ("round = 3", "round is unknown: did you mean 'rounds'?"),
    "misspelt table": ("[trainin]", "trainin is unknown: did you mean 'training'?"),
    "misspelt key in data": ("[data]\nsouce = 'slide'", "[data] souce is unknown"),
    "misspelt key in data.sites": ("[data.sites]\nheld = []", "[data.sites] held is unknown"),
    "misspelt key in data.parts": ("[data.parts]\nvalue = 1", "[data.parts] value is unknown"),
    "misspelt key in model": ("[model]\nwith = 8", "[model] with is unknown"),
    "misspelt key in algorithm": ("[algorithm]\npersnal = 'head'", "[algorithm] persnal is unknown"),
    "misspelt key in training": ("[training]\nlr = 1", "[training] lr is unknown"),
    "misspelt key in server": ("[server]\nmomentm = 1", "[server] momentm is unknown: did you mean 'momentum'?"),
    "misspelt key in aggregator": ("[aggregator]\nweight = 1", "[aggregator] weight is unknown"),
    "misspelt key in evaluation": ("[evaluation]\nevry = 1", "[evaluation] evry is unknown"),
    "a key over two lines": ('"ro\\nunds" = 3', "unds is unknown"),
    "wrong type": ("rounds = '3'", "rounds = '3'"),
    "wrong type in a table": ("[training]\nepochs = 'many'", "[training] epochs = 'many'"),
    "a value for a table": ("training = 3", "[training] must be a table"),
    "rounds out of range": ("rounds = 0", "rounds >= 1"),
    "momentum out of range": ("[training]\nmomentum = 1.0", "momentum in [0, 1)"),
    "learning rate out of range": ("[training]\nlearning_rate = -1.0", "learning_rate = -1.0"),
    "infinity": ("[training]\nlearning_rate = inf", "[training] holds a value that is no finite number"),
    "shares out of range": ("[data.parts]\nval = 0.6\ntest = 0.6", "data.parts has val = 0.6"),
    "size out of range": ("[data]\nsize_px = 4", "size_px is 4"),
    "width out of range": ("[model]\nwidth = 9", "model width = 9"),
    "unknown source": ("[data]\nsource = 'slides'", "source = 'slides' is unknown: did you mean 'slide'?"),
    "unknown model": ("[model]\nname = 'small_cn'", "did you mean 'small_cnn'?"),
    "unknown algorithm": ("[algorithm]\nname = 'fedavgg'", "did you mean 'fedavg'?"),
    "a MONAI network that does not exist": ("[model]\nname = 'monai'\nnetwork = 'DensNet121'", "DensNet121"),
    "quorum beyond the cohort": ("sites_per_round = 2\nquorum = 3", "quorum = 3 can never be met"),
    "cohort beyond the sites": ("sites_per_round = 9", "sites_per_round = 9, but only 4 sites train"),
    "quorum beyond the sites": ("quorum = 9", "quorum = 9, but only 4 sites train"),
    "an unknown held-out site": ("[data.sites]\nheld_out = ['nowhere']", "held_out names 'nowhere'"),
    "more sites than patients": ("[data.sites]\nby = 'iid'\nsites = 100000", "100000 sites"),
    "a name that is no folder's": ("name = '../up'", "name = '../up'"),
}


@pytest.mark.parametrize(("text", "words"), PLANS.values(), ids=PLANS.keys())
def test_plans(tmp_path: Path, refused: Callable[..., str], text: str, words: str) -> None:
    assert words in refused("train", write(tmp_path / "plan.toml", text), "--workers", 0)


def test_a_plan_that_is_not_there(refused: Callable[..., str]) -> None:
    assert "absent.toml does not exist" in refused("train", "absent.toml")
    assert "absent.toml does not exist" in refused("check", "absent.toml")


def test_the_five_keys_that_need_protections(tmp_path: Path, refused: Callable[..., str]) -> None:
    five = {"rounds": 100, "clients_per_round": 3, "learning_rate": 0.001}
    for value in (-1.2, 0, "x"):
        path = write(tmp_path / "plan.json", json.dumps({**five, "dp_epsilon": value}))
        assert refused("train", path).startswith(f"dp_epsilon = {value!r} is no positive number")
    path = write(tmp_path / "plan.json", json.dumps({**five, "he_precision": 64}))
    assert "he_precision = 64 is no whole number of bits from 4 to 32" in refused("train", path)


SEALED = {
    "masks": "put a quantise stage before it (rule integers-needed)",
    "homomorphic": "put a quantise stage before it (rule integers-needed)",
    "clip,clip": "keep one of them (rule one-of-a-kind)",
    "quantise,clip": "remove the quantise stage, or put it after (rule reals-needed)",
    "topk,quantise,masks": "choose randomk, whose coordinates are the same at every site (rule own-coordinates-summed)",
}


@pytest.mark.parametrize(("stages", "words"), SEALED.items(), ids=SEALED)
def test_stages_that_protect_nothing(tmp_path: Path, refused: Callable[..., str], stages: str, words: str) -> None:
    tables = "".join(f'[[protect]]\nstage = "{stage}"\n' for stage in stages.split(","))
    for verb in ("check", "train"):
        assert words in refused(verb, write(tmp_path / "plan.toml", f"rounds = 1\n{tables}"))


def test_stages_that_are_no_stages(tmp_path: Path, refused: Callable[..., str]) -> None:
    path = tmp_path / "plan.toml"
    assert "[protect] stage = 'clap' is unknown" in refused("check", write(path, '[[protect]]\nstage = "clap"'))
    assert "must be a list of tables" in refused("check", write(path, '[protect]\nstage = "clip"'))
    assert "open_at = 'nobody'" in refused("check", write(path, 'open_at = "nobody"'))
    assert "norm = 0.0 is not a positive" in refused("check", write(path, '[[protect]]\nstage = "clip"\nnorm = 0.0'))


def test_other_json(tmp_path: Path, refused: Callable[..., str]) -> None:
    path = tmp_path / "plan.json"
    assert "plan.json is not valid JSON" in refused("train", write(path, "{"))
    assert "holds no table" in refused("train", write(path, "[]"))
    assert "round is no key of the five-key plan" in refused("train", write(path, '{"rounds": 1, "round": 1}'))
    assert "learning_rate = 'x'" in refused("train", write(path, '{"rounds": 1, "learning_rate": "x"}'))


def test_folders_that_cannot_be_run_in(tmp_path: Path, refused: Callable[..., str]) -> None:
    plan = write(tmp_path / "plan.toml", "rounds = 1\n[training]\nsteps = 1\n[model]\nwidth = 8")
    write(tmp_path / "taken/letter.txt", "dear")
    write(tmp_path / "file", "")
    assert "taken exists: add --resume" in refused("train", plan, "--out", "taken")
    assert "taken is no run folder" in refused("train", plan, "--out", "taken", "--resume", "--workers", 0)
    assert "file exists" in refused("train", plan, "--out", "file")
    assert "file is no run folder" in refused("train", plan, "--out", "file", "--resume", "--workers", 0)
    assert "cannot be made" in refused("train", plan, "--out", "file/run", "--workers", 0)


def test_a_finished_run_of_another_plan(tmp_path: Path, refused: Callable[..., str]) -> None:
    plan = write(tmp_path / "plan.toml", "rounds = 1")
    write(tmp_path / "run/plan.toml", to_toml(load(plan)))
    write(tmp_path / "run/summary.json", '{"status": "done"}')
    assert "made by another plan" in refused("train", plan, "--seed", 7, "--out", "run", "--resume")


def test_options(tmp_path: Path, refused: Callable[..., str]) -> None:
    plan = write(tmp_path / "plan.toml", "rounds = 1")
    assert "--engine moon is unknown" in refused("train", plan, "--engine", "moon")
    assert "seed >= 0" in refused("train", plan, "--seed", -1)
    limited = write(tmp_path / "limited.toml", "timeout_s = 5")
    assert "timeout_s cannot be kept" in refused("train", limited, "--workers", 0)


def test_verbs_that_read_run_folders(tmp_path: Path, refused: Callable[..., str]) -> None:
    write(tmp_path / "empty/x", "")
    write(tmp_path / "image.png", "")
    for verb in (("report",), ("predict",)):
        for folder in ("absent", "empty"):
            words = (*verb, folder, *(("image.png",) if verb == ("predict",) else ()))
            assert folder in refused(*words)


def test_init_overwrites_nothing(tmp_path: Path, refused: Callable[..., str]) -> None:
    write(tmp_path / "plan.toml", "mine")
    assert "plan.toml exists" in refused("init", "plan.toml")
    assert "nowhere is no folder" in refused("init", "nowhere/plan.toml")


MANIFEST = """name = "ward"
rounds = 1
[data]
source = "manifest"
size_px = 8
[model]
width = 8
[training]
steps = 1
"""


@pytest.fixture
def ward(tmp_path: Path) -> Path:
    """A folder of two sites, two classes and good images, with its manifest; what each test then spoils."""
    folder = tmp_path / "ward"
    folder.mkdir()
    rng = np.random.default_rng(0)
    lines = ["image,label,site,patient"]
    for index in range(16):
        Image.fromarray(rng.integers(0, 255, (10, 10, 3), np.uint8)).save(folder / f"{index}.png")
        lines.append(f"{index}.png,{'bad' if index % 2 else 'good'},{'north' if index < 8 else 'south'},p{index}")
    write(folder / "manifest.csv", "\n".join(lines) + "\n")
    write(tmp_path / "plan.toml", MANIFEST)
    return folder


def edit(ward: Path, old: str, new: str) -> None:
    table = ward / "manifest.csv"
    assert old in table.read_text()
    table.write_text(table.read_text().replace(old, new, 1))


def train(refused: Callable[..., str], ward: Path) -> str:
    return refused("train", ward.parent / "plan.toml", "--data", ward, "--workers", 0, "--out", "run")


def test_the_unspoilt_ward_trains(
    ward: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARDROUND_CACHE", str(ward.parent / "cache"))
    run = ward.parent / "run"
    said = wardround(capsys, "train", ward.parent / "plan.toml", "--data", ward, "--workers", 0, "--out", run)
    assert said.code == 0, said.err
    assert said.out.splitlines()[-1] == str(run)
    summary = json.loads((run / "summary.json").read_text())
    assert summary["classes"] == ["bad", "good"]
    assert set(summary["metrics"]["sites"]) <= {"north", "south"}


def test_missing_data(tmp_path: Path, ward: Path, refused: Callable[..., str]) -> None:
    assert "nowhere" in refused("train", "plan.toml", "--data", "nowhere", "--workers", 0)
    assert "manifest.csv does not exist" in refused("train", "plan.toml", "--data", tmp_path, "--workers", 0)
    for source in ("ham10000", "medmnist"):
        plan = write(tmp_path / f"{source}.toml", f"[data]\nsource = '{source}'")
        assert "--data" in refused("train", plan, "--workers", 0)


def test_a_missing_file(ward: Path, refused: Callable[..., str]) -> None:
    (ward / "3.png").unlink()
    sentence = train(refused, ward)
    assert "line 5" in sentence
    assert "3.png does not exist" in sentence


def test_a_corrupt_image(ward: Path, refused: Callable[..., str]) -> None:
    (ward / "3.png").write_bytes((ward / "3.png").read_bytes()[:60])
    assert "3.png is damaged" in train(refused, ward)
    (ward / "3.png").write_bytes(b"this is no image")
    assert "3.png is no DICOM, NIfTI, PNG" in train(refused, ward)


def test_a_pixel_that_is_not_finite(ward: Path, refused: Callable[..., str]) -> None:
    pixels = np.full((10, 10), 0.5, np.float32)
    pixels[4, 4] = np.nan
    Image.fromarray(pixels).save(ward / "nan.tiff")
    edit(ward, "3.png", "nan.tiff")
    assert "nan.tiff holds a pixel that is not finite" in train(refused, ward)


def test_an_empty_class(ward: Path, refused: Callable[..., str]) -> None:
    plan = ward.parent / "plan.toml"
    plan.write_text(MANIFEST.replace("size_px = 8", 'size_px = 8\nclasses = ["bad", "good", "ugly"]'))
    assert "class 'ugly' has no image" in train(refused, ward)


def test_a_class_that_no_site_trains_on(ward: Path, refused: Callable[..., str]) -> None:
    table = (ward / "manifest.csv").read_text().splitlines()
    rows = [line + (",test" if ",bad," in line else ",train") for line in table[1:]]
    (ward / "manifest.csv").write_text("\n".join([table[0] + ",part", *rows]))
    assert "class 'bad' has no training image" in train(refused, ward)


def test_a_site_with_no_data_to_train_on(ward: Path, refused: Callable[..., str]) -> None:
    table = (ward / "manifest.csv").read_text().splitlines()
    rows = [line + (",test" if ",north," in line else ",train") for line in table[1:]]
    (ward / "manifest.csv").write_text("\n".join([table[0] + ",part", *rows]))
    assert "site 'north' has no training image" in train(refused, ward)


def test_an_empty_manifest(ward: Path, refused: Callable[..., str]) -> None:
    (ward / "manifest.csv").write_text("image,label,site,patient\n")
    assert "lists no image" in train(refused, ward)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("image,label", "image,labl", "unknown column 'labl'"),
        ("site,patient", "site,patient,age", "unknown column 'age'"),
        ("3.png,bad", "/etc/passwd,bad", "not a path inside the data folder"),
        ("3.png,bad", "../plan.toml,bad", "not a path inside the data folder"),
        ("3.png,bad", ",bad", "image is empty"),
        ("3.png,bad,north", "3.png,bad,../north", "a site cannot be called '../north'"),
        ("3.png,bad,north", "3.png,bad,..", "a site cannot be called '..'"),
        ("3.png,bad", "2.png,bad", "listed before"),
    ],
)
def test_manifests(ward: Path, refused: Callable[..., str], old: str, new: str, words: str) -> None:
    edit(ward, old, new)
    assert words in train(refused, ward)


def test_a_link_out_of_the_folder(ward: Path, refused: Callable[..., str]) -> None:
    (ward / "3.png").unlink()
    (ward / "3.png").symlink_to("/etc/hostname")
    assert "outside the data folder" in train(refused, ward)


def test_a_patient_in_two_splits(ward: Path, refused: Callable[..., str]) -> None:
    table = (ward / "manifest.csv").read_text().replace("p3\n", "p2\n").splitlines()
    rows = [line + (",test" if index in (3, 15) else ",train") for index, line in enumerate(table[1:])]
    (ward / "manifest.csv").write_text("\n".join([table[0] + ",part", *rows]))
    sentence = train(refused, ward)
    assert "patient 'p2' is in part 'test' here and in 'train'" in sentence
