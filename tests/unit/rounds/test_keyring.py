"""A site's keys in a run: agreed on step by step, kept in its vault, and the same after a restart."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from hostile import Ward, plan_of

from wardround.core.codec import Message
from wardround.errors import SiteError, TrustError, WardroundError, WireError
from wardround.protect.handshake_messages import NONCE_BYTES
from wardround.protect.lattice import LatticeKey
from wardround.protect.scheme import Scheme
from wardround.protect.vault import Vault
from wardround.rounds.keyring import RUN_KEYS, Credentials, Keyring, frame_claim
from wardround.rounds.wire import tensor_of
from wardround.study.simulation import introduce_sites, simulated

NAMES = tiny.NAMES
EAST, NORTH, WEST = NAMES
NONCE = Message({}, {"nonce": tensor_of(bytes(NONCE_BYTES))})


def keyrings(folder: Path, pipeline: str = "packed and masked", **settings: Any) -> dict[str, Keyring]:
    """Return the keyrings of sites that know one another."""
    plan = plan_of(pipeline)
    introduce_sites(folder, NAMES)
    lattice = Scheme.of(plan.pipeline, plan.weight_total).lattice
    return {
        site: Keyring(site, plan.digest(), lattice, made(simulated(folder, NAMES, site), **settings)) for site in NAMES
    }


def made(credentials: Credentials, **settings: Any) -> Credentials:
    return Credentials(credentials.identity, credentials.trust, credentials.vault, **settings)


def agree(rings: dict[str, Keyring]) -> set[str]:
    """Carry a handshake; return the names of the run that the sites say."""
    hellos = {site: ring.operations["hello"](NONCE).tensors["hello"] for site, ring in rings.items()}
    meets = {site: ring.operations["meet"](Message({}, hellos)).tensors for site, ring in rings.items()}
    binds = {site: ring.operations["bind"](addressed(meets, site)).tensors for site, ring in rings.items()}
    return {ring.operations["confirm"](addressed(binds, site)).fields["run"] for site, ring in rings.items()}


def addressed(said: dict[str, Any], receiver: str) -> Message:
    return Message({}, {sender: boxes[receiver] for sender, boxes in said.items() if receiver in boxes})


def test_sites_agree_and_keep_what_they_agreed_on(tmp_path: Path) -> None:
    rings = keyrings(tmp_path)
    for ring in rings.values():
        assert ring.operations["run"](Message()).fields["run"] == ""
        with pytest.raises(SiteError, match="has agreed on no keys for this run"):
            _ = ring.keys
    (run,) = agree(rings)
    again = keyrings(tmp_path)
    for site in NAMES:
        assert again[site].operations["run"](Message()).fields["run"] == run
        assert again[site].keys == rings[site].keys
        assert again[site].keys.run_id.hex() == run
    assert rings[EAST].keys.pair_keys[WEST] == rings[WEST].keys.pair_keys[EAST]
    assert len({ring.keys.secret for ring in rings.values()}) == 1


def test_another_agreement_replaces_all_keys(tmp_path: Path) -> None:
    rings = keyrings(tmp_path)
    (run,) = agree(rings)
    before = rings[EAST].keys
    words = np.arange(4096, dtype=np.uint64)
    sealers = [rings[EAST].sealer]
    assert agree(rings) != {run}  # the same nonce: the sites' own randomness makes it another run
    after = rings[EAST].keys
    assert before.pair_keys[WEST] != after.pair_keys[WEST]
    assert (before.secret, before.group_key) != (after.secret, after.group_key)
    sealers.append(rings[EAST].sealer)
    assert sealers[0] is not sealers[1]
    assert sealers[1] is rings[EAST].sealer
    assert all(sealer.encrypt(words) for sealer in sealers if sealer)


def test_one_key_encrypts_at_all_sites(tmp_path: Path) -> None:
    rings = keyrings(tmp_path)
    agree(rings)
    keys = {ring.keys.secret for ring in rings.values()}
    lattice = Scheme.of(plan_of("packed and masked").pipeline, 64).lattice
    assert lattice is not None
    assert all(LatticeKey.from_bytes(key, lattice) for key in keys)


def test_where_nothing_is_encrypted_there_is_no_such_key(tmp_path: Path) -> None:
    rings = keyrings(tmp_path, "masked")
    agree(rings)
    assert {ring.keys.secret for ring in rings.values()} == {b""}
    assert rings[EAST].sealer is None


@pytest.mark.parametrize("secret", [b"", b"no key", bytes(1061)])
def test_a_key_that_is_none_is_refused_and_not_kept(tmp_path: Path, secret: bytes) -> None:
    """East leads: it makes the run's secret, and gives away something else."""
    rings: dict[str, Any] = keyrings(tmp_path)
    rings[EAST]._new_secret = lambda: secret
    for site in (EAST, NORTH, WEST):
        with pytest.raises(WireError, match="encryption key"):
            confirm_only(rings, site)
    assert not any(ring.vault.holds(RUN_KEYS) for ring in rings.values())


def confirm_only(rings: dict[str, Keyring], last: str) -> None:
    hellos = {site: ring.operations["hello"](NONCE).tensors["hello"] for site, ring in rings.items()}
    meets = {site: ring.operations["meet"](Message({}, hellos)).tensors for site, ring in rings.items()}
    binds = {site: ring.operations["bind"](addressed(meets, site)).tensors for site, ring in rings.items()}
    rings[last].operations["confirm"](addressed(binds, last))


@pytest.mark.parametrize("op", ["meet", "bind", "confirm"])
def test_steps_out_of_order_are_refused(tmp_path: Path, op: str) -> None:
    ring = keyrings(tmp_path)[EAST]
    with pytest.raises(SiteError, match="was not told hello: the coordinator starts the agreement on keys again"):
        ring.operations[op](Message())
    ring.operations["hello"](NONCE)
    with pytest.raises(WardroundError):
        ring.operations[op](Message())
    with pytest.raises(WardroundError, match="begin anew"):  # an error ends it
        ring.operations["meet"](Message())


def test_an_agreement_that_was_begun_leaves_the_old_keys(tmp_path: Path) -> None:
    rings = keyrings(tmp_path)
    (run,) = agree(rings)
    for ring in rings.values():
        ring.operations["hello"](NONCE)
        with pytest.raises(TrustError, match="came back altered or not at all"):
            ring.operations["meet"](Message({}, dict.fromkeys(("a", "b"), tensor_of(b""))))
        assert ring.operations["run"](Message()).fields["run"] == run


@pytest.mark.parametrize("nonce", [b"", bytes(NONCE_BYTES - 1), bytes(NONCE_BYTES + 1)])
def test_a_nonce_has_one_length(tmp_path: Path, nonce: bytes) -> None:
    with pytest.raises(WireError, match="the run's nonce is"):
        keyrings(tmp_path)[EAST].operations["hello"](Message({}, {"nonce": tensor_of(nonce)}))


@pytest.mark.parametrize("durable", [False, True])
def test_what_must_not_be_forgotten_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    ring, synced = keyrings(tmp_path, durable=durable)[EAST], []
    monkeypatch.setattr(Vault, "write", lambda self, name, content, sync: synced.append((name, content, sync)))
    ring.keep("promise", b"kept")
    assert synced == [("promise", b"kept", durable)]
    assert Credentials(*(None,) * 3).durable  # type: ignore[arg-type]


def test_signatures_are_of_the_run_s_sites(tmp_path: Path) -> None:
    rings = keyrings(tmp_path)
    agree(rings)
    signature = rings[WEST].sign(b"message")
    assert rings[EAST].verify(WEST, b"message", signature)
    assert not rings[EAST].verify(NORTH, b"message", signature)
    assert not rings[EAST].verify("nowhere", b"message", signature)
    assert not rings[EAST].verify(WEST, b"another", signature)


def test_frame_claims_never_meet() -> None:
    claims = {
        frame_claim(run, round_index, attempt, part, site, frame)
        for run, round_index, attempt, part, site, frame in itertools.product(
            (bytes(32), b"\1" * 32), (0, 1, 11), (0, 1, 11), (0, 1, 11), ("a", "1"), (b"", b"frame")
        )
    }
    assert len(claims) == 2 * 27 * 2 * 2


def test_a_site_opened_anew_goes_on_with_its_keys(tmp_path: Path) -> None:
    made_of = Ward(plan_of("packed and masked"), tmp_path)
    made_of.train(0)
    boxes = made_of.offers(NAMES)
    frame = made_of.upload(EAST, boxes)
    made_of.restart(*NAMES)
    assert made_of.offers(NAMES) == boxes
    assert made_of.upload(EAST, boxes) == frame
