"""Where the noise of a defence comes from: whoever can compute it can subtract it."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import replace

import numpy as np

from wardround.core.context import RoundContext
from wardround.core.update import Tensors

RANDOMNESS = ("system", "seed")
DRAWS = ("once", "each_round")
KEY = "key"
KEY_BYTES = 32


class Secret:
    """A key of one site in one run, and the generators that follow from it.

    From the operating system the key is drawn in the site's first round and kept in its memory. From the plan's seed,
    which everybody in the run knows, it hides nothing and can be repeated: for studies.
    """

    def __init__(self, ctx: RoundContext, memory: Tensors, randomness: str, draw: str) -> None:
        """Find the key.

        Args:
            ctx: the round.
            memory: what the defence kept.
            randomness: one of `RANDOMNESS`.
            draw: ``once``: an image meets the same noise in all rounds, so that watching many of them teaches no more
                than watching one; ``each_round``: new noise in each.
        """
        self._round = ctx.round if draw == "each_round" else -1
        if randomness == "seed" and ctx.seed is not None:
            self._key = replace(ctx, round=0).rng("defence").bytes(KEY_BYTES)
            self._kept: Tensors = {}
            return
        kept = memory.get(KEY)
        self._key = secrets.token_bytes(KEY_BYTES) if kept is None else np.asarray(kept, np.uint8).tobytes()
        self._kept = {KEY: np.frombuffer(self._key, np.uint8)}

    def generator(self, purpose: str, row: int) -> np.random.Generator:
        """Return a fresh generator for one image of the site."""
        text = f"{purpose} {row} {self._round}".encode()
        return np.random.default_rng(int.from_bytes(hashlib.sha256(self._key + text).digest(), "big"))

    def keep(self) -> Tensors:
        """Return the key for the site's memory; nothing where it follows from the seed."""
        return self._kept
