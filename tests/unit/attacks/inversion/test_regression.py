"""Ridge regression in its dual form, against scikit-learn's and a slow loop."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import Ridge as Reference

from wardround.attacks.inversion.regression import Ridge


def data(noise: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    inputs = rng.normal(size=(24, 40)) * np.linspace(0.1, 2, 40)
    return inputs, inputs @ rng.normal(size=(40, 5)) + noise * rng.normal(size=(24, 5)) + 7


def penalty_of(fitted: Ridge, inputs: np.ndarray) -> float:
    centred = inputs - inputs.mean(0)
    return float(fitted.penalty * np.linalg.eigvalsh(centred @ centred.T).mean())


def test_it_is_that_of_scikit_learn_at_the_penalty_it_chose() -> None:
    inputs, outputs = data(noise=3.0)
    fitted = Ridge(torch.from_numpy(inputs), torch.from_numpy(outputs))
    reference = Reference(alpha=penalty_of(fitted, inputs)).fit(inputs, outputs)
    new = np.random.default_rng(4).normal(size=(6, 40))
    assert np.allclose(fitted(torch.from_numpy(new)).numpy(), reference.predict(new), rtol=1e-6, atol=1e-6)


def test_its_error_is_that_of_leaving_each_example_out() -> None:
    inputs, outputs = data(noise=3.0)
    fitted = Ridge(torch.from_numpy(inputs), torch.from_numpy(outputs))
    errors = []
    for row in range(len(inputs)):
        rest = np.arange(len(inputs)) != row
        reference = Reference(alpha=penalty_of(fitted, inputs)).fit(inputs[rest], outputs[rest])
        errors.append(((reference.predict(inputs[[row]]) - outputs[[row]]) ** 2).mean())
    assert np.isclose(fitted.error, np.mean(errors), rtol=1e-6)


def test_noise_asks_for_a_larger_penalty() -> None:
    clean, noisy = (Ridge(*(torch.from_numpy(part) for part in data(noise))) for noise in (0.0, 30.0))
    assert clean.penalty < noisy.penalty
