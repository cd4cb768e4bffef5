"""The wire decoder under 120,000 hostile frames: only `WireError` or a legal message ever comes out."""

from __future__ import annotations

import time

import pytest
from mutations import mutated

from wardround.core.codec import Message, decode, encode
from wardround.errors import WireError

INPUTS = 120_000


@pytest.mark.slow
def test_hostile_frames() -> None:
    began = time.perf_counter()
    tried = refused = 0
    for seed in range(12):
        for frame in mutated(INPUTS // 12, seed=100 + seed):
            tried += 1
            try:
                message = decode(frame)
            except WireError:
                refused += 1
                continue
            assert isinstance(message, Message)
            encode(message)
    print(f"{tried} inputs, {refused} refused, {time.perf_counter() - began:.1f} s")
    assert tried >= 100_000
    assert tried // 2 < refused < tried
