"""Merkle trees and their proofs: published vectors, valid and invalid, and the definitions as an oracle."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import merkle_oracle as oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.errors import LedgerError
from wardround.ledger.merkle import (
    EMPTY_ROOT,
    leaf_hash,
    node_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from wardround.ledger.tree import Tree


def h(text: str) -> bytes:
    return bytes.fromhex(text)


# The reference tree of Certificate Transparency, google/certificate-transparency, cpp/merkletree/merkle_tree_test.cc;
# also transparency-dev/merkle, testonly/constants.go.
INPUTS = [h(text) for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")]
INPUTS += [h("606162636465666768696a6b6c6d6e6f")]
EMPTY = h("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
ROOTS = [
    EMPTY,
    h("6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
    h("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
    h("aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
    h("d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"),
    h("4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
    h("76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"),
    h("ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
    h("5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
]
LEAVES = [
    h("6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
    h("96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"),
    h("0298d122906dcfc10892cb53a73992fc5b9f493ea4c9badb27b791b4127a7fe7"),
    h("07506a85fd9dd2f120eb694f86011e5bb4662e5c415a62917033d4a9624487e7"),
    h("bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"),
    h("4271a26be0d8a84f0bd54c8c302e7cb3a3b5d1fa6780a40bcce2873477dab658"),
    h("b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f"),
    h("46f6ffadd3d06a09ff3c5860d2755c8b9819db7df44251788c7d8e3180de8eb1"),
]
PAIRS = [
    h("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
    h("5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"),
    h("0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"),
    h("ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"),
]
RIGHT_HALF = h("6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4")

# kSHA256Paths and kSHA256Proofs of the same test, and one more consistency proof of transparency-dev/merkle,
# proof/verify_test.go. Indices are from 0 here and from 1 there.
PATHS = [
    (0, 1, []),
    (0, 8, [LEAVES[1], PAIRS[1], RIGHT_HALF]),
    (5, 8, [LEAVES[4], PAIRS[3], ROOTS[4]]),
    (2, 3, [PAIRS[0]]),
    (1, 5, [LEAVES[0], PAIRS[1], LEAVES[4]]),
]
PROOFS = [
    (1, 1, []),
    (1, 8, [LEAVES[1], PAIRS[1], RIGHT_HALF]),
    (6, 8, [PAIRS[2], PAIRS[3], ROOTS[4]]),
    (2, 5, [PAIRS[1], LEAVES[4]]),
    (6, 7, [PAIRS[2], LEAVES[6], ROOTS[4]]),
]
SOME = h("abacaba000000000000000000000000000000000000000000060061e00123456")


class Inclusion(NamedTuple):
    """Arguments of `verify_inclusion`."""

    index: int
    size: int
    leaf: bytes
    proof: list[bytes]
    root: bytes


class Consistency(NamedTuple):
    """Arguments of `verify_consistency`."""

    old_size: int
    new_size: int
    old_root: bytes
    new_root: bytes
    proof: list[bytes]


def numbers(count: int) -> tuple[bytes, ...]:
    return tuple(bytes([number]) for number in range(count))


def grown(entries: Sequence[bytes]) -> Tree:
    tree = Tree()
    tree.append(map(leaf_hash, entries))
    return tree


def flipped(data: bytes, byte: int, mask: int) -> bytes:
    return data[:byte] + bytes([data[byte] ^ mask]) + data[byte + 1 :]


def refused(check: Callable[..., None], arguments: Any) -> str:
    """Return the sentence with which `check` refuses."""
    with pytest.raises(LedgerError) as raised:
        check(*arguments)
    sentence = str(raised.value)
    assert sentence
    assert "\n" not in sentence
    return sentence


def test_hashes_of_certificate_transparency() -> None:
    # google/certificate-transparency, python/ct/crypto/merkle_test.py, TreeHasherTest
    assert EMPTY_ROOT == EMPTY
    assert leaf_hash(b"") == LEAVES[0]
    assert leaf_hash(h("101112131415161718191a1b1c1d1e1f")) == h(
        "3bfb960453ebaebf33727da7a1f4db38acc051d381b6da20d6d4e88f0eabfd7a"
    )
    assert node_hash(bytes(range(32)), bytes(range(32, 64))) == h(
        "1a378704c17da31e2d05b6d121c2bb2c7d76f6ee6fa8f983e596c2d034963c57"
    )
    assert [leaf_hash(entry) for entry in INPUTS] == LEAVES
    assert [node_hash(*LEAVES[at : at + 2]) for at in (0, 2, 4, 6)] == PAIRS


@pytest.mark.parametrize("splits", [[8], [1] * 8, [3, 5], [0, 7, 0, 1]])
def test_the_reference_tree_however_it_grew(splits: list[int]) -> None:
    tree, size = Tree(), 0
    for count in splits:
        assert tree.append(LEAVES[size : size + count]) == size
        size += count
        assert tree.size == size
        assert [tree.root(at) for at in range(size + 1)] == ROOTS[: size + 1]
        assert tree.root() == ROOTS[size]
    assert [tree.leaf(index) for index in range(8)] == LEAVES
    assert [root_of(LEAVES[:size]) for size in range(9)] == ROOTS
    assert [tree.inclusion(index, size) for index, size, _ in PATHS] == [tuple(proof) for *_, proof in PATHS]
    assert [tree.consistency(old, new) for old, new, _ in PROOFS] == [tuple(proof) for *_, proof in PROOFS]


def test_a_proof_of_a_public_log() -> None:
    # Entry 848,049 of a Certificate Transparency log of 3,630,887 entries: merkle_test.py, MerkleVerifierTest.
    proof = [
        "1a208aeebcd1b39fe2de247ee8db9454e1e93a312d206b87f6ca9cc6ec6f1ddd",
        "0a1b78b383f580856f433c01a5741e160d451c185910027f6cc9f828687a40c4",
        "3d1745789bc63f2da15850de1c12a5bf46ed81e1cc90f086148b1662e79aab3d",
        "9095b61e14d8990acf390905621e62b1714fb8e399fbb71de5510e0aef45affe",
        "0a332b91b8fab564e6afd1dd452449e04619b18accc0ff9aa8393cd4928451f2",
        "2336f0181d264aed6d8f3a6507ca14a8d3b3c3a23791ac263e845d208c1ee330",
        "b4ce56e300590500360c146c6452edbede25d4ed83919278749ee5dbe178e048",
        "933f6ddc848ea562e4f9c5cfb5f176941301dad0c6fdb9d1fbbe34fac1be6966",
        "b95a6222958a86f74c030be27c44f57dbe313e5e7c7f4ffb98bcbd3a03bb52f2",
        "daeeb3ce5923defd0faeb8e0c210b753b85b809445d7d3d3cd537a9aabaa9c45",
        "7fadd0a13e9138a2aa6c3fdec4e2275af233b94812784f66bcca9aa8e989f2bc",
        "1864e6ba3e32878610546539734fb5eeae2529991f130c575c73a7e25a2a7c56",
        "12842d1202b1dc6828a17ab253c02e7ce9409b5192430feba44189f39cc02d66",
        "29af64b16fa3053c13d02ac63aa75b23aa468506e44c3a2315edc85d2dc22b11",
        "b527b99934a0bd9edd154e449b0502e2c499bba783f3bc3dfe23364b6b532009",
        "4584db8ae8e351ace08e01f306378a92bfd43611714814f3d834a2842d69faa8",
        "86a9a41573b0d6e4292f01e93243d6cc65b30f06606fc6fa57390e7e90ed580f",
        "a88b98fbe84d4c6aae8db9d1605dfac059d9f03fe0fcb0d5dff1295dacba09e6",
        "06326dc617a6d1f7021dc536026dbfd5fffc6f7c5531d48ef6ccd1ed1569f2a1",
        "f41fe8fdc3a2e4e8345e30216e7ebecffee26ff266eeced208a6c2a3cf08f960",
        "40cf5bde8abb76983f3e98ba97aa36240402975674e120f234b3448911090f8d",
        "b3222dc8658538079883d980d7fdc2bef9285344ea34338968f736b04aeb387a",
    ]
    leaf = h("7a395c866d5ecdb0cccb623e011dbc392cd348d1d1d72776174e127a24b09c78")
    root = h("78316a05c9bcf14a3a4548f5b854a9adfcd46a4c034401b3ce7eb7ac2f1d0ecb")
    good = Inclusion(848049, 3630887, leaf, [h(text) for text in proof], root)
    verify_inclusion(*good)
    assert "is not in the log" in refused(verify_inclusion, good._replace(root=bytes(32)))
    assert "has no entry" in refused(verify_inclusion, good._replace(index=848049 + 2**23))
    assert "cut short" in refused(verify_inclusion, good._replace(proof=good.proof[:-1]))


def test_accumulated_vectors_of_every_size_up_to_130() -> None:
    # "Subtree Test Vectors" of draft-ietf-plants-merkle-tree-certs, which digest the roots and proofs of every subtree
    # of the first 130 leaves; as transparency-dev/merkle has them in testonly/vectors_test.go. A subtree's root and its
    # paths are those of a tree of its own; its consistency proof is one of ours where it begins at 0, and else shows
    # that the oracle of the tests below is the published one.
    roots, paths, proofs = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
    entries = numbers(130)
    trees = {start: grown(entries[start:]) for start in range(130)}
    for end in range(1, 131):
        for start in subtrees(end):
            size = end - start
            roots.update(f"[{start}, {end}) {trees[start].root(size).hex()}\n".encode())
            for index in range(size):
                paths.update(line(f"{start + index} [{start}, {end})", trees[start].inclusion(index, size)))
    for size in range(131):
        for end in range(1, size + 1):
            for start in subtrees(end):
                proof = oracle.subtree_proof(start, end, entries[:size])
                proofs.update(line(f"[{start}, {end}) {size}", proof if start else trees[0].consistency(end, size)))
    assert roots.hexdigest() == "94a95384a8c69acea9b50d035a58285b3a777cb7a724005faa5e1f1e1190007f"
    assert paths.hexdigest() == "ac2a8f989e44d99e399db448050ff5f19757df53cfb716aa81015d3955d8163f"
    assert proofs.hexdigest() == "c586ebbb73a5621baf2140095d87dde934e3b6503a562a1a5215b8209edd083d"


def subtrees(end: int) -> list[int]:
    """Where subtrees of the draft that end at `end` begin: at multiples of the power of two that holds them."""
    return [start for start in range(end) if start % (1 << (end - start - 1).bit_length()) == 0]


def line(what: str, proof: Sequence[bytes]) -> bytes:
    return " ".join([what, *(one.hex() for one in proof)]).encode() + b"\n"


# The cases of transparency-dev/merkle, testdata/inclusion and testdata/consistency, made as its cmd/proofgen/main.go
# makes them, under its names.


def bad_inclusions(good: Inclusion) -> Iterator[tuple[str, Inclusion]]:
    index, size, proof, root = good.index, good.size, good.proof, good.root
    yield "leafIdx sub @1", good._replace(index=(index - 1) % 2**64)
    yield "leafIdx plus @1", good._replace(index=index + 1)
    yield "leafIdx XOR @2", good._replace(index=index ^ 2)
    yield "treeSize mul @2", good._replace(size=size * 2)
    yield "treeSize div @2", good._replace(size=size // 2)
    yield "wrong leaf", good._replace(leaf=b"WrongLeaf")
    yield "empty root", good._replace(root=EMPTY)
    yield "random root", good._replace(root=SOME)
    yield "trailing garbage", good._replace(proof=[*proof, b""])
    yield "trailing root", good._replace(proof=[*proof, root])
    yield "preceding garbage", good._replace(proof=[b"", *proof])
    yield "preceding root", good._replace(proof=[root, *proof])
    for at, one in enumerate(proof):
        changed = [*proof[:at], flipped(one, 0, 8), *proof[at + 1 :]]
        yield f"modified proof[{at}] bit @3", good._replace(proof=changed)
    if proof:
        yield "removed component", good._replace(proof=proof[:-1])
    if len(proof) > 1:
        yield "inserted component", good._replace(proof=[proof[0], SOME, *proof[1:]])


def bad_consistencies(good: Consistency) -> Iterator[tuple[str, Consistency]]:
    old, new, old_root, new_root, proof = good
    yield "size1 sub @1", good._replace(old_size=old - 1)
    yield "size1 plus @1", good._replace(old_size=old + 1)
    yield "size1 XOR @2", good._replace(old_size=old ^ 2)
    yield "size2 mul @2", good._replace(new_size=new * 2)
    yield "size2 div @2", good._replace(new_size=new // 2)
    yield "wrong root1", good._replace(old_root=b"WrongRoot")
    yield "wrong root2", good._replace(new_root=b"WrongRoot")
    yield "swapped roots", good._replace(old_root=new_root, new_root=old_root)
    yield "empty proof", good._replace(proof=[])
    for garbage, name in ((b"", "garbage"), (old_root, "root1"), (new_root, "root2")):
        yield f"trailing {name}", good._replace(proof=[*proof, garbage])
        yield f"preceding {name}", good._replace(proof=[garbage, *proof])
    yield "preceding proof @0", good._replace(proof=[proof[0], *proof])
    yield "truncated proof", good._replace(proof=proof[:-1])
    for at, one in enumerate(proof):
        changed = [*proof[:at], flipped(one, 0, 16), *proof[at + 1 :]]
        yield f"modified proof@{at} bit @4", good._replace(proof=changed)


def additional_inclusions() -> Iterator[tuple[str, Inclusion]]:
    for at, (index, size) in enumerate([(0, 0), (0, 1), (1, 0), (2, 1)]):
        yield f"additional/{at}: random leaf", Inclusion(index, size, SOME, [], b"")
        yield f"additional/{at}: empty root", Inclusion(index, size, b"", [], EMPTY)
        yield f"additional/{at}: empty root and random leaf", Inclusion(index, size, SOME, [], EMPTY)
    data = leaf_hash(b"data")
    yield "single-entry: empty leaf", Inclusion(0, 1, b"", [], data)
    yield "single-entry: empty root", Inclusion(0, 1, data, [], b"")
    yield "single-entry: empty root and leaf", Inclusion(0, 1, b"", [], b"")


ONE, OTHER = b"don't care 1".ljust(32), b"don't care 2".ljust(32)
# Theirs have 12 bytes; with 32 they are refused for the reason that the names give.
ADDITIONAL_CONSISTENCIES = {
    "sizes are equal (zero) but roots are not": Consistency(0, 0, ONE, OTHER, []),
    "sizes are equal (one) but roots are not": Consistency(1, 1, ONE, OTHER, []),
    "sizes are equal (zero) and proof is empty": Consistency(0, 0, ONE, ONE, []),
    "size1 is zero and does not equal size2": Consistency(0, 1, ONE, OTHER, []),
    "size1 is greater than size2": Consistency(1, 0, ONE, OTHER, []),
    "size1 is greater than size2 again": Consistency(2, 1, ONE, OTHER, []),
    "sizes do not watch and proof is empty": Consistency(1, 2, ONE, OTHER, []),
    "roots do not match and sizes are zero": Consistency(0, 0, EMPTY, OTHER, []),
    "roots do not not match and sizes are one": Consistency(1, 1, EMPTY, OTHER, []),
    "sizes match but proof is not empty and sizes are zero": Consistency(0, 0, EMPTY, EMPTY, [EMPTY]),
    "sizes match but proof is not empty and sizes are one": Consistency(1, 1, EMPTY, EMPTY, [EMPTY]),
    "size1 is zero and size2 is not zero": Consistency(0, 1, EMPTY, OTHER, []),
    "consistency check on empty tree (size1 is zero) is useless": Consistency(0, 1, EMPTY, EMPTY, [EMPTY]),
}

GOOD_INCLUSIONS = [Inclusion(index, size, LEAVES[index], proof, ROOTS[size]) for index, size, proof in PATHS]
GOOD_CONSISTENCIES = [Consistency(old, new, ROOTS[old], ROOTS[new], proof) for old, new, proof in PROOFS]
BAD_INCLUSIONS = {
    f"{at}: {name}": bad for at, good in enumerate(GOOD_INCLUSIONS) for name, bad in bad_inclusions(good)
} | dict(additional_inclusions())
BAD_CONSISTENCIES = {
    f"{at}: {name}": bad
    for at, good in enumerate(GOOD_CONSISTENCIES)
    if good.proof
    for name, bad in bad_consistencies(good)
} | ADDITIONAL_CONSISTENCIES


def test_valid_cases() -> None:
    data = leaf_hash(b"data")
    for good in (*GOOD_INCLUSIONS, Inclusion(0, 1, data, [], data)):
        verify_inclusion(*good)
    for same in (*GOOD_CONSISTENCIES, Consistency(1, 1, OTHER, OTHER, [])):
        verify_consistency(*same)


@pytest.mark.parametrize("name", BAD_INCLUSIONS)
def test_invalid_inclusion(name: str) -> None:
    refused(verify_inclusion, BAD_INCLUSIONS[name])


@pytest.mark.parametrize("name", BAD_CONSISTENCIES)
def test_invalid_consistency(name: str) -> None:
    refused(verify_consistency, BAD_CONSISTENCIES[name])


def test_every_proof_of_small_trees() -> None:
    entries = numbers(40)
    tree = grown(entries)
    for size in range(1, 41):
        root = oracle.root(entries[:size])
        assert tree.root(size) == root == root_of(map(leaf_hash, entries[:size]))
        for index in range(size):
            proof = tree.inclusion(index, size)
            assert list(proof) == oracle.path(index, entries[:size])
            verify_inclusion(index, size, leaf_hash(entries[index]), proof, root)
            for other in range(size):
                if other != index:
                    refused(verify_inclusion, (other, size, leaf_hash(entries[index]), proof, root))
        for old in range(1, size + 1):
            proof = tree.consistency(old, size)
            assert list(proof) == oracle.proof(old, entries[:size])
            verify_consistency(old, size, tree.root(old), root, proof)


SIZES = st.integers(1, 600)


@given(st.data(), SIZES, st.lists(st.integers(0, 200), max_size=8))
def test_proofs_of_a_tree_that_grew_in_any_steps(data: st.DataObject, size: int, steps: list[int]) -> None:
    entries = tuple(number.to_bytes(2, "big") for number in range(size))
    tree, leaves = Tree(), [leaf_hash(entry) for entry in entries]
    for step in (*steps, size):
        tree.append(leaves[tree.size : tree.size + step])
    at = data.draw(st.integers(1, size))
    index, old = data.draw(st.integers(0, at - 1)), data.draw(st.integers(1, at))
    inclusion, consistency, root = tree.inclusion(index, at), tree.consistency(old, at), oracle.root(entries[:at])
    assert list(inclusion) == oracle.path(index, entries[:at])
    assert list(consistency) == oracle.proof(old, entries[:at])
    verify_inclusion(index, at, leaves[index], inclusion, root)
    verify_consistency(old, at, oracle.root(entries[:old]), root, consistency)
    assert root_of(leaves) == tree.root() == oracle.root(entries)


@given(st.data(), SIZES)
def test_a_single_changed_bit_is_refused(data: st.DataObject, size: int) -> None:
    tree = grown(tuple(number.to_bytes(2, "big") for number in range(size)))
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    inclusion = (index, size, tree.leaf(index), tree.inclusion(index), tree.root())
    refused(verify_inclusion, with_a_bit_changed(data, inclusion))
    consistency = (old, size, tree.root(old), tree.root(), tree.consistency(old))
    refused(verify_consistency, with_a_bit_changed(data, consistency))


def with_a_bit_changed(data: st.DataObject, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Change one bit of any hash among the arguments."""

    def changed(one: bytes) -> bytes:
        return flipped(one, data.draw(st.integers(0, 31)), 1 << data.draw(st.integers(0, 7)))

    places = [at for at, argument in enumerate(arguments) if type(argument) is not int and argument]
    at = data.draw(st.sampled_from(places))
    if isinstance(arguments[at], bytes):
        new: Any = changed(arguments[at])
    else:
        inside = data.draw(st.integers(0, len(arguments[at]) - 1))
        new = [changed(one) if number == inside else one for number, one in enumerate(arguments[at])]
    return (*arguments[:at], new, *arguments[at + 1 :])


@given(st.data(), st.integers(1, 100), st.integers(1, 100), st.integers(1, 100))
def test_no_proof_hides_a_fork(data: st.DataObject, common: int, seen: int, shown: int) -> None:
    seen, shown = common + seen, common + shown
    other = data.draw(st.integers(common, seen - 1))
    mine = grown(tuple(b"%d" % number for number in range(seen)))
    theirs = grown(tuple(b"%d%s" % (number, b"!" * (number >= other)) for number in range(max(seen, shown))))
    sentence = refused(verify_consistency, (seen, seen, mine.root(), theirs.root(seen), ()))
    assert "two different logs" in sentence
    if shown > seen:
        arguments = (seen, shown, mine.root(), theirs.root(shown), theirs.consistency(seen, shown))
        sentence = refused(verify_consistency, arguments)
        assert "its history was changed" in sentence or "its history, the proof or a root was changed" in sentence


def test_refusals_say_what_is_wrong() -> None:
    good, same = GOOD_INCLUSIONS[2], GOOD_CONSISTENCIES[2]
    assert refused(verify_inclusion, good._replace(index=8)) == "a log of 8 entries has no entry 8"
    assert "entry 5 is in a log of 8 entries is too long" in refused(
        verify_inclusion, good._replace(proof=[*good.proof, SOME])
    )
    assert "entry 5 is in a log of 8 entries is cut short" in refused(
        verify_inclusion, good._replace(proof=good.proof[:2])
    )
    assert f"entry 5 is not in the log of 8 entries with root {SOME.hex()}" in refused(
        verify_inclusion, good._replace(root=SOME)
    )
    assert "holds something that is no hash" in refused(verify_inclusion, good._replace(leaf=good.leaf + b"\0"))
    assert "its history was changed" in refused(verify_consistency, same._replace(old_root=SOME))
    assert "its history, the proof or a root was changed" in refused(verify_consistency, same._replace(new_root=SOME))
    assert "logs of 6 and 8 entries is too long" in refused(
        verify_consistency, same._replace(proof=[*same.proof, SOME])
    )
    assert "logs of 6 and 8 entries is cut short" in refused(verify_consistency, same._replace(proof=same.proof[:2]))
    assert "cannot be shown to go on from one of 0" in refused(verify_consistency, same._replace(old_size=0))
    assert "cannot be shown to go on from one of 9" in refused(verify_consistency, same._replace(old_size=9))
    assert "no whole number below 2^63" in refused(verify_inclusion, good._replace(size=2**63))
    assert "no whole number below 2^63" in refused(verify_consistency, same._replace(old_size=-1))


ODD_SIZES = st.one_of(
    st.integers(-2, 10), st.sampled_from([2**63 - 1, 2**63, 2**64, 10**400, True, False, 1.0, "1", None, b"1"])
)
ODD_HASHES = st.one_of(st.sampled_from([*ROOTS, *LEAVES, *PAIRS]), st.binary(max_size=33), st.sampled_from([None, 5]))


@given(ODD_SIZES, ODD_SIZES, ODD_HASHES, ODD_HASHES, st.lists(ODD_HASHES, max_size=70))
def test_nonsense_meets_our_error_or_holds(one: Any, two: Any, first: Any, second: Any, proof: list[Any]) -> None:
    for check in (
        lambda: verify_inclusion(one, two, first, proof, second),
        lambda: verify_consistency(one, two, first, second, proof),
    ):
        with contextlib.suppress(LedgerError):
            check()
            assert type(one) is type(two) is int


def test_a_tree_refuses_what_it_does_not_hold() -> None:
    tree = grown(numbers(5))
    for attempt in (
        lambda: tree.leaf(5),
        lambda: tree.leaf(-1),
        lambda: tree.root(6),
        lambda: tree.root(-1),
        lambda: tree.inclusion(5),
        lambda: tree.inclusion(-1),
        lambda: tree.inclusion(3, 3),
        lambda: tree.inclusion(0, 6),
        lambda: tree.inclusion(0, 0),
        lambda: tree.consistency(0),
        lambda: tree.consistency(4, 3),
        lambda: tree.consistency(4, 6),
        lambda: tree.consistency(-1),
    ):
        with pytest.raises(LedgerError, match="log"):
            attempt()
    with pytest.raises(ValueError, match="32 bytes"):
        tree.append([LEAVES[0], LEAVES[1] + b"\0", LEAVES[2][1:]])
    assert tree.size == 5
    assert tree.root() == oracle.root(numbers(5))
