"""The how-to on the ledger does what it says: its commands run, in their order, and say what it shows."""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from terminal import wardround

from wardround.protect.identity import PublicIdentity
from wardround.protect.trust import Trust
from wardround.study.explain import explain
from wardround.study.folder import RunFolder
from wardround.study.run import train
from wardround.study.spec import parse

DOCS = Path(__file__).parents[3] / "docs"
HOW_TO = DOCS / "how-to" / "verify-a-run.md"
TABLE: dict[str, Any] = {
    "name": "clinics",
    "rounds": 2,
    "data": {"source": "manifest", "size_px": 16},
    "model": {"width": 8},
    "training": {"steps": 2},
    "evaluation": {"every": 0, "bootstrap": 0},
}
PARTS = [*["train"] * 18, *["val"] * 2, *["test"] * 4]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", HOW_TO.read_text(), re.DOTALL | re.MULTILINE)


def commands() -> list[tuple[list[str], str]]:
    """Return each command of the page with the text that follows it there, empty where none is shown."""
    found = re.findall(
        r"^```\n(wardround ledger .*?)\n```\n\n(?:```text\n(.*?)\n```)?", HOW_TO.read_text(), re.M | re.S
    )
    return [(shlex.split(command)[1:], shown) for command, shown in found]


@pytest.fixture(scope="module")
def clinics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the page has it: images of three clinics, a run of theirs, and the keys that a verifier knows."""
    root = tmp_path_factory.mktemp("clinics")
    (root / "images").mkdir()
    rng = np.random.default_rng(0)
    with (root / "manifest.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("image", "label", "site", "patient", "part"))
        for site in ("east", "north", "south"):
            for index, part in enumerate(PARTS):
                name = f"images/{site}-{index:02d}.png"
                pixels = rng.integers(0, 150, (16, 16, 3)) + 60 * (index % 2)
                Image.fromarray(pixels.astype(np.uint8)).save(root / name)
                table.writerow((name, ("benign", "malignant")[index % 2], site, f"{site}-{index}", part))
    [ledger] = [block for block in blocks("toml") if "[ledger]" in block]
    run = train(parse({**TABLE, **tomllib.loads(ledger)}), root / "run", data_root=root, workers=0)
    shutil.copy(run / "roster.json", root / "roster.json")
    held = json.loads((run / "roster.json").read_text())["identities"]
    known = {site: PublicIdentity.from_bytes(bytes.fromhex(key)).fingerprint for site, key in held.items()}
    Trust("auditor", (), known).write(root / "trust.toml")
    return root


def pattern(shown: str) -> str:
    """Return what a line of the page stands for: digests and sizes are those of one run."""
    text = re.sub(r"[0-9a-f]{64}|[0-9a-f]{16}(?=…)", "DIGEST", shown)
    text = re.sub(r"\d+(,\d{3})*(?= (entries|bytes))|(?<=weight )\d+", "NUMBER", text)
    return re.escape(text).replace("DIGEST", "[0-9a-f]+").replace("NUMBER", "[0-9,]+")


def test_every_command_runs_and_says_what_the_page_shows(
    clinics: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clinics)
    run = commands()
    assert [words[1] for words, _ in run].count("verify") == 2
    assert {words[1] for words, _ in run} == {"verify", "show", "prove", "check", "export-checkpoint"}
    assert sum(bool(shown) for _, shown in run) == 4
    said = {}
    for words, shown in run:
        found = wardround(capsys, *words)
        assert (found.code, found.err) == (0, ""), words
        said[words[1]] = found.out
        assert not shown or re.fullmatch(pattern(shown), found.out.rstrip()), (shown, found.out)
    [lines] = [block for block in blocks("text") if "counts with weight" in block]
    for line in lines.splitlines():
        assert re.search(f"^{pattern(line)}$", said["show"], re.MULTILINE), line
    assert (clinics / "checkpoint.txt").stat().st_size < 20_000
    later = wardround(capsys, "ledger", "verify", "run", "--keys", "trust.toml", "--checkpoint", "checkpoint.txt")
    assert later.out.startswith("verified: ")


def test_the_control_what_was_changed_ends_in_exit_code_2(
    clinics: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clinics)
    run = Path(shutil.copytree(clinics / "run", tmp_path / "run"))
    records = (run / "rounds.jsonl").read_text()
    (run / "rounds.jsonl").write_text(records.replace('"weight": 18.0', '"weight": 19.0', 1))
    found = wardround(capsys, "ledger", "verify", run, "--keys", "trust.toml")
    assert found.code == 2
    row = "it does not say what an entry of a verdict in the ledger says"
    assert row in found.sentence
    assert row in HOW_TO.read_text()
    (run / "rounds.jsonl").write_text(records.replace('"loss": ', '"loss": 1', 1))
    assert wardround(capsys, "ledger", "verify", run, "--keys", "trust.toml").code == 0


def test_what_the_page_says_of_proofs_holds(
    clinics: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clinics)
    refused = ["ledger", "prove", "run", "--site", "north", "--absent", "images/north-00.png", "--out", tmp_path / "p"]
    assert wardround(capsys, *refused).code == 2
    assert not (tmp_path / "p").exists()
    absent = ["ledger", "prove", "run", "--site", "north", "--absent", "images/south-00.png", "--out", tmp_path / "p"]
    assert wardround(capsys, *absent).code == 0
    assert "only the data-use key shows" in wardround(capsys, "ledger", "check", tmp_path / "p").out
    with Image.open("images/south-00.png") as image:
        pixels = np.asarray(image).copy()
    pixels[0, 0, 0] ^= 1
    np.save(tmp_path / "other.npy", pixels)
    other = wardround(capsys, "ledger", "check", tmp_path / "p", "--image", tmp_path / "other.npy")
    assert "a single changed bit makes another image" in other.sentence


def test_the_auditor_s_file_is_one_that_a_verifier_reads(tmp_path: Path) -> None:
    [block] = [block for block in blocks("toml") if "[peers]" in block]
    path = tmp_path / "trust.toml"
    path.write_text(re.sub("([0-9a-f]{4})…", lambda match: match[1] * 16, block))
    path.chmod(0o600)
    assert set(Trust.load(path).peers) == {"east", "north", "south"}


def said_of_proof(**changes: Any) -> str:
    return explain(parse({**TABLE, **changes})).partition("What can be proved afterwards")[2]


def test_check_says_who_co_signs() -> None:
    assert "nobody co-signs" in said_of_proof()
    [ledger] = [block for block in blocks("toml") if "[ledger]" in block]
    signed = said_of_proof(**tomllib.loads(ledger))
    assert "more than two thirds of the sites" in signed
    assert "its update was in a round with its weight" in signed
    assert "on its list of used ones" in signed
    assert "every 10 rounds and at the end with ML-DSA-65" in signed
    assert "nobody co-signs" not in signed


def test_check_says_what_a_plan_gives_up() -> None:
    stages = [{"stage": stage} for stage in ("clip", "quantise", "homomorphic")]
    said = said_of_proof(protect=stages, ledger={"data_use": False, "outlasting_every": 0})
    assert "in a round, by what" in said
    assert "list of used ones" not in said
    assert "Ed25519; at the end with ML-DSA-65" in said
    assert said_of_proof(algorithm={"name": "central"}) == ""


def test_the_parts_are_what_the_page_relies_on(clinics: Path) -> None:
    facts = RunFolder(clinics / "run").summary()["sites"]
    assert all(said["num_train"] == 18 for said in facts.values())
