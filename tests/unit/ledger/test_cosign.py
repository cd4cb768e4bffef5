"""What a witness signs and what it does not, and that it forgets nothing."""

from __future__ import annotations

import dataclasses
import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_sites import (
    DIGEST,
    KEYS,
    LOG,
    NAMES,
    ORIGIN,
    TIME_S,
    History,
    own_entries,
    tampered,
)

from wardround.errors import LedgerError
from wardround.ledger.checkpoint import Checkpoint, run_origin
from wardround.ledger.cosign import MAX_PLACES, Offer, Witness
from wardround.ledger.entries import Broadcast, ModelFinal
from wardround.ledger.merkle import EMPTY_ROOT, MAX_SIZE
from wardround.ledger.note_keys import ED25519, Key
from wardround.ledger.parts import MAX_PROOF_HASHES, Place

SITES = NAMES[:4]
ME = SITES[1]
NEW = Witness.new(ME, ORIGIN, LOG.key)


def history(rounds: int) -> History:
    made = History()
    for index in range(rounds):
        made.add_round(index, SITES)
    return made


def after(rounds: int) -> Witness:
    """The witness that signed every round."""
    witness, log = NEW, History()
    for index in range(rounds):
        log.add_round(index, SITES)
        own = own_entries(index, ME)
        witness, _ = witness.cosign(log.offer(witness, own), own, [KEYS[ME].signer], TIME_S)
    return witness


def refusal(witness: Witness, offer: Offer, own: list[bytes]) -> str:
    with pytest.raises(LedgerError) as error:
        witness.cosign(offer, own, [KEYS[ME].signer], TIME_S)
    assert f"site {ME!r} does not co-sign" in str(error.value)
    return str(error.value)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.data())
def test_an_honest_log_is_signed_however_it_grows(batches: list[int], data: st.DataObject) -> None:
    witness, log = NEW, History()
    for index, entries in enumerate(batches):
        log.add(*[Broadcast(index, DIGEST)] * entries)
        own = own_entries(index, ME) if data.draw(st.booleans()) else []
        log.extend(own)
        before = witness
        witness, signatures = witness.cosign(log.offer(witness, own), own, [KEYS[ME].signer], TIME_S + index)
        checkpoint = log.checkpoint
        assert (witness.size, witness.root) == (checkpoint.size, checkpoint.root)
        assert KEYS[ME].signer.key.holds(checkpoint.text, signatures[0])
        # Lost on its way, it is made again; from the memory before or after.
        assert before.cosign(log.offer(before, own), own, [KEYS[ME].signer], TIME_S)[0] == witness
        assert witness.cosign(log.offer(witness, own), own, [KEYS[ME].signer], TIME_S)[0] == witness
        assert Witness.from_bytes(witness.to_bytes()) == witness


def test_both_kinds_of_signatures_in_one_go() -> None:
    log, own = history(1), own_entries(0, ME)
    _, signatures = NEW.cosign(log.offer(NEW, own), own, [KEYS[ME].signer, KEYS[ME].outlasting], TIME_S)
    for signer, signature in zip((KEYS[ME].signer, KEYS[ME].outlasting), signatures, strict=True):
        assert signer.key.holds(log.checkpoint.text, signature)
    assert " sign=" not in repr(KEYS[ME].signer)


def test_a_shorter_log_is_not_signed() -> None:
    witness, shorter = after(3), history(2)
    said = refusal(witness, shorter.offer(witness, []), [])
    assert f"shorter than the {witness.size} entries" in said


def test_another_log_of_one_size_is_not_signed() -> None:
    witness, own = after(2), own_entries(1, ME)
    other = History()
    other.add_round(0, SITES, broadcast=hashlib.sha256(b"another").hexdigest())
    other.add_round(1, SITES)
    assert other.tree.size == witness.size
    assert "two different logs" in refusal(witness, other.offer(witness, own), own)


@pytest.mark.parametrize("changed", range(9))
def test_a_changed_entry_of_the_past_is_found(changed: int) -> None:
    witness, log = after(1), history(2)
    entries = list(log.entries)
    entries[changed] = ModelFinal(DIGEST).to_bytes()
    other, own = History(), own_entries(1, ME)
    other.extend(entries)
    assert "does not begin with" in refusal(witness, other.offer(witness, own), own)


@pytest.mark.parametrize("damage", ["drop", "swap", "double", "insert"])
def test_a_past_that_was_cut_or_moved_is_found(damage: str) -> None:
    witness, log = after(1), history(2)
    entries = list(log.entries)
    if damage == "drop":
        del entries[3]
    elif damage == "swap":
        entries[3], entries[4] = entries[4], entries[3]
    elif damage == "double":
        entries.insert(4, entries[3])
    else:
        entries.insert(0, ModelFinal(DIGEST).to_bytes())
    other, own = History(), own_entries(1, ME)
    other.extend(entries)
    assert "does not begin with" in refusal(witness, other.offer(witness, own), own)


def test_the_sites_own_upload_and_weight_must_be_in() -> None:
    log, own = history(2), own_entries(1, ME)
    witness = after(1)
    good = log.offer(witness, own)
    assert witness.follow(good, own).size == log.tree.size
    # Another weight, another upload, another site's, or the last round's: not what the site did.
    for wrong in (
        [own[0], own_entries(1, ME, weight=2)[1]],
        [own_entries(1, SITES[0])[0], own[1]],
        own_entries(0, ME),
        own[::-1],
    ):
        assert "is not in the log" in refusal(witness, good, wrong)
    # Places that are missing, too many, moved or borrowed.
    for places in ((), good.places[:1], (*good.places, good.places[0])):
        said = refusal(witness, dataclasses.replace(good, places=places), own)
        assert f"shown {len(places)} of its own 2 entries" in said
    for place in (
        Place(good.places[0].index + 1, good.places[0].proof),
        Place(good.places[0].index, good.places[0].proof[:-1]),
        Place(good.places[0].index, (*good.places[0].proof, bytes(32))),
        Place(log.tree.size, good.places[0].proof),
        Place(good.places[0].index, good.places[1].proof),
    ):
        refusal(witness, dataclasses.replace(good, places=(place, good.places[1])), own)


def test_a_log_in_which_the_own_entries_are_missing_has_no_proof_for_them() -> None:
    log, own = history(1), own_entries(1, ME)
    log.add(Broadcast(1, DIGEST))
    for site in SITES:
        if site != ME:
            log.extend(own_entries(1, site))
    witness = after(1)
    honest = history(2).offer(witness, own)
    for place in honest.places:
        offer = dataclasses.replace(log.offer(witness, []), places=(place, place))
        refusal(witness, offer, own)
    assert witness.follow(log.offer(witness, []), []).size == log.tree.size  # to one that did nothing it is complete


@given(st.data())
def test_a_changed_proof_of_consistency_is_refused(data: st.DataObject) -> None:
    witness, log = after(2), history(5)
    good = log.offer(witness, [])
    proof = list(good.consistency)
    at = data.draw(st.integers(0, len(proof) - 1))
    damage = data.draw(st.sampled_from(("flip", "drop", "double", "swap", "none")))
    if damage == "flip":
        changed = bytearray(proof[at])
        changed[data.draw(st.integers(0, 31))] ^= 1 << data.draw(st.integers(0, 7))
        proof[at] = bytes(changed)
    elif damage == "drop":
        del proof[at]
    elif damage == "double":
        proof.insert(at, proof[at])
    elif damage == "swap":
        proof[at], proof[at - 1] = proof[at - 1], proof[at]
    else:
        proof = []
    if tuple(proof) != good.consistency:
        refusal(witness, dataclasses.replace(good, consistency=tuple(proof)), [])


def test_another_run_or_a_checkpoint_that_the_coordinator_did_not_sign() -> None:
    log, own = history(1), own_entries(0, ME)
    good = log.offer(NEW, own)
    other = Checkpoint(run_origin(bytes(32)), log.tree.size, log.tree.root())
    elsewhere = dataclasses.replace(good, checkpoint=other, signature=LOG.key.sign(other.text, LOG.sign))
    assert "not of" in refusal(NEW, elsewhere, own)
    essen = KEYS["essen"]
    by_another = Key(ORIGIN, ED25519, essen.public[0]).sign(good.checkpoint.text, essen.ed25519.sign)
    for signature in (None, by_another, LOG.key.sign(other.text, LOG.sign)):
        assert "signature" in refusal(NEW, dataclasses.replace(good, signature=signature), own)
    # Where the coordinator has no key, nobody asks for its signature.
    assert Witness.new(ME, ORIGIN).follow(dataclasses.replace(good, signature=None), own).size == log.tree.size


def test_the_first_time_there_is_nothing_to_be_consistent_with() -> None:
    log, own = history(3), own_entries(2, ME)
    good = log.offer(NEW, own)
    assert good.consistency == ()
    assert NEW.follow(good, own).size == log.tree.size
    assert "from nothing" in refusal(NEW, dataclasses.replace(good, consistency=(bytes(32),)), own)
    empty = History()
    assert NEW.follow(empty.offer(NEW, []), []) == NEW


def test_what_is_remembered_is_bounded() -> None:
    for change in (
        {"size": -1},
        {"size": 2**53},
        {"root": b"short"},
        {"root": EMPTY_ROOT.hex()},
        {"root": bytes(32)},  # of no entries
        {"site": ""},
        {"origin": "x" * 129},
        {"log_key": LOG.key.to_text()},
    ):
        with pytest.raises(LedgerError):
            dataclasses.replace(NEW, **change)
    large = Checkpoint(ORIGIN, MAX_SIZE, bytes(32))
    offer = Offer(large, LOG.key.sign(large.text, LOG.sign), (), ())
    with pytest.raises(LedgerError):
        NEW.cosign(offer, [], [KEYS[ME].signer], TIME_S)
    with pytest.raises(LedgerError):
        dataclasses.replace(offer, consistency=(bytes(32),) * (MAX_PROOF_HASHES + 1))


def test_an_offer_in_bytes() -> None:
    log, own = history(4), own_entries(3, ME)
    witness = after(3)
    offer = log.offer(witness, own)
    assert Offer.from_bytes(offer.to_bytes()) == offer
    assert witness.follow(Offer.from_bytes(offer.to_bytes()), own).size == log.tree.size
    assert len(offer.to_bytes()) < 2048
    long = Place(0, (bytes(32),) * MAX_PROOF_HASHES)
    with pytest.raises(LedgerError, match="more than the limit"):
        dataclasses.replace(offer, places=(long,) * MAX_PLACES).to_bytes()
    with pytest.raises(LedgerError, match="at most 64"):
        dataclasses.replace(offer, places=(long,) * (MAX_PLACES + 1))


def good_records() -> list[bytes]:
    log, witness = history(4), after(3)
    offers = [log.offer(witness, own_entries(3, ME)), log.offer(NEW, [])]
    witnesses = [witness, NEW, Witness.new("süd west", ORIGIN)]
    return [record.to_bytes() for record in (*offers, *witnesses)]


def fuzz(count: int) -> None:
    own, witness = own_entries(3, ME), after(3)
    honest = history(4).checkpoint
    for data in tampered(good_records(), count, seed=4):
        for kind in (Offer, Witness):
            try:
                record = kind.from_bytes(data)
            except LedgerError:
                continue
            assert record.to_bytes() == data
            if isinstance(record, Offer):
                try:
                    followed = witness.follow(record, own)
                except LedgerError:
                    continue
                assert followed.root == honest.root


def test_damaged_offers_and_memories_give_our_error_and_nothing_else() -> None:
    fuzz(10_000)


@pytest.mark.slow
def test_a_hundred_thousand_damaged_offers_and_memories() -> None:
    fuzz(100_000)


def test_random_bytes_in_every_field_of_an_offer() -> None:
    """Nested values of the wrong type: every error is ours."""
    rng = random.Random(5)
    values = ["null", "1", "[]", "{}", '"x"', "[[]]", "[1,2]", "[null,[]]", '[1,["x"]]', "[[[1]]]", "true", '[1,"ab"]']
    for _ in range(2000):
        checkpoint, consistency, places, signature = rng.choices(values, k=4)
        body = f'"checkpoint":{checkpoint},"consistency":{consistency},"kind":"offer","places":{places},'
        with pytest.raises(LedgerError):
            Offer.from_bytes(("{" + body + f'"signature":{signature},"version":1' + "}").encode())
