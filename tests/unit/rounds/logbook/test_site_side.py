"""What a site keeps for the ledger: its contributions, its list of used images, and where it stands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny

from wardround.errors import LedgerError, SiteError
from wardround.ledger.data_use import pixels_digest
from wardround.ledger.entries import ACCEPTED, Verdict, read_entry
from wardround.ledger.note_keys import ED25519, Key
from wardround.protect.vault import Vault
from wardround.rounds.keyring import Keyring
from wardround.rounds.logbook.contributions import Contribution, Contributions
from wardround.rounds.logbook.standing import Standing, StandingFile
from wardround.rounds.logbook.used_images import UsedImages, list_path, read_key, read_list
from wardround.study.simulation import introduce_sites, simulated

RUN, DIGEST = "ab" * 32, "5" * 64
VERDICT = Verdict(4, "east", ACCEPTED, 3, "")


def sent(round_index: int, attempt: int = 0, **changes: object) -> Contribution:
    given = {"broadcast": DIGEST, "digest": "6" * 64, "size_bytes": 10, "weight": 3.0, **changes}
    return Contribution(round_index, attempt, **given)  # type: ignore[arg-type]


def test_contributions_of_two_rounds_are_kept_across_restarts(tmp_path: Path) -> None:
    kept = Contributions(tmp_path / "store")
    assert kept.of(0, 0) is None
    assert not kept.any_of(0)
    for one in (sent(0), sent(1), sent(2), sent(2, 1, weight=None)):
        kept.note(one)
    again = Contributions(tmp_path / "store")
    assert again.of(2, 0) == sent(2)
    assert again.of(2, 1) == sent(2, 1, weight=None)
    assert again.of(2, 2) is None
    assert again.of(1, 0) == sent(1)
    assert not again.any_of(0)
    assert [path.name for path in sorted((tmp_path / "store").iterdir())] == [
        "contribution-000001.json",
        "contribution-000002.json",
    ]


def test_an_accepted_update_asks_for_its_entries(tmp_path: Path) -> None:
    with_list = sent(4, use_root=DIGEST, use_count=7).entries(VERDICT)
    assert [read_entry(entry).kind for entry in with_list] == ["broadcast", "update", "verdict", "data-use"]
    assert len(sent(4).entries(VERDICT)) == 3


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"0": 1}'])
def test_damaged_contributions_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "contribution-000003.json").write_bytes(content)
    with pytest.raises(SiteError, match="round 3 is damaged"):
        Contributions(tmp_path).of(3, 0)
    (tmp_path / "contribution-000003.json").write_bytes(b'{"0": {"round": 3}}')
    with pytest.raises(SiteError, match="round 3 cannot be read"):
        Contributions(tmp_path).of(3, 0)


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    introduce_sites(tmp_path, tiny.NAMES)
    return Keyring("east", DIGEST, None, simulated(tmp_path, tiny.NAMES, "east"))


def test_a_list_grows_with_what_is_used_and_is_the_same_after_a_restart(tmp_path: Path, keyring: Keyring) -> None:
    images = tiny.images(12)
    used = UsedImages("east", tmp_path / "store", keyring)
    first = used.of(RUN).use(0, images, np.array([3, 1, 3]))
    assert first[1] == 2
    assert used.of(RUN).use(0, images, np.array([1])) == first
    again = UsedImages("east", tmp_path / "store", keyring)
    assert again.of(RUN).commitment == used.of(RUN).commitment
    assert again.of(RUN).use(1, images, np.array([1, 3])) == first
    everything = again.of(RUN).use(1, images, None)
    assert everything[1] == 12
    tree = read_list(tmp_path / "store", read_key(keyring.vault, RUN))
    assert tree.root().hex() == everything[0]
    assert tree.as_of(0).root().hex() == first[0]
    assert tree.holds(pixels_digest(images.pixels[5]))
    assert not tree.holds(pixels_digest(images.pixels[5] ^ 1))  # the limit: one bit makes another image


def test_a_round_that_is_made_anew_after_later_ones_adds_to_the_present_list(tmp_path: Path, keyring: Keyring) -> None:
    images, used = tiny.images(12), UsedImages("east", tmp_path / "store", keyring)
    used.of(RUN).use(5, images, np.arange(4))
    assert used.of(RUN).use(2, images, np.arange(6))[1] == 6


def test_every_run_has_a_key_and_a_list_of_its_own(tmp_path: Path, keyring: Keyring) -> None:
    used, other = UsedImages("east", tmp_path / "store", keyring), "cd" * 32
    roots = {used.of(run).use(0, tiny.images(4), None) for run in (RUN, other)}
    assert len(roots) == 2
    assert used.of(RUN).commitment != used.of(other).commitment


def test_a_damaged_list_is_refused_by_name(tmp_path: Path, keyring: Keyring) -> None:
    UsedImages("east", tmp_path / "store", keyring).of(RUN).use(0, tiny.images(4), None)
    path = list_path(tmp_path / "store", RUN)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SiteError, match="list of images of site 'east' is damaged"):
        UsedImages("east", tmp_path / "store", keyring).of(RUN)


def test_a_key_of_the_list_lies_in_the_vault_alone(tmp_path: Path, keyring: Keyring) -> None:
    UsedImages("east", tmp_path / "store", keyring).of(RUN).use(0, tiny.images(4), None)
    secret = read_key(keyring.vault, RUN).secret
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert secret not in path.read_bytes(), path
            assert secret.hex().encode() not in path.read_bytes(), path


def log_key(byte: int = 0) -> Key:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.from_private_bytes(bytes([byte]) * 32)
    return Key("wardround/" + RUN, ED25519, private.public_key().public_bytes_raw())


class Agreed:
    """The keys of a run that was agreed on."""

    run_id = bytes.fromhex(RUN)


def test_a_site_stands_where_it_stood_also_after_a_restart(tmp_path: Path, keyring: Keyring) -> None:
    keyring._keys = Agreed()  # type: ignore[assignment]
    file = StandingFile("east", keyring, tmp_path / "store")
    assert file.run == ""
    with pytest.raises(LedgerError, match="was not told of the ledger of a run"):
        _ = file.standing
    standing = file.join(RUN, log_key())
    assert (standing.witness.size, standing.note, standing.run) == (0, None, RUN)
    again = StandingFile("east", keyring, tmp_path / "store")
    assert again.run == RUN
    assert again.standing == standing
    assert again.join(RUN, log_key()) == standing
    with pytest.raises(LedgerError, match="by another key"):
        again.join(RUN, log_key(1))
    with pytest.raises(LedgerError, match="remembers none of its log"):
        again.join("cd" * 32, log_key())


def test_what_was_kept_of_a_standing_is_exact(keyring: Keyring, tmp_path: Path) -> None:
    keyring._keys = Agreed()  # type: ignore[assignment]
    standing = StandingFile("east", keyring, tmp_path).join(RUN, log_key())
    assert Standing.from_bytes(standing.to_bytes()) == standing
    for bad in (b"", b"{}\n", standing.to_bytes() + b"x", standing.to_bytes()[:-2]):
        with pytest.raises(LedgerError):
            Standing.from_bytes(bad)
    assert isinstance(keyring.vault, Vault)
