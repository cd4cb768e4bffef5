"""Proofs that an image is, or is not, in a list: what holds, for whom, and what cannot be made to hold."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_sites import DIGEST, LOG, NAMES, RUN, History, cosigned, noted, own_entries, roster, tampered

from wardround.errors import LedgerError
from wardround.ledger.checkpoint import Checkpoint
from wardround.ledger.data_use import UseKey, pixels_digest
from wardround.ledger.entries import Broadcast, DataUse, DataUseKey, RoundClosed
from wardround.ledger.notes import Note
from wardround.ledger.use_proof import Logged, UseProof, list_root, prove
from wardround.ledger.use_tree import UseTree

SITES = NAMES[:4]
SITE = SITES[0]
ROSTER = roster(SITES)
IMAGES = [np.random.default_rng(seed).integers(0, 256, (28, 28, 3), dtype=np.uint8) for seed in range(40)]
DIGESTS = [pixels_digest(image) for image in IMAGES]
ABSENT = pixels_digest(IMAGES[0] ^ np.uint8(1))
KEY, OTHER = UseKey(RUN.hex(), SITE, bytes(range(32))), UseKey(RUN.hex(), SITE, bytes(32))


def logged(key: UseKey, tree: UseTree, site: str = SITE, count: int | None = None) -> tuple[History, Logged]:
    """A log in which `site` committed to `key` and logged the root of `tree` in round 1."""
    committed = DataUseKey(site, key.commitment)
    used = DataUse(1, site, tree.root().hex(), tree.count if count is None else count)
    log = History()
    log.add(committed, *(DataUseKey(other, DIGEST) for other in SITES if other != site))
    log.add_round(0, SITES)
    log.add(Broadcast(1, DIGEST), used, *(DataUse(1, other, DIGEST, 5) for other in SITES if other != site))
    log.extend(own_entries(1, site))
    log.add(RoundClosed(1, 10, 10))
    note = cosigned(log.checkpoint, SITES[:3])
    return log, Logged(note, used, log.place(used.to_bytes()), committed, log.place(committed.to_bytes()))


TREE = UseTree(KEY)
TREE.add(0, DIGESTS[:20])
TREE.add(1, DIGESTS[10:])
LOGGED = logged(KEY, TREE)[1]
PRESENT, MISSING = prove(TREE, DIGESTS[7], LOGGED), prove(TREE, ABSENT, LOGGED)


def test_presence_is_shown_to_anybody() -> None:
    found = PRESENT.check()
    assert PRESENT.present
    assert (found.final, found.same_image, found.by_key) == (None, None, False)
    assert "internally consistent only" in found.sentence
    found = PRESENT.check(ROSTER, image=pixels_digest(IMAGES[7]))
    assert (found.final, found.same_image, found.by_key) == (True, True, False)
    assert "the list of 40 images of site 'aachen' logged in round 1 holds exactly these pixels" in found.sentence
    assert "co-signed by enough sites" in found.sentence


def test_absence_is_shown_to_the_auditor() -> None:
    assert not MISSING.present
    assert "only the data-use key shows" in MISSING.check(ROSTER, image=ABSENT).sentence
    found = MISSING.check(ROSTER, KEY, ABSENT)
    assert "does not hold exactly these pixels in their place" in found.sentence


@given(st.booleans(), st.booleans(), st.booleans(), st.sampled_from([PRESENT, MISSING]))
def test_no_sentence_says_more_than_is_shown(keys: bool, key: bool, image: bool, proof: UseProof) -> None:
    said = proof.check(ROSTER if keys else None, KEY if key else None, proof.image if image else None).sentence
    assert said.endswith("it does not show what a model was or was not trained on")
    assert ("exactly these pixels" in said) == image
    assert ("consistent only" in said) == (not keys)
    assert ("only the data-use key shows" in said) == (not key and proof is MISSING)


def test_too_few_cosignatures_are_said() -> None:
    log, anchor = logged(KEY, TREE)
    few = dataclasses.replace(PRESENT, note=cosigned(log.checkpoint, SITES[:2]))
    assert anchor == LOGGED
    assert not few.check(ROSTER).final
    assert "not final" in few.check(ROSTER).sentence


def test_every_image_of_the_list_and_none_else() -> None:
    for digest in DIGESTS:
        assert prove(TREE, digest, LOGGED).present
    for index, image in enumerate(IMAGES):
        changed = image.copy()
        changed.reshape(-1)[index] ^= 1
        # The limit: one bit of one pixel, and it is another image, which is not in the list.
        assert not prove(TREE, pixels_digest(changed), LOGGED).present


def test_another_image_is_refused() -> None:
    for proof in (PRESENT, MISSING):
        with pytest.raises(LedgerError, match="a single changed bit"):
            proof.check(ROSTER, KEY, DIGESTS[8])


def test_another_key_is_refused() -> None:
    with pytest.raises(LedgerError, match="committed to before the first round"):
        PRESENT.check(ROSTER, OTHER)
    for key in (UseKey(DIGEST, SITE, KEY.secret), UseKey(RUN.hex(), SITES[1], KEY.secret)):
        with pytest.raises(LedgerError, match="not of this one"):
            PRESENT.check(ROSTER, key)


def test_a_list_under_another_key_than_the_committed_one_is_found_by_the_auditor() -> None:
    """The site logs a commitment to one key and hides with another: to the public it looks fine."""
    cheat = UseTree(OTHER)
    cheat.add(0, DIGESTS)
    anchor = logged(KEY, cheat)[1]
    with pytest.raises(LedgerError, match="committed to"):
        prove(cheat, DIGESTS[3], anchor)
    position = OTHER.position(DIGESTS[3])
    path = cheat.path(DIGESTS[3])
    proof = dataclasses.replace(
        PRESENT, **vars(anchor), image=DIGESTS[3], position=position, blind=OTHER.blind(position),
        beside=path.beside, hashes=path.hashes,
    )  # fmt: skip
    assert proof.check(ROSTER).by_key is False
    with pytest.raises(LedgerError, match="position or a blind"):
        proof.check(ROSTER, KEY)
    with pytest.raises(LedgerError, match="committed to"):
        proof.check(ROSTER, OTHER)


def test_an_image_hidden_at_a_wrong_place_is_found_by_the_full_audit_alone() -> None:
    """What the auditor's absence proof cannot see, and `list_root` does."""
    hidden = DIGESTS[5]

    class Hiding(UseKey):
        def position(self, digest: bytes) -> bytes:
            return bytes(32) if digest == hidden else KEY.position(digest)

    cheat = UseTree(Hiding(KEY.run, KEY.site, KEY.secret))
    cheat.add(0, DIGESTS)
    honest_key = UseTree(KEY)
    anchor = logged(KEY, cheat)[1]
    path = cheat.path(hidden)
    assert path.root(bytes(32), cheat._leaves[0]).hex() == anchor.used.root
    # The site shows the auditor that the image's own place is empty ...
    cheat.key = KEY
    cheat._rounds.pop(hidden)
    assert not prove(cheat, hidden, anchor).check(ROSTER, KEY, hidden).proof.present
    # ... but cannot name a list of digests that gives the root.
    honest_key.add(0, DIGESTS)
    assert list_root(KEY, DIGESTS) == (honest_key.root().hex(), 40)
    assert list_root(KEY, DIGESTS)[0] != anchor.used.root
    assert list_root(KEY, [digest for digest in DIGESTS if digest != hidden])[0] != anchor.used.root


def test_the_full_audit_checks_root_and_count() -> None:
    assert list_root(KEY, [*DIGESTS[::-1], *DIGESTS[:3]]) == (LOGGED.used.root, 40)
    assert list_root(KEY, DIGESTS[1:])[0] != LOGGED.used.root
    assert list_root(OTHER, DIGESTS)[0] != LOGGED.used.root


def test_absence_cannot_be_shown_of_what_is_there_nor_presence_of_what_is_not() -> None:
    for change in (
        {"blind": None},
        {"image": ABSENT},
        {"position": KEY.position(ABSENT)},
        {"beside": MISSING.beside, "hashes": MISSING.hashes, "position": MISSING.position},
    ):
        with pytest.raises(LedgerError, match="does not show"):
            dataclasses.replace(PRESENT, **change).check()
    for change in ({"blind": KEY.blind(MISSING.position)}, {"position": PRESENT.position}):
        with pytest.raises(LedgerError, match="does not show"):
            dataclasses.replace(MISSING, **change).check()
    # An empty place that is not the image's: the public cannot tell, the auditor can.
    elsewhere = pixels_digest(IMAGES[0] ^ np.uint8(2))
    moved = dataclasses.replace(prove(TREE, elsewhere, LOGGED), image=DIGESTS[7])
    assert not moved.check(ROSTER).proof.present
    with pytest.raises(LedgerError, match="position or a blind"):
        moved.check(ROSTER, KEY)


def test_what_the_proof_rests_on_must_be_in_the_log() -> None:
    def change(**fields: object) -> UseProof:
        return dataclasses.replace(PRESENT, **fields)  # type: ignore[arg-type]

    used, committed = PRESENT.used, PRESENT.committed
    for bad, sentence in (
        (change(used=dataclasses.replace(used, count=41)), "an entry of data use that is not in the log"),
        (change(used=dataclasses.replace(used, round=2)), "an entry of data use that is not in the log"),
        (change(used=dataclasses.replace(used, root=DIGEST)), "an entry of data use that is not in the log"),
        (change(committed=DataUseKey(SITE, OTHER.commitment)), "a data-use key that is not in the log"),
        (change(used_at=PRESENT.committed_at), "not in the log"),
        (change(used_at=dataclasses.replace(PRESENT.used_at, proof=PRESENT.used_at.proof[:-1])), "not in the log"),
    ):
        with pytest.raises(LedgerError, match=sentence):
            bad.check()
    assert committed == LOGGED.committed
    log, _ = logged(KEY, TREE)
    other = DataUseKey(SITES[1], DIGEST)
    with pytest.raises(LedgerError, match="mixes sites"):
        change(committed=other, committed_at=log.place(other.to_bytes())).check()
    text = Checkpoint("example.com/log", log.tree.size, log.tree.root()).text
    with pytest.raises(LedgerError, match="no run"):
        change(note=Note(text, (LOG.key.sign(text, LOG.sign),))).check()


def test_a_key_that_is_committed_to_afterwards_is_refused() -> None:
    log = History()
    used, committed = LOGGED.used, LOGGED.committed
    log.add(used, committed)
    note = noted(log.checkpoint, [])
    late = dataclasses.replace(
        PRESENT,
        note=note,
        used_at=log.place(used.to_bytes()),
        committed_at=log.place(committed.to_bytes()),
    )
    with pytest.raises(LedgerError, match="after the list"):
        late.check()


def test_a_list_that_was_not_logged_gives_no_proof() -> None:
    with pytest.raises(LedgerError, match="does not show"):
        prove(TREE.as_of(0), DIGESTS[7], LOGGED)
    earlier = logged(KEY, TREE.as_of(0))[1]
    assert prove(TREE.as_of(0), DIGESTS[7], earlier).present
    assert not prove(TREE.as_of(0), DIGESTS[30], earlier).present


def test_the_file_gives_away_its_image_and_nothing_else() -> None:
    data = PRESENT.to_bytes()
    assert PRESENT.image.hex().encode() in data
    assert KEY.secret.hex().encode() not in data
    for digest in DIGESTS:
        position = KEY.position(digest)
        if digest != PRESENT.image:
            for told in (digest, position, KEY.blind(position)):
                assert told.hex().encode() not in data
    assert len(data) < 8192
    assert json.loads(data)["used"]["site"] == SITE


@pytest.mark.parametrize("proof", [PRESENT, MISSING], ids=["present", "absent"])
def test_every_bit_of_a_proof_counts(proof: UseProof) -> None:
    """Each byte changed in two ways: the file is refused, or the signatures under it have a stranger among them."""
    data = proof.to_bytes()
    assert UseProof.from_bytes(data) == proof
    for at in range(len(data)):
        for bit in (1, 0x20):
            bad = data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]
            try:
                read = UseProof.from_bytes(bad)
                assert read.check(ROSTER, KEY, proof.image)
            except LedgerError:
                continue
            assert read.note.text == proof.note.text
            assert read.note.strangers(ROSTER.keys)


def fuzz(count: int) -> None:
    good = [PRESENT.to_bytes(), MISSING.to_bytes()]
    for data in tampered(good, count, seed=10):
        try:
            read = UseProof.from_bytes(data)
            assert read.to_bytes() == data
            found = read.check()
        except LedgerError:
            continue
        assert found.proof.used == LOGGED.used


def test_damaged_proofs_give_our_error_and_nothing_else() -> None:
    fuzz(10_000)
    values = json.loads(PRESENT.to_bytes())
    others = (None, 1, "x", [], {}, [[]], {"kind": "data-use"}, True, [1, []], values["committed"], "\ud800")
    for name, other in itertools.product(values, others):
        bad = json.dumps({**values, name: other}, sort_keys=True, separators=(",", ":"), ensure_ascii=other == "\ud800")
        if other != values[name] or type(other) is not type(values[name]):
            with pytest.raises(LedgerError):
                UseProof.from_bytes(bad.encode()).check()
    nested = json.dumps({**values, "used": {**values["used"], "site": "\ud800"}}).encode()
    with pytest.raises(LedgerError):
        UseProof.from_bytes(nested)


@pytest.mark.slow
def test_a_hundred_thousand_damaged_proofs() -> None:
    fuzz(100_000)
