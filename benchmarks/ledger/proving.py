"""A Merkle tree of many entries, and proofs from it. Prints JSON. Run by ``run.py``."""

from __future__ import annotations

import json
import random
import resource
import sys
import time

from wardround.ledger.merkle import leaf_hash, verify_consistency, verify_inclusion
from wardround.ledger.tree import Tree

BATCH = 1000
PROOFS = 2000


def main(size: int) -> None:
    """Grow a tree of `size` entries and measure proofs of it."""
    tree, grow_s = Tree(), 0.0
    for first in range(0, size, BATCH):
        leaves = [leaf_hash(b"entry %d" % index) for index in range(first, min(size, first + BATCH))]
        began = time.perf_counter()
        tree.append(leaves)
        grow_s += time.perf_counter() - began
    rng, root = random.Random(1), tree.root()
    found = {"grow_s": grow_s}
    make, check, longest = [], [], 0
    for index in (0, size - 1, *(rng.randrange(size) for _ in range(PROOFS))):
        began = time.perf_counter()
        proof = tree.inclusion(index)
        made = time.perf_counter()
        verify_inclusion(index, size, leaf_hash(b"entry %d" % index), proof, root)
        check.append(time.perf_counter() - made)
        make.append(made - began)
        longest = max(longest, sum(map(len, proof)))
    found |= measured("inclusion", make, check, longest)
    make, check, longest = [], [], 0
    for old in (1, size - 1, *(rng.randrange(1, size) for _ in range(PROOFS))):
        old_root, began = tree.root(old), time.perf_counter()
        proof = tree.consistency(old)
        made = time.perf_counter()
        verify_consistency(old, size, old_root, root, proof)
        check.append(time.perf_counter() - made)
        make.append(made - began)
        longest = max(longest, sum(map(len, proof)))
    found |= measured("consistency", make, check, longest)
    found["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(found))


def measured(kind: str, make: list[float], check: list[float], longest: int) -> dict[str, float]:
    """Return the medians, and the slowest verification."""
    middle = len(make) // 2
    return {
        f"{kind}_make_s": sorted(make)[middle],
        f"{kind}_check_s": sorted(check)[middle],
        f"{kind}_slowest_check_s": max(check),
        f"{kind}_bytes": longest,
    }


if __name__ == "__main__":
    main(int(sys.argv[1]))
