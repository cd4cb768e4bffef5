"""The constants of the scattering features come from public pictures, by the code beside them."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest
import safetensors.numpy
import torch

from wardround.tasks.models.scattering import measured
from wardround.tasks.models.whitening import CROPS, constants, crops


def committed() -> dict[str, np.ndarray]:
    """Return the constants that ship."""
    return safetensors.numpy.load(files("wardround.tasks.models").joinpath("whitening.safetensors").read_bytes())


def test_they_decorrelate_the_pictures_that_they_come_from() -> None:
    found = committed()
    some = crops(CROPS)[::13]
    images = torch.from_numpy(some).permute(0, 3, 1, 2).float() / 63.75 - 2
    rows = measured(images, 1).numpy()
    features = (rows - found["mean_3_1"]) @ found["decorrelate_3_1"]
    assert np.abs(features.mean(axis=0)).max() < 0.1
    shape = features * np.sqrt(features.shape[1])
    raw, whitened = (np.corrcoef(each, rowvar=False) for each in (rows, shape))
    off = ~np.eye(len(raw), dtype=bool)
    assert np.abs(whitened[off]).mean() < 0.5 * np.abs(raw[off]).mean()
    assert 0.5 < np.sqrt((features**2).sum(axis=1).mean()) < 1.0


@pytest.mark.slow
def test_they_are_remade_from_the_pictures() -> None:
    remade, shipped = constants(crops()), committed()
    assert remade.keys() == shipped.keys()
    for name, value in shipped.items():
        np.testing.assert_allclose(remade[name], value, rtol=1e-3, atol=1e-4, err_msg=name)
