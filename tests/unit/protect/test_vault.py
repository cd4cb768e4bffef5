"""Vaults: secrets that only the passphrase opens, in files that only their owner reads."""

from __future__ import annotations

import io
import os
import pickle
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from hypothesis import given, settings
from hypothesis import strategies as st

from wardround.errors import TrustError
from wardround.protect import vault as module
from wardround.protect.private_files import write_private
from wardround.protect.vault import Vault, passphrase_from_environment

PASSPHRASE = b"correct horse battery"
CHEAP = 15  # the least that is accepted


def opened(folder: Path, passphrase: bytes = PASSPHRASE) -> Vault:
    return Vault(folder, passphrase, log2_cost=CHEAP)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    opened(folder).write("identity", b"a secret")
    return folder


def test_what_is_written_is_read_again_by_another_vault(folder: Path) -> None:
    vault = opened(folder)
    assert vault.read("identity") == b"a secret"
    vault.write("identity", b"")
    vault.write("run-1.keys", bytes(10**5))
    assert opened(folder).read("identity") == b""
    assert opened(folder).names() == ("identity", "run-1.keys")
    vault.forget("identity")
    vault.forget("identity")
    assert not vault.holds("identity")
    assert vault.holds("run-1.keys")
    with pytest.raises(TrustError, match=r"identity\.sealed cannot be read"):
        vault.read("identity")


def test_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        opened(tmp_path / "keys").write("identity", b"a secret")
        Vault.for_study(tmp_path / "study").write("identity", b"a secret")
    finally:
        os.umask(before)
    for folder, count in ((tmp_path / "keys", 2), (tmp_path / "study", 2)):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        files = list(folder.iterdir())
        assert len(files) == count
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_a_file_is_private_from_its_first_byte(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []

    def watched(descriptor: int) -> None:
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))

    monkeypatch.setattr(os, "fsync", watched)
    opened(folder).write("identity", b"another")
    assert modes == [0o600]


def test_an_open_folder_is_closed(folder: Path) -> None:
    folder.chmod(0o755)
    opened(folder).write("identity", b"another")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_nothing_of_the_content_or_the_passphrase_is_on_the_disk(tmp_path: Path) -> None:
    for vault in (opened(tmp_path / "keys"), Vault.for_study(tmp_path / "study")):
        vault.write("identity", b"a secret of some length")
        vault.write("again", b"a secret of some length")
        sealed = [path.read_bytes() for path in vault.folder.glob("*.sealed")]
        assert len(set(sealed)) == 2
        everything = b"".join(path.read_bytes() for path in vault.folder.iterdir())
        assert b"secret" not in everything
        assert PASSPHRASE not in everything
        assert PASSPHRASE.decode() not in repr(vault)


def test_another_passphrase_opens_and_writes_nothing(folder: Path) -> None:
    listing = sorted((path.name, path.read_bytes()) for path in folder.iterdir())
    wrong = opened(folder, b"incorrect horse battery")
    with pytest.raises(TrustError, match="the passphrase is not the one of"):
        wrong.read("identity")
    with pytest.raises(TrustError, match="the passphrase is not the one of"):
        wrong.write("identity", b"lost")
    assert sorted((path.name, path.read_bytes()) for path in folder.iterdir()) == listing


@settings(max_examples=40)
@given(data=st.data())
def test_an_altered_file_is_refused(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("study")
    vault = Vault.for_study(folder)
    vault.write("identity", b"a secret")
    path = folder / "identity.sealed"
    good = path.read_bytes()
    damaged = bytearray(good)
    damaged[data.draw(st.integers(0, len(good) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    cut = good[: data.draw(st.integers(0, len(good) - 1))]
    for content in (bytes(damaged), cut, good + b"\0", data.draw(st.binary(max_size=60))):
        path.write_bytes(content)
        with pytest.raises(TrustError, match="damaged, renamed or of another vault"):
            vault.read("identity")
    path.write_bytes(good)
    assert vault.read("identity") == b"a secret"


def test_a_renamed_file_and_one_of_another_vault_are_refused(folder: Path, tmp_path: Path) -> None:
    vault = opened(folder)
    vault.write("run-2", b"keys of run 2")
    (folder / "run-2.sealed").replace(folder / "run-1.sealed")
    other = opened(tmp_path / "other")
    other.write("identity", b"of another vault under the same passphrase")
    (folder / "identity.sealed").write_bytes((tmp_path / "other/identity.sealed").read_bytes())
    for name in ("run-1", "identity"):
        with pytest.raises(TrustError, match="damaged, renamed or of another vault"):
            vault.read(name)


@pytest.mark.parametrize("cost", [0, 14, 21, 255])
def test_a_cost_out_of_bounds_is_refused_before_it_is_paid(folder: Path, cost: int) -> None:
    path = folder / "vault.salt"
    header = path.read_bytes()
    path.write_bytes(header[:5] + bytes([cost]) + header[6:])
    with pytest.raises(TrustError, match=r"vault\.salt is damaged"):
        opened(folder).read("identity")


def test_a_damaged_or_missing_salt_is_refused(folder: Path) -> None:
    path = folder / "vault.salt"
    header = path.read_bytes()
    for content in (b"", header[:-1], b"X" + header[1:], header + b"\0"):
        path.write_bytes(content)
        with pytest.raises(TrustError, match=r"vault\.salt is"):
            opened(folder).read("identity")
    path.write_bytes(header[:10] + b"another salt" + header[22:])
    with pytest.raises(TrustError, match="the passphrase is not the one"):
        opened(folder).read("identity")
    path.unlink()
    for attempt in (lambda: opened(folder).read("identity"), lambda: opened(folder).write("new", b"")):
        with pytest.raises(TrustError, match=r"vault\.salt is missing"):
            attempt()
    path.write_bytes(header)
    assert opened(folder).read("identity") == b"a secret"


def test_the_key_is_stretched_once_for_a_vault(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    costs: list[int] = []

    def counted(**parameters: int) -> Scrypt:
        costs.append(parameters["n"])
        return Scrypt(**parameters)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "Scrypt", counted)
    vault = opened(folder)
    for index in range(3):
        vault.write(f"secret-{index}", b"")
        vault.read(f"secret-{index}")
    assert costs == [2**15]


def test_a_new_vault_costs_what_is_recommended() -> None:
    assert module.LOG2_COST >= 17


@pytest.mark.parametrize("short", [b"", b"eleven char", "ü".encode() * 11])
def test_no_vault_begins_with_a_short_passphrase(tmp_path: Path, short: bytes) -> None:
    with pytest.raises(TrustError, match="too short: take 12 or more"):
        opened(tmp_path / "keys", short).write("identity", b"")
    assert not (tmp_path / "keys").exists()
    opened(tmp_path / "keys", "ü".encode() * 12).write("identity", b"")


@pytest.mark.parametrize("name", ["", "..", "../identity", "a/b", ".hidden", "a\0b", "ü", "x" * 129, "a\n"])
def test_a_name_cannot_leave_the_folder(folder: Path, name: str) -> None:
    vault = opened(folder)
    for attempt in (vault.read, vault.holds, vault.forget, lambda name: vault.write(name, b"")):
        with pytest.raises(ValueError, match="no name for a secret"):
            attempt(name)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = opened(folder)
    before = sorted(path.name for path in folder.iterdir())

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            vault.write("identity", b"new")
    assert vault.read("identity") == b"a secret"
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_study_vault_needs_no_passphrase_and_keeps_its_key(tmp_path: Path) -> None:
    Vault.for_study(tmp_path / "a").write("identity", b"of a")
    Vault.for_study(tmp_path / "b").write("identity", b"of b")
    assert Vault.for_study(tmp_path / "a").read("identity") == b"of a"
    keys = {(tmp_path / site / "simulation.key").read_bytes() for site in "ab"}
    assert [len(key) for key in keys] == [32, 32]
    (tmp_path / "a/identity.sealed").write_bytes((tmp_path / "b/identity.sealed").read_bytes())
    with pytest.raises(TrustError, match="damaged"):
        Vault.for_study(tmp_path / "a").read("identity")
    (tmp_path / "b/simulation.key").write_bytes(b"short")
    with pytest.raises(TrustError, match=r"simulation\.key is damaged"):
        Vault.for_study(tmp_path / "b").read("identity")


def test_what_another_process_made_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "simulation.key"
    assert write_private(path, b"first", replace=False)
    assert not write_private(path, b"second", replace=False)
    assert path.read_bytes() == b"first"
    assert write_private(path, b"third")
    assert path.read_bytes() == b"third"
    assert list(tmp_path.iterdir()) == [path]


def test_two_vaults_that_begin_at_once_share_one_key(tmp_path: Path) -> None:
    together = threading.Barrier(4)

    def begin(index: int) -> None:
        together.wait()
        Vault.for_study(tmp_path / "study").write(f"secret-{index}", b"mine")

    threads = [threading.Thread(target=begin, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    vault = Vault.for_study(tmp_path / "study")
    assert [vault.read(name) for name in vault.names()] == [b"mine"] * 4


def test_a_vault_can_be_sent_to_a_worker_process(folder: Path) -> None:
    assert pickle.loads(pickle.dumps(opened(folder))).read("identity") == b"a secret"


def test_a_folder_that_cannot_be_made_is_a_trust_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(TrustError, match="cannot be made a private folder"):
        Vault.for_study(tmp_path / "file" / "keys").write("identity", b"")


# Where the passphrase comes from.


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What a person types at the prompts."""
    answers: list[str] = []

    def prompt(text: str) -> str:
        if not answers:
            raise EOFError
        return answers.pop(0)

    monkeypatch.delenv("WARDROUND_PASSPHRASE_FILE", raising=False)
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", prompt)
    return answers


def secret_file(tmp_path: Path, content: bytes, mode: int = 0o600) -> str:
    path = tmp_path / "passphrase"
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_the_passphrase_is_the_file_s_without_its_line_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: bytes
) -> None:
    monkeypatch.setenv("WARDROUND_PASSPHRASE_FILE", secret_file(tmp_path, b" ends with a blank " + end))
    assert passphrase_from_environment() == b" ends with a blank "


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o601])
def test_a_passphrase_file_for_others_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int) -> None:
    monkeypatch.setenv("WARDROUND_PASSPHRASE_FILE", secret_file(tmp_path, PASSPHRASE, mode))
    with pytest.raises(TrustError, match=rf"mode {mode:04o}: others can read this passphrase; chmod 600"):
        passphrase_from_environment()


def test_a_passphrase_file_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path, words in (
        (str(tmp_path / "absent"), "cannot be read"),
        (str(tmp_path), "cannot be read"),
        (secret_file(tmp_path, b"\n"), "the passphrase is empty"),
    ):
        monkeypatch.setenv("WARDROUND_PASSPHRASE_FILE", path)
        with pytest.raises(TrustError, match=words):
            passphrase_from_environment()
    monkeypatch.setenv("WARDROUND_PASSPHRASE_FILE", secret_file(tmp_path, b"x" * 1025))
    with pytest.raises(TrustError, match="longer than 1024 bytes"):
        passphrase_from_environment()


def test_a_new_passphrase_is_long_and_typed_twice(
    tmp_path: Path, typed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed[:] = ["correct horse battery"] * 2
    assert passphrase_from_environment(new=True) == PASSPHRASE
    typed[:] = ["correct horse battery"]
    assert passphrase_from_environment() == PASSPHRASE
    for answers, words in (
        (["correct horse battery", "correct horse bettery"], "differ"),
        (["short", "short"], "too short: take 12"),
        (["", ""], "empty"),
        ([], "no passphrase was given"),
    ):
        typed[:] = answers
        with pytest.raises(TrustError, match=words):
            passphrase_from_environment(new=True)
    monkeypatch.setenv("WARDROUND_PASSPHRASE_FILE", secret_file(tmp_path, b"short"))
    assert passphrase_from_environment() == b"short"
    with pytest.raises(TrustError, match="too short"):
        passphrase_from_environment(new=True)


def test_without_file_and_terminal_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WARDROUND_PASSPHRASE_FILE", raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(TrustError, match="set WARDROUND_PASSPHRASE_FILE to a file of mode 0600"):
        passphrase_from_environment()
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(TrustError, match="no terminal"):
        passphrase_from_environment()
