"""wardround's frames, one method: what the sites and the coordinator do to an update, without the network between them.

Run by ``run.py`` in a fresh process; prints JSON. Arguments: the model, and the method as in `METHODS`.
"""

from __future__ import annotations

import hashlib
import json
import math
import secrets
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from updates import EXAMPLES, SITES, Model, on_one_core, peak_bytes

from wardround.core.context import RoundContext
from wardround.protect.attempt import Attempt, SurvivorList, default_threshold
from wardround.protect.lattice import LatticeKey, Sealer
from wardround.protect.masks import Mask
from wardround.protect.offers import MaskSecrets, Received
from wardround.protect.pipeline import Homomorphic, Masks, Pipeline
from wardround.protect.quantise import Grid, Quantise, RealGrid, integer_weights
from wardround.protect.run_keys import RunKeys
from wardround.protect.scheme import Scheme
from wardround.protect.unmask import Reveal, Unmasker, unmask

METHODS = {
    "ckks": (Pipeline((Homomorphic("ckks"),)), 64),
    "packed-16": (Pipeline((Quantise(16, 64), Homomorphic())), 64),
    "packed-8": (Pipeline((Quantise(8, 8), Homomorphic())), 8),
    "packed-16-masks": (Pipeline((Quantise(16, 64), Masks(), Homomorphic())), 64),
    "masks-16": (Pipeline((Quantise(16, 64), Masks())), 64),
}
"""Name -> stages, and the largest sum of weights."""


@dataclass
class Stopwatch:
    """Seconds by stage.

    Attributes:
        seconds: stage -> seconds so far.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    _since: float = 0.0

    def start(self) -> None:
        """Begin a stage."""
        self._since = time.perf_counter()

    def stop(self, stage: str) -> None:
        """End a stage and begin the next."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._since
        self._since = now


@dataclass(frozen=True)
class Cohort:
    """Three sites and their coordinator.

    Attributes:
        scheme: of the frames.
        grid: how an update becomes a row of numbers.
        sealer: of the sites; ``None`` without encryption.
        weights: site -> integer weight.
        masks: site -> its mask; empty without masks.
        rest: what is left of the masks in the sum; ``None`` without masks.
    """

    scheme: Scheme
    grid: Grid | RealGrid
    sealer: Sealer | None
    weights: Mapping[str, int]
    masks: Mapping[str, Mask]
    rest: Unmasker | None

    @property
    def parts(self) -> list[slice]:
        """Parts of an update."""
        return self.scheme.parts(self.grid.num_values)

    def upload(self, site: str, update: Mapping[str, np.ndarray], watch: Stopwatch) -> list[bytes]:
        """Turn an update into frames, as ``wardround.rounds.sealing`` does."""
        watch.start()
        values, _ = self.grid.encode(update, np.random.default_rng((1, SITES.index(site))))
        watch.stop("quantise")
        frames = []
        for part in self.parts:
            words = self.scheme.words(values[part], self.weights[site] if self.masks else 1)
            watch.stop("pack")
            if self.masks:
                first, count = self.scheme.words_before(part), self.scheme.num_words(part)
                words = self.scheme.masked(words, self.masks[site].words(first, count, self.scheme.word_bits))
                watch.stop("mask")
            frames.append(self.scheme.seal(words, self.sealer))
            watch.stop("encrypt and write")
        return frames

    def sum(self, uploads: Mapping[str, list[bytes]]) -> list[bytes]:
        """Add frames, as ``wardround.rounds.frames`` does."""
        sums = []
        for index, part in enumerate(self.parts):
            total = self.scheme.running_sum(part)
            for site, frames in uploads.items():
                total.add(frames[index], 1 if self.masks else self.weights[site])
            if self.rest is not None:
                first, count = self.scheme.words_before(part), self.scheme.num_words(part)
                total.subtract_plain(self.rest.words(first, count, self.scheme.word_bits))
            sums.append(total.frame())
        return sums

    def open(self, sums: list[bytes]) -> dict[str, np.ndarray]:
        """Open a sum and return the mean, as ``wardround.rounds.opening`` does."""
        total = sum(self.weights.values())
        values = self.scheme.empty(self.grid.num_values)
        for frame, part in zip(sums, self.parts, strict=True):
            self.scheme.open_into(values[part], frame, part, total, self.sealer)
        return {name: (tensor / total).astype(np.float32) for name, tensor in self.grid.decode(values).items()}


def main(model_file: str, method: str) -> None:
    """Encrypt at three sites, add, open."""
    on_one_core()
    model = Model.read(Path(model_file))
    cohort = cohort_of(model, method)
    found: dict[str, Any] = {"encrypt_s": [], "upload_bytes": [], "stages_s": []}
    uploads = {}
    for site in SITES:
        update, watch = model.update(site), Stopwatch()
        uploads[site] = cohort.upload(site, update, watch)
        found["encrypt_s"].append(sum(watch.seconds.values()))
        found["upload_bytes"].append(sum(map(len, uploads[site])))
        found["stages_s"].append(watch.seconds)
    began = time.perf_counter()
    sums = cohort.sum(uploads)
    found["aggregate_s"] = time.perf_counter() - began
    uploads.clear()
    began = time.perf_counter()
    opened = cohort.open(sums)
    found["decrypt_s"] = time.perf_counter() - began
    found |= {"sum_bytes": sum(map(len, sums)), **error(cohort, model, opened), **floor(cohort.scheme)}
    print(json.dumps({**found, "sha256": digest(opened), "peak_bytes": peak_bytes()}))


def cohort_of(model: Model, method: str) -> Cohort:
    """Make the keys and, with masks, go through offers and reveals; the time this takes is not counted."""
    pipeline, weight_total = METHODS[method]
    scheme = Scheme.of(pipeline, weight_total)
    sealer = Sealer(scheme.lattice, LatticeKey.new(scheme.lattice)) if scheme.lattice else None
    masks, rest = masked() if pipeline.masks else ({}, None)
    weights = integer_weights(EXAMPLES, weight_total)
    return Cohort(scheme, pipeline.grid(model.broadcast(), RoundContext(0, 0, 1, (), 0)), sealer, weights, masks, rest)


def masked() -> tuple[dict[str, Mask], Unmasker]:
    """Return every site's mask, and what is left of them in the sum of all sites."""
    attempt = Attempt(secrets.token_bytes(32), 0, 0, SITES)
    threshold = default_threshold(len(SITES))
    pairs = {frozenset((one, other)): secrets.token_bytes(32) for one in SITES for other in SITES if one != other}
    keys = {
        site: RunKeys(
            attempt.run, site, {}, {peer: pairs[frozenset((site, peer))] for peer in attempt.peers(site)}, b"", b""
        )
        for site in SITES
    }
    made = {site: MaskSecrets.new(attempt, site, threshold, keys[site]) for site in SITES}
    offers = {site: made[site].offers(keys[site]) for site in SITES}
    received: dict[str, Received] = {}
    for site in SITES:
        arrived = {peer: offers[peer][site] for peer in attempt.peers(site)}
        received[site] = made[site].accept(arrived, keys[site])
    listed = SurvivorList(attempt, threshold, SITES)
    reveals = {site: Reveal.of(received[site], listed) for site in SITES}
    return {site: made[site].mask(received[site]) for site in SITES}, unmask(listed, reveals)


def error(cohort: Cohort, model: Model, opened: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return the largest error of the mean: in steps, or absolute where nothing is rounded."""
    steps = cohort.grid.steps if isinstance(cohort.grid, Grid) else {}
    mean = model.mean(cohort.weights)
    errors = [float(np.max(np.abs(opened[name] - exact))) / steps.get(name, 1.0) for name, exact in mean]
    return {"largest_error": max(errors), "error_unit": "steps" if steps else "absolute"}


def floor(scheme: Scheme) -> dict[str, float]:
    """Return bytes per value that no frame of this kind can go below."""
    found = {}
    if scheme.layout is not None:
        found["payload_floor"] = (scheme.layout.bits + math.ceil(math.log2(scheme.layout.weight_total))) / 8
    if scheme.lattice is not None:
        fields = scheme.layout.fields if scheme.layout is not None else 0.5
        found["lattice_floor"] = math.log2(scheme.lattice.data_modulus) / 8 / fields
    return found


def digest(tensors: Mapping[str, np.ndarray]) -> str:
    """Return a digest of a whole mean."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        total.update(np.ascontiguousarray(tensors[name]).tobytes())
    return total.hexdigest()


if __name__ == "__main__":
    main(*sys.argv[1:])
