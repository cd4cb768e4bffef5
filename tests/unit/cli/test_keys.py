"""The verbs by which a site makes its keys and says whom and what it trusts."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from terminal import Said, wardround

from wardround.protect.identity import grouped
from wardround.protect.trust import Trust
from wardround.study.spec import load

PASSPHRASE = "correct horse battery"
FINGERPRINT = "ab" * 32


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One site's machine: its own home and a passphrase file."""
    secret = tmp_path / "passphrase"
    secret.write_text(PASSPHRASE + "\n")
    secret.chmod(0o600)
    monkeypatch.setenv("WARDROUND_PASSPHRASE_FILE", str(secret))
    monkeypatch.setenv("WARDROUND_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.delenv("WARDROUND_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("wardround.protect.vault.Vault.__init__.__defaults__", (15,))


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]):
    return lambda *words: wardround(capsys, *words)


def refused(answer: Said) -> str:
    assert (answer.code, answer.out) == (2, "")
    return answer.sentence


def test_new_keys_are_shown_without_the_passphrase(said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = said("keys", "new", "--site", "north")
    assert (made.code, made.err) == (0, "")
    assert all(words in made.out for words in ("by phone", "wardround site trust", "wardround site approve"))
    monkeypatch.delenv("WARDROUND_PASSPHRASE_FILE")
    shown = said("keys", "show")
    name, fingerprint = shown.out.splitlines()
    assert (shown.code, name) == (0, "north")
    assert fingerprint in made.out
    assert [len(group) for group in fingerprint.split()] == [4] * 16
    home = tmp_path / "home"
    assert stat.S_IMODE((home / "keys/identity.sealed").stat().st_mode) == 0o600
    assert PASSPHRASE not in made.out
    assert Trust.load(home / "trust.toml") == Trust("north")


def test_keys_are_never_overwritten(said, tmp_path: Path) -> None:
    assert said("keys", "new", "--site", "north").code == 0
    before = {path: path.read_bytes() for path in (tmp_path / "home").rglob("*") if path.is_file()}
    assert "exists, and keys are never overwritten" in refused(said("keys", "new", "--site", "north"))
    assert {path: path.read_bytes() for path in (tmp_path / "home").rglob("*") if path.is_file()} == before
    assert said("keys", "new", "--site", "north", "--home", tmp_path / "other").code == 0
    fingerprints = {said("keys", "show", "--home", tmp_path / name).out for name in ("home", "other")}
    assert len(fingerprints) == 2


def test_what_keys_new_refuses(said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "'' is no site name" in refused(said("keys", "new", "--site", ""))
    secret = tmp_path / "passphrase"
    secret.write_text("eleven char")
    assert "a passphrase of 11 characters is too short" in refused(said("keys", "new", "--site", "north"))
    secret.write_text("")
    assert "the passphrase is empty" in refused(said("keys", "new", "--site", "north"))
    secret.write_text(PASSPHRASE)
    secret.chmod(0o644)
    assert "others can read this passphrase; chmod 600" in refused(said("keys", "new", "--site", "north"))
    monkeypatch.delenv("WARDROUND_PASSPHRASE_FILE")
    assert "set WARDROUND_PASSPHRASE_FILE" in refused(said("keys", "new", "--site", "north"))
    assert "holds no keys: wardround keys new" in refused(said("keys", "show"))
    assert not (tmp_path / "home").exists()
    assert said("keys", "new").code == 2


def test_a_plan_is_explained_and_approved_once(said, tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text("rounds = 2\n")
    digest = load(plan).digest()
    assert "trust.toml does not exist: wardround keys new makes it" in refused(said("site", "approve", plan))
    said("keys", "new", "--site", "north")
    approved = said("site", "approve", plan)
    assert (approved.code, approved.err) == (0, "")
    assert "What each party can see" in approved.out
    assert approved.out.splitlines()[-2:] == ["north approves plan plan, digest", digest]
    assert said("site", "approve", plan).code == 0
    assert Trust.load(tmp_path / "home/trust.toml").plans == (digest,)
    plan.write_text("rounds = 3\n")
    assert not Trust.load(tmp_path / "home/trust.toml").approves(load(plan).digest())


def test_a_plan_that_is_refused_is_not_approved(said, tmp_path: Path) -> None:
    said("keys", "new", "--site", "north")
    plan = tmp_path / "plan.toml"
    for text, words in (("round = 2", "round is unknown"), ("sites_per_round = 2\nquorum = 3", "can never be met")):
        plan.write_text(text)
        assert words in refused(said("site", "approve", plan))
    assert Trust.load(tmp_path / "home/trust.toml").plans == ()
    assert "absent.toml does not exist" in refused(said("site", "approve", tmp_path / "absent.toml"))


def test_a_fingerprint_is_entered_as_it_was_read_out(said, tmp_path: Path) -> None:
    said("keys", "new", "--site", "north")
    entered = said("site", "trust", "south", *grouped(FINGERPRINT).upper().split())
    assert (entered.code, entered.out) == (0, "north trusts south\n")
    assert said("site", "trust", "west", "cd" * 32, "--home", tmp_path / "home").code == 0
    assert Trust.load(tmp_path / "home/trust.toml").peers == {"south": FINGERPRINT, "west": "cd" * 32}
    assert "give --change" in refused(said("site", "trust", "south", "ef" * 32))
    assert said("site", "trust", "south", "ef" * 32, "--change").code == 0
    assert Trust.load(tmp_path / "home/trust.toml").peers["south"] == "ef" * 32
    assert "is no fingerprint: it has 64" in refused(said("site", "trust", "east", "1234"))
    assert "north is this site itself" in refused(said("site", "trust", "north", FINGERPRINT))


@pytest.mark.parametrize(
    "words", [("keys", "--help"), ("keys", "new", "--help"), ("site", "--help"), ("site", "approve", "--help")]
)
def test_help_teaches_without_importing_anything_heavy(words: tuple[str, ...]) -> None:
    code = (
        "import sys; from wardround.cli.main import main\n"
        "heavy = {'torch', 'numpy', 'cryptography'}\n"
        f"sys.argv = ['wardround', *{words!r}]\n"
        "try: main()\n"
        "except SystemExit as end: print('HEAVY', end.code, sorted(heavy & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert answer.stdout.rstrip().endswith("HEAVY 0 []")
    assert "fingerprint" in answer.stdout or "digest" in answer.stdout or "passphrase" in answer.stdout
