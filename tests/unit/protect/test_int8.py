"""Codes of one byte: within a step, without bias, and zero where there is nothing."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wardround.protect.int8 import LARGEST, from_codes, to_codes

NOTHING = 128 * float(np.finfo(np.float32).tiny)
"""Below it, steps are no normal float32 and everything is zero."""
TENSOR = st.lists(st.floats(-1e6, 1e6, width=32), max_size=30).map(lambda values: np.array(values, np.float32))


@given(st.lists(TENSOR, max_size=4), st.integers(0, 2**32))
def test_every_value_comes_back_within_its_tensor_s_step(tensors: list[np.ndarray], seed: int) -> None:
    codes, steps = to_codes(tensors, np.random.default_rng(seed))
    sizes = [values.size for values in tensors]
    assert (codes.dtype, steps.dtype, steps.size) == (np.int8, np.float32, len(tensors))
    assert not codes.size or abs(codes.astype(int)).max() <= LARGEST
    read = from_codes(codes, steps, sizes)
    start = 0
    for values, step in zip(tensors, steps, strict=True):
        off = np.abs(read[start : start + values.size] - values)
        assert (off <= max(step * (1 + 1e-5), NOTHING)).all()
        start += values.size


def test_the_mean_is_unbiased() -> None:
    values = np.append(np.full(40_000, 0.3), 127.0).astype(np.float32)
    codes, steps = to_codes([values], np.random.default_rng(1))
    assert steps[0] == 1.0
    assert abs(codes[:-1].mean() - 0.3) < 5 * 0.46 / 200


def test_what_is_too_small_for_a_step_is_zero() -> None:
    codes, steps = to_codes([np.zeros(3, np.float32), np.full(2, 1e-45, np.float32)], np.random.default_rng(0))
    assert codes.tolist() == [0] * 5
    assert steps.tolist() == [0.0, 0.0]
    codes, _ = to_codes([np.array([2e-43, 1e-43], np.float32)], np.random.default_rng(0))
    assert codes.tolist() == [0, 0]
