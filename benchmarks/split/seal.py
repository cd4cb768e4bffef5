"""The mean of four sites' heads and tails that nobody reads: packed lattice sum, or Paillier element by element.

Run by ``run.py`` in a fresh process; prints JSON. Argument: ``packed`` or ``paillier``.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import torch

from wardround.core.context import RoundContext
from wardround.protect.lattice import LatticeKey, Sealer
from wardround.protect.pipeline import Homomorphic, Pipeline
from wardround.protect.quantise import Grid, Quantise
from wardround.protect.scheme import Scheme
from wardround.tasks.classification import weights_of
from wardround.tasks.models.cut import cut
from wardround.tasks.models.red_cnn import RedCnn

SITES = 4
WEIGHT_TOTAL = 4
PAILLIER_BITS = 512


def updates() -> list[dict[str, np.ndarray]]:
    """Return four sites' updates of head and tail: small random changes."""
    torch.manual_seed(1)
    split = cut(RedCnn().build(1, 1), 1)
    own = {n: v for n, v in weights_of(split.network).items() if n.split("/", 1)[1] in split.site_names}
    rng = np.random.default_rng(1)
    return [{n: (1e-3 * rng.standard_normal(v.shape)).astype(np.float32) for n, v in own.items()} for _ in range(SITES)]


def packed(sent: list[dict[str, np.ndarray]]) -> dict[str, object]:
    """Seal, add, open; the error is in steps of the quantisation."""
    pipeline = Pipeline((Quantise(16, WEIGHT_TOTAL), Homomorphic()))
    scheme = Scheme.of(pipeline, WEIGHT_TOTAL)
    if scheme.lattice is None:
        raise RuntimeError("this scheme has no lattice")
    sealer = Sealer(scheme.lattice, LatticeKey.new(scheme.lattice))
    grid = pipeline.grid({name: np.zeros_like(value) for name, value in sent[0].items()}, RoundContext(0, 0, 1, (), 0))
    parts = scheme.parts(grid.num_values)
    began = time.perf_counter()
    rows = [grid.encode(update, np.random.default_rng((1, place)))[0] for place, update in enumerate(sent)]
    frames = [[scheme.seal(scheme.words(row[part], 1), sealer) for part in parts] for row in rows]
    values = scheme.empty(grid.num_values)
    for index, part in enumerate(parts):
        total = scheme.running_sum(part)
        for uploaded in frames:
            total.add(uploaded[index], 1)
        scheme.open_into(values[part], total.frame(), part, SITES, sealer)
    opened = {name: tensor / SITES for name, tensor in grid.decode(values).items()}
    seconds = time.perf_counter() - began
    steps = grid.steps if isinstance(grid, Grid) else {}
    worst = max(float(np.max(np.abs(opened[n] - _mean(sent, n)))) / steps[n] for n in opened)
    size = sum(len(frame) for frame in frames[0])
    return {"seconds": seconds, "upload_bytes": size, "error_steps": worst, "bits": scheme.lattice.classical_bits}


def paillier(sent: list[dict[str, np.ndarray]]) -> dict[str, object]:
    """Encrypt every weight by itself, add, decrypt; as DC-SFL's authors do it."""
    from phe import paillier as scheme

    public, private = scheme.generate_paillier_keypair(n_length=PAILLIER_BITS)
    flat = [np.concatenate([update[name].ravel() for name in sorted(update)]).tolist() for update in sent]
    began = time.perf_counter()
    encrypted = [[public.encrypt(value) for value in row] for row in flat]
    sums = [sum(column[1:], column[0]) for column in zip(*encrypted, strict=True)]
    opened = np.array([private.decrypt(value) / SITES for value in sums])
    seconds = time.perf_counter() - began
    exact = np.concatenate([_mean(sent, name).ravel() for name in sorted(sent[0])])
    size = len(flat[0]) * PAILLIER_BITS // 4  # a ciphertext is a number modulo n squared
    return {"seconds": seconds, "upload_bytes": size, "error": float(np.abs(opened - exact).max())}


def _mean(sent: list[dict[str, np.ndarray]], name: str) -> np.ndarray:
    return np.mean([update[name].astype(np.float64) for update in sent], axis=0)


if __name__ == "__main__":
    print(json.dumps({"packed": packed, "paillier": paillier}[sys.argv[1]](updates())))
