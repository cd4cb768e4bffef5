from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wardround.core.codec import Message, decode, encode
from wardround.errors import WireError
from wardround.rounds.split.forms import FORMS, LEVELS, SCALES, VALUES

SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 4), st.integers(1, 4))


def drawn(shape: tuple[int, ...], seed: int, spread: float) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    scale = np.exp(spread * rng.standard_normal((1, shape[1], 1, 1)))
    return torch.from_numpy((rng.standard_normal(shape) * scale).astype(np.float32))


def travelled(name: str, tensor: torch.Tensor) -> torch.Tensor:
    form = FORMS[name]
    return form.read(decode(encode(Message({}, form.write(tensor)))).tensors, tensor.shape[1])


@given(SHAPES, st.integers(0, 10**6), st.floats(0, 4))
def test_what_arrives_is_what_was_sent_within_its_error(shape: tuple[int, ...], seed: int, spread: float) -> None:
    sent = drawn(shape, seed, spread)
    assert torch.equal(travelled("float32", sent), sent)
    torch.testing.assert_close(travelled("bf16", sent), sent, rtol=2**-8, atol=0)
    step = sent.abs().amax(dim=(0, 2, 3), keepdim=True) / LEVELS
    assert bool(((travelled("int8", sent) - sent).abs() <= 0.5001 * step + 1e-30).all())


@pytest.mark.parametrize("name", FORMS)
def test_zeros_stay_zeros_and_the_layout_is_the_one_that_training_uses(name: str) -> None:
    found = travelled(name, torch.zeros(2, 3, 4, 5))
    assert torch.equal(found, torch.zeros(2, 3, 4, 5))
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_bytes_of_each_form() -> None:
    tensor = drawn((8, 16, 32, 32), 1, 1.0)
    sizes = {name: sum(value.nbytes for value in form.write(tensor).values()) for name, form in FORMS.items()}
    assert sizes["bf16"] == sizes["float32"] / 2
    assert sizes["int8"] == sizes["float32"] / 4 + 4 * 16


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused(name: str, bad: float) -> None:
    if name == "int8":
        tensors = FORMS[name].write(drawn((1, 2, 2, 2), 1, 0.0))
        tensors[SCALES] = np.array([1.0, bad], np.float32)
    else:
        tensors = FORMS[name].write(torch.full((1, 2, 2, 2), bad))
    with pytest.raises(WireError, match=r"finite|NaN"):
        FORMS[name].read(tensors, 2)


def test_codes_and_scales_that_no_site_writes_are_refused() -> None:
    good = FORMS["int8"].write(drawn((1, 2, 2, 2), 1, 0.0))
    for broken, reason in (
        ({**good, SCALES: -good[SCALES]}, "negative"),
        ({**good, VALUES: np.zeros_like(good[VALUES])}, "outside"),
        ({**good, SCALES: good[SCALES][:1]}, "one finite float32 for each channel"),
        ({VALUES: good[VALUES]}, "not scales and values"),
    ):
        with pytest.raises(WireError, match=reason):
            FORMS["int8"].read(broken, 2)
