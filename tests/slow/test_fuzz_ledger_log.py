"""The log's files and proofs under 100,000 hostile inputs each: our error, or what would be written the same again."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from wardround.errors import LedgerError
from wardround.ledger.acknowledged import encode_acknowledged, read_acknowledged
from wardround.ledger.batch import HEAD_BYTES, encode_batch, read_body, read_head
from wardround.ledger.log import ACKNOWLEDGED_NAME, ENTRIES_NAME, MAGIC, Log
from wardround.ledger.merkle import leaf_hash, verify_consistency, verify_inclusion
from wardround.ledger.tree import Tree

pytestmark = pytest.mark.slow

INPUTS = 100_000
BATCHES = ((b"plan", b""), (b"round 0", b"x" * 70, b"round 1"), (b"end",), (b"\x00" * 9, b"last"))
FILE = MAGIC + b"".join(encode_batch(sum(map(len, BATCHES[:number])), batch)[0] for number, batch in enumerate(BATCHES))


def mutated(good: bytes, seed: int) -> Iterator[bytes]:
    """Yield `INPUTS` pieces of bytes: noise, and `good` with parts flipped, cut, doubled, moved or overwritten."""
    rng = random.Random(seed)
    for _ in range(INPUTS):
        data = bytearray(good) if rng.random() < 0.95 else bytearray(rng.randbytes(rng.randrange(len(good))))
        for _ in range(rng.choice((0, 1, 1, 1, 2, 5))):
            begin = rng.randrange(len(data) + 1)
            end = min(len(data), begin + rng.choice((0, 1, 4, 20, 100)))
            part = bytes(data[begin:end])
            data[begin:end] = rng.choice(
                (
                    b"",
                    part * 2,
                    bytes(len(part)),
                    b"\xff" * len(part),
                    rng.randbytes(len(part)),
                    bytes(byte ^ 1 << rng.randrange(8) for byte in part[:1]) + part[1:],
                    good[(at := rng.randrange(len(good))) : at + len(part)],
                )
            )
            if rng.random() < 0.2:
                del data[rng.randrange(len(data) + 1) :]
        yield bytes(data)


def test_files(tmp_path: Path) -> None:
    opened = refused = 0
    for number, data in enumerate(mutated(FILE, seed=1)):
        (tmp_path / ENTRIES_NAME).write_bytes(data)
        (tmp_path / ACKNOWLEDGED_NAME).write_bytes(encode_acknowledged(number % 9))
        try:
            with Log(tmp_path, read_only=True) as log:
                entries = tuple(log.entries())
                unfinished = log.unfinished_bytes
        except LedgerError:
            refused += 1
            continue
        opened += 1
        assert len(entries) >= number % 9
        assert written_again(data) == data[: len(data) - unfinished]
    print(f"{opened} opened, {refused} refused")
    assert opened > INPUTS // 20
    assert refused > INPUTS // 3


def written_again(data: bytes) -> bytes:
    """Read the batches at the start of `data` and write them anew."""
    again, first = MAGIC, 0
    while head := read_head(first, data[len(again) : len(again) + HEAD_BYTES]):
        body = data[len(again) + HEAD_BYTES :][: head.body_bytes]
        try:
            lengths, leaves = read_body(first, head, body)
        except LedgerError:
            break
        begin = len(body) - sum(lengths)
        entries = [body[begin + sum(lengths[:at]) :][:length] for at, length in enumerate(lengths)]
        batch, same = encode_batch(first, entries)
        assert same == leaves
        again, first = again + batch, first + head.count
    return again


def test_counts(tmp_path: Path) -> None:
    legible = 0
    for data in mutated(encode_acknowledged(8), seed=2):
        (tmp_path / "count").write_bytes(data)
        count = read_acknowledged(tmp_path / "count")
        assert count is None or encode_acknowledged(count) == data
        legible += count is not None
    assert INPUTS // 20 < legible < INPUTS // 2


@pytest.mark.parametrize("kind", ["inclusion", "consistency"])
def test_proofs(kind: str) -> None:
    rng, tree, good = random.Random(3), Tree(), 0
    tree.append(leaf_hash(b"%d" % number) for number in range(200))
    for _ in range(INPUTS):
        size = rng.randrange(1, 201)
        index, old = rng.randrange(size), rng.randrange(1, size + 1)
        proof = list(tree.inclusion(index, size) if kind == "inclusion" else tree.consistency(old, size))
        first, root = tree.leaf(index) if kind == "inclusion" else tree.root(old), tree.root(size)
        number, count = index if kind == "inclusion" else old, size
        changes = rng.choice((0, 1, 1, 2))
        for _ in range(changes):
            match rng.randrange(6):
                case 0:
                    number = odd(rng, number)
                case 1:
                    count = odd(rng, count)
                case 2:
                    first = spoilt(rng, first)
                case 3:
                    root = spoilt(rng, root)
                case 4 if proof:
                    at = rng.randrange(len(proof))
                    proof[at] = spoilt(rng, proof[at])
                case _:
                    proof.insert(rng.randrange(len(proof) + 1), rng.choice((root, first, b"", bytes(32))))
        try:
            if kind == "inclusion":
                verify_inclusion(number, count, first, proof, root)
            else:
                verify_consistency(number, count, first, root, proof)
        except LedgerError:
            assert changes
            continue
        good += 1
        # A proof can hold under other sizes; never for other hashes.
        assert root == tree.root(size)
        assert first == (tree.leaf(index) if kind == "inclusion" else tree.root(old))
    assert INPUTS // 5 < good < INPUTS // 2


def odd(rng: random.Random, number: int) -> int:
    return rng.choice((number - 1, number + 1, 2 * number, number // 2, -number, 2**63, 10**50, number ^ 4))


def spoilt(rng: random.Random, one: bytes) -> bytes:
    at = rng.randrange(max(1, len(one)))
    return rng.choice(
        (one[:at], one + b"\0", bytes(32), one[:at] + bytes(b ^ 16 for b in one[at : at + 1]) + one[at + 1 :])
    )
