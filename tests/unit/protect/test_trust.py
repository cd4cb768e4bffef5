"""trust.toml: read strictly, changed by its operator alone, with the operator's words kept."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from wardround.core.names import is_site_name
from wardround.errors import TrustError
from wardround.protect.identity import Identity, grouped
from wardround.protect.trust import StudyTrust, Trust, Trusting, approve, trust_peer

NORTH, SOUTH, STRANGER = Identity.new().public, Identity.new().public, Identity.new().public
PLAN, OTHER_PLAN = "ab" * 32, "01" * 32

NAMES = st.text(min_size=1, max_size=20).filter(is_site_name)
DIGITS = st.text("0123456789abcdef", min_size=64, max_size=64)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "trust.toml"
    Trust("north", (PLAN,), {"south": SOUTH.fingerprint}).write(path)
    return path


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


def test_round_trip(path: Path) -> None:
    assert Trust.load(path) == Trust("north", (PLAN,), {"south": SOUTH.fingerprint})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@given(site=NAMES, plans=st.lists(DIGITS, max_size=3), peers=st.dictionaries(NAMES, DIGITS, max_size=3))
def test_any_names_round_trip_and_grow(
    tmp_path_factory: pytest.TempPathFactory, site: str, plans: list[str], peers: dict[str, str]
) -> None:
    assume(len(set(peers.values())) == len(peers) and "new" not in (site, *peers))
    path = tmp_path_factory.getbasetemp() / "grows.toml"
    trust = Trust(site, tuple(plans), peers)
    trust.write(path)
    assert Trust.load(path) == trust
    assert approve(path, PLAN) == Trust.load(path)
    assert trust_peer(path, "new", NORTH.fingerprint) == Trust.load(path)
    if changes := sorted({*peers} - {site})[:1]:
        changed = trust_peer(path, changes[0], STRANGER.fingerprint, change=True)
        assert changed == Trust.load(path)
        assert changed.peers == {**peers, "new": NORTH.fingerprint, changes[0]: STRANGER.fingerprint}


def test_known_and_unknown_peers(path: Path) -> None:
    trust = Trust.load(path)
    trust.check_peer("south", SOUTH)
    with pytest.raises(TrustError) as caught:
        trust.check_peer("south", STRANGER)
    said = str(caught.value)
    assert all(word in said for word in ("south", "north", SOUTH.fingerprint, STRANGER.fingerprint, "by phone"))
    with pytest.raises(TrustError) as caught:
        trust.check_peer("west", SOUTH)
    assert all(word in str(caught.value) for word in ("west", SOUTH.fingerprint, "wardround site trust west"))


def test_nothing_is_trusted_because_it_was_seen(path: Path) -> None:
    trust = Trust.load(path)
    for _ in range(2):
        with pytest.raises(TrustError):
            trust.check_peer("west", STRANGER)
    assert Trust.load(path) == trust


def test_plans_are_approved_by_digest(path: Path) -> None:
    trust = Trust.load(path)
    assert trust.approves(PLAN)
    assert not trust.approves(OTHER_PLAN)
    assert not trust.approves("")
    assert not Trust("north").approves(PLAN)


def test_approving_keeps_what_is_there_and_twice_is_once(path: Path) -> None:
    approve(path, OTHER_PLAN.upper())
    text = path.read_text()
    assert approve(path, OTHER_PLAN) == Trust("north", (OTHER_PLAN, PLAN), {"south": SOUTH.fingerprint})
    assert path.read_text() == text
    assert text.count(OTHER_PLAN) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["trust.toml"]


@pytest.mark.parametrize(
    "text",
    [
        f"# mine\nsite = 'north' # us\nplans = ['{PLAN}'] # read on Monday\n"
        f"[peers] # phoned\nsouth = '{SOUTH.fingerprint}'\n",
        f"# mine\n# us, phoned, read on Monday\nplans=[\n  # first\n '{PLAN}' ]\nsite='north'\n\n"
        f"[peers]\n\"south\" = '{SOUTH.fingerprint}'",
        f"# mine\nsite = 'north' # us\n# phoned\npeers = {{ south = '{SOUTH.fingerprint}' }} # read on Monday\n",
        f"# mine\n# us phoned read on Monday\nsite = 'north'\npeers.south = '{SOUTH.fingerprint}'",
    ],
)
def test_comments_of_the_operator_survive(path: Path, text: str) -> None:
    before = Trust.load(written(path, text))
    after = approve(path, OTHER_PLAN)
    assert after == Trust.load(path) == Trust("north", (OTHER_PLAN, *before.plans), before.peers)
    assert all(word in path.read_text() for word in ("# mine", "us", "phoned", "read on Monday"))


def test_comments_survive_a_new_and_a_changed_peer(path: Path) -> None:
    written(path, f"site = 'north'\n[peers] # phoned\nsouth = '{SOUTH.fingerprint}' # Ms Miller\n")
    trust_peer(path, "west", grouped(NORTH.fingerprint))
    trust_peer(path, "south", STRANGER.fingerprint, change=True)
    expected = {"south": STRANGER.fingerprint, "west": NORTH.fingerprint}
    assert Trust.load(path) == Trust("north", (), expected)
    assert all(word in path.read_text() for word in ("# phoned", "# Ms Miller"))
    assert SOUTH.fingerprint not in path.read_text()


def test_a_file_that_no_edit_fits_is_written_anew(path: Path) -> None:
    # The word that the edit looks for stands in a string first.
    written(path, f"site = '''\n[peers]\nplans = ['''\n[peers]\nsouth = '{SOUTH.fingerprint}'\n")
    with pytest.raises(TrustError, match="site must be"):
        approve(path, PLAN)
    written(path, f"site = 'north'\npeers = {{ south = '{SOUTH.fingerprint}' }}\n")
    trust_peer(path, "west", NORTH.fingerprint)
    assert Trust.load(path).peers == {"south": SOUTH.fingerprint, "west": NORTH.fingerprint}


def test_a_known_peer_changes_only_on_purpose(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(TrustError, match=f"south is known by fingerprint {SOUTH.fingerprint}: give --change"):
        trust_peer(path, "south", STRANGER.fingerprint)
    trust_peer(path, "south", SOUTH.fingerprint)
    assert path.read_bytes() == before
    assert trust_peer(path, "south", STRANGER.fingerprint, change=True).peers == {"south": STRANGER.fingerprint}


@pytest.mark.parametrize(
    ("name", "fingerprint", "words"),
    [
        ("west", "1234", "'1234' is no fingerprint: it has 64 hexadecimal digits"),
        ("west", SOUTH.fingerprint, "one fingerprint"),
        ("north", NORTH.fingerprint, "north is this site itself"),
        ("", NORTH.fingerprint, "'' is no site name"),
        ("a\nb", NORTH.fingerprint, "is no site name"),
        ("x" * 129, NORTH.fingerprint, "is no site name"),
    ],
)
def test_wrong_entries_are_refused_and_nothing_changes(path: Path, name: str, fingerprint: str, words: str) -> None:
    before = path.read_bytes()
    with pytest.raises(TrustError, match=words):
        trust_peer(path, name, fingerprint)
    with pytest.raises(TrustError, match="is no plan digest"):
        approve(path, "abcd")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("site = ", "is no TOML"),
        ("", "site must be this site's name"),
        ("site = 3", "site must be this site's name"),
        ("site = ''", "site must be this site's name"),
        ("site = 'north'\nplan = []", "'plan' is unknown, there are site, plans, peers and budget"),
        ("site = 'north'\nplans = 'all'", "plans must be a list"),
        ("site = 'north'\nplans = [3]", "a plan is 3, not 64 hexadecimal digits"),
        ("site = 'north'\nplans = ['*']", "a plan is '\\*', not 64"),
        ("site = 'north'\npeers = []", r"\[peers\] a table"),
        ("site = 'north'\n[peers]\nsouth = 'any'", "the fingerprint of south is 'any', not 64"),
        ("site = 'north'\n[peers]\nsouth = 1", "the fingerprint of south is 1, not 64"),
        ("site = 'north'\n[peers]\n'' = 'any'", "'' is no site name"),
        (f"site = 'north'\n[peers]\na = '{PLAN}'\nb = '{PLAN}'", "a and b have one fingerprint"),
        ("site = " + "[" * 5000, "is no TOML"),
    ],
)
def test_misspelt_files_are_refused_in_one_sentence(path: Path, text: str, words: str) -> None:
    written(path, text)
    for reads in (Trust.load, lambda path: approve(path, PLAN)):
        with pytest.raises(TrustError, match=words) as caught:
            reads(path)
        assert "trust.toml" in str(caught.value)


def test_missing_long_and_binary_files_are_refused(path: Path) -> None:
    with pytest.raises(TrustError, match="does not exist: wardround keys new makes it"):
        Trust.load(path.with_name("absent.toml"))
    path.write_bytes(b"#" * (2**20 + 1))
    with pytest.raises(TrustError, match="longer than"):
        Trust.load(path)
    path.write_bytes(b"site = '\xff'")
    with pytest.raises(TrustError, match="not written in UTF-8"):
        Trust.load(path)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_change_is_refused(path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(TrustError, match=r"other users can change whom this site trusts; chmod go-w"):
        Trust.load(path)
    path.chmod(0o644)
    assert Trust.load(path).site == "north"


def test_a_study_trusts_what_its_launcher_made_and_nothing_else() -> None:
    trust: Trusting = StudyTrust("north", {"south": SOUTH.fingerprint})
    assert trust.approves(PLAN)
    trust.check_peer("south", SOUTH)
    for name, identity in (("south", STRANGER), ("west", SOUTH)):
        with pytest.raises(TrustError, match=name):
            trust.check_peer(name, identity)
