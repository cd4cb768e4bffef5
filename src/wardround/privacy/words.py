"""Uniform 64-bit words that noise and sampling are made of: from the operating system, or from a seed."""

from __future__ import annotations

import os

import numpy as np
from scipy.special import ndtri

from wardround.core.context import RoundContext


class Words:
    """A stream of independent uniform words."""

    def __init__(self, seed: int | None = None) -> None:
        """Start a stream.

        Args:
            seed: makes the stream repeatable, for studies: whoever knows it knows the noise. ``None`` takes every word
                from the operating system's generator.
        """
        self._generator = None if seed is None else np.random.default_rng(seed)

    @classmethod
    def at(cls, ctx: RoundContext, purpose: str, seeded: bool) -> Words:
        """Return the stream of one place in a run; two purposes never share one."""
        return cls(ctx.entropy(purpose) if seeded and ctx.seed is not None else None)

    def take(self, count: int) -> np.ndarray:
        """Return uint64 ``(count,)``."""
        if self._generator is None:
            return np.frombuffer(os.urandom(8 * count), np.uint64)
        return self._generator.integers(0, 2**64, count, np.uint64)

    def below(self, bound: int, count: int) -> np.ndarray:
        """Return int64 ``(count,)``, uniform over 0 … `bound` - 1 without bias; `bound` is at most 2^62."""
        kept = 2**64 - 2**64 % bound
        words = self.take(count)
        if kept < 2**64:
            while len(late := np.flatnonzero(words >= np.uint64(kept))):
                words = words.copy()
                words[late] = self.take(len(late))
        return (words % np.uint64(bound)).astype(np.int64)

    def chosen(self, probability: float, count: int) -> np.ndarray:
        """Return bool ``(count,)``, each true with `probability`, rounded to a multiple of 2^-53 (Poisson sampling)."""
        return (self.take(count) >> np.uint64(11)) < np.uint64(round(probability * 2**53))

    def uniform(self, count: int) -> np.ndarray:
        """Return float64 ``(count,)`` in [0, 1), multiples of 2^-53."""
        return (self.take(count) >> np.uint64(11)) * 2.0**-53

    def normal(self, count: int) -> np.ndarray:
        """Return float64 ``(count,)``, standard normal by inversion of 53 bits.

        Doubles only approximate a continuous law, and their gaps can be told apart (Mironov 2012,
        doi:10.1145/2382196.2382264): where that matters, choose discrete noise.
        """
        return np.asarray(ndtri(((self.take(count) >> np.uint64(11)) + 0.5) * 2.0**-53))
