"""Two histories: found at the next co-signing or at the first gossip, named, and kept as evidence."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_sites import (
    DIGEST,
    KEYS,
    LOG,
    NAMES,
    ORIGIN,
    TIME_S,
    History,
    cosigned,
    noted,
    own_entries,
    roster,
    tampered,
)

from wardround.errors import LedgerError
from wardround.ledger.checkpoint import Checkpoint, run_origin
from wardround.ledger.cosign import Witness
from wardround.ledger.entries import Broadcast
from wardround.ledger.gossip import COORDINATOR, Fork, compare, find_fork, signers
from wardround.ledger.merkle import EMPTY_ROOT
from wardround.ledger.note_keys import Signature
from wardround.ledger.notes import Note
from wardround.ledger.quorum import quorum

SITES = NAMES[:5]
ROSTER = roster(SITES)
OTHER = hashlib.sha256(b"another broadcast").hexdigest()


def history(rounds: int, fork_at: int | None = None) -> History:
    made = History()
    for index in range(rounds):
        made.add_round(index, SITES, OTHER if fork_at is not None and index >= fork_at else DIGEST)
    return made


def note(log: History, sites: tuple[str, ...] = SITES) -> Note:
    return cosigned(log.checkpoint, sites)


# -- a coordinator that forks --


@dataclass
class Side:
    """What the coordinator shows to one half."""

    log: History
    note: Note | None = None


@dataclass
class Scene:
    """A run whose coordinator forks.

    Attributes:
        sites: all of them.
        dishonest: sign whatever they are asked for, and say to each peer what suits it.
        half: honest site -> the side that it is shown from the fork on.
        fork_at: first round with two histories.
        rounds: how many there are.
    """

    sites: tuple[str, ...]
    dishonest: tuple[str, ...]
    half: dict[str, int]
    fork_at: int
    rounds: int


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    num_sites = draw(st.integers(2, len(NAMES)))
    sites = NAMES[:num_sites]
    dishonest = tuple(draw(st.permutations(sites))[: draw(st.integers(0, (num_sites - 1) // 3))])
    honest = [site for site in sites if site not in dishonest]
    half = {site: draw(st.integers(0, 1)) for site in honest}
    half[honest[0]], half[honest[-1]] = 0, 1  # a fork that nobody is shown is none
    fork_at = draw(st.integers(0, 2))
    return Scene(sites, dishonest, half, fork_at, fork_at + draw(st.integers(1, 3)))


def ask(side: Side, witnesses: dict[str, Witness], scene: Scene, which: int, round_index: int) -> None:
    """Have a round of one side co-signed by its half, and by every dishonest site."""
    signatures = []
    for site, half in scene.half.items():
        if half == which or round_index < scene.fork_at:
            own = own_entries(round_index, site)
            offer = side.log.offer(witnesses[site], own)
            witnesses[site], signed = witnesses[site].cosign(offer, own, [KEYS[site].signer], TIME_S)
            signatures += signed
    checkpoint = side.log.checkpoint
    for site in scene.dishonest:
        signatures.append(KEYS[site].signer.key.sign(checkpoint.text, KEYS[site].signer.sign, TIME_S))
    side.note = noted(checkpoint, signatures)


def proofs(one: History, other: History, size: int) -> list[tuple[bytes, ...]]:
    """Every proof that a coordinator could come up with for a log of `size` entries before another one."""
    return [(), one.consistency(size), other.consistency(size)]


@settings(max_examples=40)
@given(scenes())
def test_a_forking_coordinator_is_caught(scene: Scene) -> None:
    keys = roster(scene.sites)
    witnesses = {site: Witness.new(site, ORIGIN, LOG.key) for site in scene.half}
    sides = (Side(History()), Side(History()))
    for index in range(scene.fork_at):  # one history: both sides are the same
        for which in (0, 1):
            sides[which].log.add_round(index, scene.sites)
            ask(sides[which], witnesses, scene, which, index)
        assert sides[0].note is not None
        assert sides[1].note is not None
        compare(sides[0].note, sides[1].note, (), keys)
        assert keys.endorsement(sides[0].note).is_final
    for index in range(scene.fork_at, scene.rounds):
        for which, broadcast in enumerate((DIGEST, OTHER)):
            sides[which].log.add_round(index, scene.sites, broadcast)
            ask(sides[which], witnesses, scene, which, index)
        first, second = sides[0].note, sides[1].note
        assert first is not None
        assert second is not None
        # Each half saw nothing odd so far, but at most one side is final.
        assert not (keys.endorsement(first).is_final and keys.endorsement(second).is_final)
        # First gossip between any honest site of the one half and any of the other, in both directions.
        for mine, theirs in ((first, second), (second, first)):
            for proof in proofs(sides[0].log, sides[1].log, sides[0].log.tree.size):
                with pytest.raises(LedgerError, match="two histories") as error:
                    compare(mine, theirs, proof, keys)
        fork = find_fork(first, second)
        assert fork is not None
        assert fork.is_proved
        assert fork.accused(keys) == (*sorted(scene.dishonest), COORDINATOR)
        assert all(site in str(error.value) for site in scene.sites)
    # Next co-signing: no site of the one half signs for the other, whatever proof it is shown.
    for site, half in scene.half.items():
        mine, other = sides[half].log, sides[1 - half].log
        other.add_round(scene.rounds, scene.sites, OTHER)
        own = own_entries(scene.rounds, site)
        offer = other.offer(witnesses[site], own)
        for proof in proofs(mine, other, witnesses[site].size):
            with pytest.raises(LedgerError, match="does not co-sign"):
                witnesses[site].cosign(dataclasses.replace(offer, consistency=proof), own, [KEYS[site].signer], TIME_S)
        # Its own side would go on, so that it is the fork that is refused.
        mine.add_round(scene.rounds, scene.sites)
        assert witnesses[site].follow(mine.offer(witnesses[site], own), own)


@settings(max_examples=30)
@given(scenes(), st.data())
def test_histories_that_grow_at_different_speed_are_caught_too(scene: Scene, data: st.DataObject) -> None:
    """The sides are of different sizes, so that a proof is asked for and none holds."""
    keys = roster(scene.sites)
    sides = [History(), History()]
    for which, broadcast in enumerate((DIGEST, OTHER)):
        for index in range(scene.fork_at):
            sides[which].add_round(index, scene.sites)
        sides[which].add(*[Broadcast(scene.fork_at, broadcast)] * data.draw(st.integers(1, 9)))
    halves = [[site for site in scene.sites if scene.half.get(site, which) == which] for which in (0, 1)]
    notes = [cosigned(side.checkpoint, half) for side, half in zip(sides, halves, strict=True)]
    short, long = sorted(sides, key=lambda side: side.tree.size)
    for proof in (*proofs(short, long, short.tree.size), long.consistency(max(1, short.tree.size - 1))):
        with pytest.raises(LedgerError, match="two histories"):
            compare(notes[0], notes[1], proof, keys)
    # Whoever has the longer log shows what its beginning is, and the fork is proved to anybody.
    if short.tree.size < long.tree.size:
        open_question = Fork.between(notes[0], notes[1])
        assert not open_question.is_proved
        prefix, proof = long.tree.root(short.tree.size), long.consistency(short.tree.size)
        proved = Fork.between(notes[1], notes[0], prefix, proof)
        assert proved.is_proved
        assert Fork.from_bytes(proved.to_bytes()) == proved
        assert not proved.answer(proof)


def test_enough_dishonest_sites_make_two_histories_final_and_are_named() -> None:
    """The control: with as many as the bound allows, both are final; gossip still finds it."""
    dishonest, needed = SITES[:3], quorum(5)
    first, second = note(history(2), (*dishonest, SITES[3])), note(history(2, fork_at=1), (*dishonest, SITES[4]))
    assert 2 * needed - 5 == len(dishonest)
    assert ROSTER.endorsement(first).is_final
    assert ROSTER.endorsement(second).is_final
    with pytest.raises(LedgerError) as error:
        compare(first, second, (), ROSTER)
    assert "aachen, bad nauheim, celle+linden, the coordinator on both sides" in str(error.value)
    assert str(history(2).tree.size) in str(error.value)
    assert history(2).tree.root().hex()[:16] in str(error.value)


# -- one history --


@given(st.integers(1, 6), st.integers(1, 6))
def test_one_history_at_two_times_is_no_fork(early: int, late: int) -> None:
    short, long = history(min(early, late)), history(max(early, late))
    proof = () if early == late else long.consistency(short.tree.size)
    for mine, theirs in ((short, long), (long, short)):
        compare(note(mine), note(theirs, SITES[1:2]), proof, ROSTER)
        assert find_fork(note(mine), note(theirs), proof) is None
    if early != late:
        with pytest.raises(LedgerError, match="two histories"):
            compare(note(short), note(long), (), ROSTER)
        assert Fork.between(note(long), note(short)).answer(proof)
        prefix = short.tree.root()
        with pytest.raises(LedgerError, match="is none"):
            Fork.between(note(long), note(short), prefix, proof)


def test_nothing_is_compared_with_an_empty_log() -> None:
    empty = cosigned(Checkpoint(ORIGIN, 0, EMPTY_ROOT), SITES)
    compare(empty, note(history(2)), (), ROSTER)


def test_a_checkpoint_that_nobody_signed_is_no_gossip() -> None:
    checkpoint = history(2, fork_at=1).checkpoint
    stranger = KEYS["fulda"].signer
    unsigned = Note(checkpoint.text, (stranger.key.sign(checkpoint.text, stranger.sign, TIME_S),))
    for mine in (note(history(2)), note(history(2, fork_at=1))):  # not even where it says what all say
        with pytest.raises(LedgerError, match="signed by nobody in the roster"):
            compare(mine, unsigned, (), ROSTER)
        with pytest.raises(LedgerError, match="signed by nobody in the roster"):
            compare(unsigned, mine, (), ROSTER)
    forged = Signature(KEYS[SITES[0]].signer.key.name, KEYS[SITES[0]].signer.key.key_id, bytes(72))
    with pytest.raises(LedgerError, match="does not fit"):
        compare(note(history(2)), Note(checkpoint.text, (forged,)), (), ROSTER)
    assert signers(note(history(1), SITES[:1]), ROSTER) == (SITES[0], COORDINATOR)
    lasting = KEYS[SITES[2]].outlasting
    only = Note(checkpoint.text, (lasting.key.sign(checkpoint.text, lasting.sign, TIME_S),))
    assert signers(only, ROSTER) == (SITES[2],)


def test_another_run_is_another_log() -> None:
    elsewhere = cosigned(Checkpoint(run_origin(bytes(32)), 5, bytes(32)), SITES)
    with pytest.raises(LedgerError, match="cannot be compared"):
        compare(note(history(2)), elsewhere, (), ROSTER)
    with pytest.raises(LedgerError, match="two logs"):
        Fork.between(note(history(2)), elsewhere)


# -- evidence in a file --


def test_evidence_is_kept_in_one_way() -> None:
    first, second = note(history(2)), note(history(2, fork_at=1))
    fork = Fork.between(first, second)
    assert fork == Fork.between(second, first)
    assert fork.is_proved
    assert Fork.from_bytes(fork.to_bytes()) == fork
    log = history(3, fork_at=1)
    size, prefix = history(2).tree.size, log.tree.root(history(2).tree.size)
    longer = Fork.between(first, note(log), prefix, log.consistency(size))
    assert longer.is_proved
    for bad in (
        {"first": fork.second, "second": fork.first},
        {"second": fork.first},
        {"prefix": prefix},
        {"proof": (bytes(32),)},
        {"first": Note("no checkpoint\n", first.signatures)},
    ):
        with pytest.raises(LedgerError):
            dataclasses.replace(fork, **bad)
    for bad in (
        {"prefix": bytes(32)},
        {"proof": ()},
        {"proof": longer.proof[:-1]},
        {"prefix": None},
        {"prefix": Checkpoint.from_text(first.text).root},
    ):
        with pytest.raises(LedgerError):
            dataclasses.replace(longer, **bad)


def fuzz(count: int) -> None:
    log = history(3, fork_at=1)
    size = history(2).tree.size
    first = note(history(2), SITES[:2])
    good = [
        Fork.between(first, note(history(2, fork_at=1), SITES[:2])).to_bytes(),
        Fork.between(first, note(log, SITES[:2]), log.tree.root(size), log.consistency(size)).to_bytes(),
        Fork.between(first, note(log, SITES[:2])).to_bytes(),
    ]
    for data in tampered(good, count, seed=6):
        try:
            assert Fork.from_bytes(data).to_bytes() == data
        except LedgerError:
            continue


def test_damaged_evidence_gives_our_error_and_nothing_else() -> None:
    fuzz(10_000)


@pytest.mark.slow
def test_a_hundred_thousand_damaged_pieces_of_evidence() -> None:
    fuzz(100_000)
