"""A site's home folder: made once, never overwritten, and whole or refused."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from wardround.errors import TrustError
from wardround.protect import home as module
from wardround.protect.home import Home
from wardround.protect.identity import Identity
from wardround.protect.trust import Trust
from wardround.protect.vault import Vault

PASSPHRASE = b"correct horse battery"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Vault", lambda folder, passphrase: Vault(folder, passphrase, log2_cost=15))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "north")
    home.begin("north", PASSPHRASE)
    return home


def test_a_new_home_holds_keys_and_trusts_nobody(home: Home) -> None:
    identity = home.identity(PASSPHRASE)
    assert identity.public == home.public()
    assert home.public().verify(b"m", identity.sign(b"m"))
    assert home.trust() == Trust("north")
    assert stat.S_IMODE(home.folder.stat().st_mode) == 0o700
    assert {path.name for path in home.folder.iterdir()} == {"identity.pub", "trust.toml", "keys"}
    assert identity.to_bytes()[5:37] not in b"".join(
        path.read_bytes() for path in home.folder.rglob("*") if path.is_file()
    )


def test_the_folder_is_named_or_of_the_environment_or_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.delenv("WARDROUND_HOME", raising=False)
    assert Home.of(None).folder == tmp_path / "user/.wardround"
    monkeypatch.setenv("WARDROUND_HOME", "")
    assert Home.of(None).folder == tmp_path / "user/.wardround"
    monkeypatch.setenv("WARDROUND_HOME", str(tmp_path / "site"))
    assert Home.of(None).folder == tmp_path / "site"
    assert Home.of(tmp_path / "given").folder == tmp_path / "given"


def test_keys_are_never_overwritten(home: Home) -> None:
    before = home.public()
    with pytest.raises(TrustError, match="exists, and keys are never overwritten"):
        home.begin("north", PASSPHRASE)
    home.public_path.unlink()
    with pytest.raises(TrustError, match="exists, and keys are never overwritten"):
        home.begin("north", PASSPHRASE)
    home.public_path.write_bytes(before.to_bytes())
    assert home.identity(PASSPHRASE).public == before


def test_a_trust_file_that_is_there_is_kept_if_it_is_the_site_s_own(tmp_path: Path) -> None:
    trust = Trust("north", ("ab" * 32,), {"south": "cd" * 32})
    trust.write(tmp_path / "trust.toml")
    with pytest.raises(TrustError, match="is the one of north, not south"):
        Home(tmp_path).begin("south", PASSPHRASE)
    Home(tmp_path).begin("north", PASSPHRASE)
    assert Home(tmp_path).trust() == trust


def test_what_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    for site, passphrase, words in (("", PASSPHRASE, "'' is no site name"), ("north", b"short", "too short")):
        with pytest.raises(TrustError, match=words):
            Home(tmp_path / "new").begin(site, passphrase)
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(TrustError, match=r"cannot be written .*: choose another --home"):
        Home(tmp_path / "file/new").begin("north", PASSPHRASE)


def test_an_exchanged_public_identity_is_noticed(home: Home) -> None:
    # Else its operator would read out somebody else's fingerprint.
    own, other = home.public(), Identity.new().public
    home.public_path.write_bytes(other.to_bytes())
    with pytest.raises(TrustError) as caught:
        home.identity(PASSPHRASE)
    assert own.fingerprint in str(caught.value)
    assert other.fingerprint in str(caught.value)


def test_missing_and_damaged_parts_are_named(home: Home, tmp_path: Path) -> None:
    with pytest.raises(TrustError, match="the passphrase is not the one of"):
        home.identity(b"incorrect horse battery")
    home.vault(PASSPHRASE).write("identity", b"something else")
    with pytest.raises(TrustError, match="holds no identity of this version"):
        home.identity(PASSPHRASE)
    for content in (b"", home.public_path.read_bytes() + b"\0"):
        home.public_path.write_bytes(content)
        with pytest.raises(TrustError, match=r"identity\.pub is"):
            home.public()
    with pytest.raises(TrustError, match="holds no keys: wardround keys new makes them"):
        Home(tmp_path / "absent").public()
    with pytest.raises(TrustError, match="does not exist: wardround keys new makes it"):
        Home(tmp_path / "absent").trust()
