"""The list of images: one root for one set, whatever the order, and proofs that lead to it."""

from __future__ import annotations

import hashlib
import os
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_sites import DIGEST, tampered

from wardround.errors import LedgerError
from wardround.ledger.data_use import UseKey
from wardround.ledger.use_tree import DEPTH, EMPTY, Path, UseTree, use_leaf

KEY, OTHER = UseKey(DIGEST, "north", bytes(range(32))), UseKey(DIGEST, "north", bytes(32))
digests = st.binary(min_size=32, max_size=32)


def image(index: int) -> bytes:
    return hashlib.sha256(f"image {index}".encode()).digest()


def tree_of(images: list[bytes], key: UseKey = KEY) -> UseTree:
    tree = UseTree(key)
    tree.add(0, images)
    return tree


def reference_root(key: UseKey, images: set[bytes]) -> bytes:
    """The root by the definition: every level of the tree of 2^256 places, skipping what is empty."""

    def over(bits: dict[str, bytes], depth: int) -> bytes:
        if not bits:
            return empty[depth]
        if depth == 256:
            return next(iter(bits.values()))
        left = {place: leaf for place, leaf in bits.items() if place[depth] == "0"}
        right = {place: leaf for place, leaf in bits.items() if place[depth] == "1"}
        return hashlib.sha256(b"\1" + over(left, depth + 1) + over(right, depth + 1)).digest()

    empty = {256: bytes(32)}
    for depth in range(255, -1, -1):
        empty[depth] = hashlib.sha256(b"\1" + empty[depth + 1] * 2).digest()
    leaves = {}
    for digest in images:
        position = key.position(digest)
        leaf = hashlib.sha256(b"\0" + key.blind(position) + digest).digest()
        leaves[f"{int.from_bytes(position, 'big'):0256b}"] = leaf
    return over(leaves, 0)


@given(st.lists(digests, max_size=12))
def test_the_root_is_that_of_the_definition(images: list[bytes]) -> None:
    assert tree_of(images).root() == reference_root(KEY, set(images))


def test_roots_that_are_written_down() -> None:
    """Computed by `reference_root`, so that no later version gives other roots to the same lists."""
    assert UseTree(KEY).root() == EMPTY[0]
    assert EMPTY[0].hex() == "6155289130893872355eac98042d22aefa2c2e708bea169402760e3b55f9a2dc"
    assert tree_of([image(0)]).root().hex() == "ebcd8d24708f01dc156cb127aad2c7de468b074b84b2536a18b18c6093f743c2"
    assert (
        tree_of([image(index) for index in range(100)]).root().hex()
        == "b817c3cdc706c9a5b8521841f8d17e0ea84331e2fdbe4803a758fe55a93bf7cd"
    )


@given(st.lists(digests, min_size=1, max_size=30), st.randoms(), st.integers(1, 5))
def test_order_doubles_and_batches_do_not_matter(images: list[bytes], shuffler: random.Random, batches: int) -> None:
    once = tree_of(images)
    assert once.count == len(set(images))
    again = [*images, *images[: len(images) // 2 + 1]]
    shuffler.shuffle(again)
    tree = UseTree(KEY)
    new = 0
    for index in range(batches):
        new += tree.add(index, again[index::batches])
        tree.root()  # what was hashed before must not be mistaken for what is there now
    assert new == tree.count == once.count
    assert tree.root() == once.root()
    assert tree.add(batches, again) == 0
    assert tree.root() == once.root()


@given(st.lists(digests, max_size=20, unique=True), digests)
def test_paths_of_what_is_there_and_of_what_is_not(images: list[bytes], another: bytes) -> None:
    tree = tree_of(images)
    for digest in images:
        position = KEY.position(digest)
        path, leaf = tree.path(digest), use_leaf(KEY.blind(position), digest)
        assert tree.holds(digest)
        assert path.root(position, leaf) == tree.root()
        assert path.root(position, None) != tree.root()
        assert path.root(position, use_leaf(KEY.blind(position), another)) != tree.root() or digest == another
    if another not in images:
        assert not tree.holds(another)
        path = tree.path(another)
        assert path.root(KEY.position(another), None) == tree.root()
        for digest in images:  # the way to an empty place leads to no image
            assert path.root(KEY.position(digest), None) != tree.root()


def close_to(position: int, bits: int) -> int:
    """A position that parts from another one after so many bits."""
    return position ^ (1 << (DEPTH - 1 - bits))


@pytest.mark.parametrize("bits", [0, 1, 7, 8, 100, 254, 255])
def test_places_that_part_late(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No HMAC gives such neighbours, so that they are put there by hand."""
    base = int.from_bytes(hashlib.sha256(b"base").digest(), "big")
    places = {image(0): base, image(1): close_to(base, bits), image(2): close_to(base, max(bits - 1, 0) // 2)}
    monkeypatch.setattr(UseKey, "position", lambda key, digest: places[digest].to_bytes(32, "big"))
    present = [image(0), image(2)] if bits else [image(0)]
    tree = tree_of(present)
    before = tree.path(image(1)).root(places[image(1)].to_bytes(32, "big"), None)
    assert before == tree.root() == reference_root(KEY, set(present))
    tree.add(1, [image(1)])
    assert tree.root() == reference_root(KEY, {*present, image(1)})
    for digest in (*present, image(1)):
        position = places[digest].to_bytes(32, "big")
        assert tree.path(digest).root(position, use_leaf(KEY.blind(position), digest)) == tree.root()


def test_a_root_says_nothing_without_the_key() -> None:
    """The same images under two keys, and other images under one, are equally different; so are the paths."""
    images = [image(index) for index in range(50)]
    one, other_key, other_data = tree_of(images), tree_of(images, OTHER), tree_of([image(-1), *images[1:]])
    roots = {one.root(), other_key.root(), other_data.root()}
    assert len(roots) == 3
    shared = set(one.path(images[0]).hashes) & set(other_key.path(images[0]).hashes)
    assert not shared
    # Bits of roots of the same images under fresh keys: none leans to one side by more than chance allows.
    fresh = [tree_of(images[:3], UseKey.new(DIGEST, "north")).root() for _ in range(400)]
    ones = [sum(int.from_bytes(root, "big") >> bit & 1 for root in fresh) for bit in range(256)]
    assert all(120 < count < 280 for count in ones)  # eight standard deviations


def test_a_leaf_hides_its_image_from_whoever_has_the_image() -> None:
    """A neighbour in somebody else's proof is not recognised by its digest alone."""
    tree = tree_of([image(0), image(1)])
    neighbours = {neighbour for index in (0, 1) for neighbour in tree.path(image(index)).hashes}
    guesses = {hashlib.sha256(b"\0" + blind + image(index)).digest() for index in (0, 1) for blind in (b"", bytes(32))}
    assert not neighbours & guesses


def test_changed_paths_lead_elsewhere() -> None:
    tree = tree_of([image(index) for index in range(20)])
    position = KEY.position(image(3))
    leaf, good = use_leaf(KEY.blind(position), image(3)), tree.path(image(3))
    for bit in range(DEPTH):
        moved = (int.from_bytes(position, "big") ^ 1 << bit).to_bytes(32, "big")
        assert good.root(moved, leaf) != tree.root()
        beside = (int.from_bytes(good.beside, "big") ^ 1 << bit).to_bytes(32, "big")
        with pytest.raises(LedgerError, match="number of neighbours"):
            Path(beside, good.hashes).root(position, leaf)
    for at in range(len(good.hashes)):
        for changed in (
            (*good.hashes[:at], bytes(32), *good.hashes[at + 1 :]),
            (*good.hashes[:at], *good.hashes[at + 1 :], bytes(31) + b"1"),
        ):
            assert Path(good.beside, changed).root(position, leaf) != tree.root()
    with pytest.raises(LedgerError, match="number of neighbours"):
        Path(good.beside[:-1], good.hashes).root(position, leaf)
    with pytest.raises(LedgerError, match="number of neighbours"):
        good.root(position[:-1], leaf)


def test_an_empty_neighbour_is_written_in_one_way() -> None:
    """Else a proof could be written in 2^200 ways."""
    tree = tree_of([image(0)])
    position, path = KEY.position(image(0)), tree.path(image(0))
    assert path.hashes == ()
    beside = (1 << 255).to_bytes(32, "big")
    with pytest.raises(LedgerError, match="empty neighbour"):
        Path(beside, (EMPTY[1],)).root(position, use_leaf(KEY.blind(position), image(0)))


def test_lists_of_earlier_rounds() -> None:
    tree, roots = UseTree(KEY), []
    for round_index in (0, 2, 3):
        tree.add(round_index, [image(index) for index in range(10 * (round_index + 1))])
        roots.append((round_index, tree.count, tree.root()))
    for round_index, count, root in roots:
        earlier = tree.as_of(round_index)
        assert (earlier.count, earlier.root()) == (count, root)
    assert tree.as_of(1).root() == roots[0][2]
    assert not tree.as_of(0).holds(image(15))
    with pytest.raises(ValueError, match="round 1 is over"):
        tree.add(1, [image(1000)])
    assert tree.add(1, [image(0)]) == 0  # nothing new: a round that is repeated after a crash
    with pytest.raises(ValueError, match="32 bytes"):
        tree.add(4, [b"short"])


def test_a_list_is_kept_across_restarts() -> None:
    tree = UseTree(KEY)
    assert UseTree.from_bytes(KEY, tree.to_bytes()).count == 0
    for round_index in range(4):
        tree.add(round_index, [image(index) for index in range(5 * (round_index + 1))])
    again = UseTree.from_bytes(KEY, tree.to_bytes())
    assert again.to_bytes() == tree.to_bytes()
    assert again.root() == tree.root()
    assert again.as_of(1).root() == tree.as_of(1).root()
    with pytest.raises(LedgerError, match="another key"):
        UseTree.from_bytes(OTHER, tree.to_bytes())


def resealed(body: bytes) -> bytes:
    return body + hashlib.sha256(body).digest()


def test_unsorted_or_double_images_in_a_kept_list_are_refused() -> None:
    tree = tree_of([image(0), image(1)])
    body = tree.to_bytes()[:-32]
    head, first, second = body[:37], body[37:73], body[73:]
    assert UseTree.from_bytes(KEY, resealed(head + first + second)).root() == tree.root()
    later = (7).to_bytes(4, "big") + first[4:]
    for bad in (head + second + first, head + first + first, head + first + second + later):
        with pytest.raises(LedgerError, match=r"not sorted|twice"):
            UseTree.from_bytes(KEY, resealed(bad))
    for bad in (head + first[:-1], head[:-1], b"", body + b"\0"):
        with pytest.raises(LedgerError):
            UseTree.from_bytes(KEY, resealed(bad))


def test_ten_thousand_images_take_about_a_second() -> None:
    """Measured: 1.0 s for the first root, 20 ms for a hundred more; the bound leaves room for a busy machine."""
    tree, images = UseTree(KEY), [os.urandom(32) for _ in range(10_000)]
    began = time.process_time()
    tree.add(0, images)
    tree.root()
    first = time.process_time()
    tree.add(1, [os.urandom(32) for _ in range(100)])
    tree.root()
    second = time.process_time()
    path = tree.path(images[0])
    assert first - began < 4
    assert second - first < 0.4
    assert sum(map(len, path.hashes)) < 1024


def fuzz(count: int) -> None:
    good = [UseTree(KEY).to_bytes(), tree_of([image(index) for index in range(3)]).to_bytes()]
    for index, damaged in enumerate(tampered(good, count, seed=9)):
        # Every other one with a checksum that fits, so that what lies behind it is read.
        data = resealed(damaged[:-32]) if index % 2 else damaged
        try:
            assert UseTree.from_bytes(KEY, data).to_bytes() == data
        except LedgerError:
            continue


def test_damaged_lists_give_our_error_and_nothing_else() -> None:
    fuzz(10_000)


@pytest.mark.slow
def test_a_hundred_thousand_damaged_lists() -> None:
    fuzz(100_000)
