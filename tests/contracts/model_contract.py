"""What every network of `MODELS` must do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from wardround.tasks.classification import Classification, load_weights, weights_of
from wardround.tasks.models import ModelSpec


class ModelContract:
    """Join with one line: ``class TestMine(ModelContract): spec = Mine()``."""

    spec: ModelSpec
    size_px = 32

    @pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 7)])
    def test_it_maps_images_to_logits(self, channels: int, classes: int) -> None:
        network = self.spec.build(channels, classes).eval()
        with torch.no_grad():
            logits = network(torch.randn(2, channels, self.size_px, self.size_px))
        assert logits.shape == (2, classes)
        assert torch.isfinite(logits).all()

    def test_every_parameter_learns_and_nothing_is_changed_in_place(self) -> None:
        network = self.spec.build(3, 2).train()
        images = torch.randn(4, 3, self.size_px, self.size_px)
        kept = images.clone()
        labels = torch.tensor([0, 1, 0, 1])
        with torch.autograd.set_detect_anomaly(True):
            torch.nn.functional.cross_entropy(network(images), labels).backward()
        assert torch.equal(images, kept)
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
        silent = [name for name, p in network.named_parameters() if p.grad is not None and not p.grad.any()]
        assert not silent

    def test_the_seed_decides_the_weights(self) -> None:
        task = Classification(self.spec, 3, ("a", "b"))
        first, again, other = (weights_of(task.build(seed)) for seed in (4, 4, 5))
        assert all(value.tobytes() == again[name].tobytes() for name, value in first.items())
        assert any(value.tobytes() != other[name].tobytes() for name, value in first.items())
        assert all(value.dtype == np.float32 for value in first.values())

    def test_weights_travel(self) -> None:
        task = Classification(self.spec, 3, ("a", "b"))
        source, target = task.build(1), task.build(2)
        load_weights(target, weights_of(source))
        images = torch.randn(2, 3, self.size_px, self.size_px)
        with torch.no_grad():
            assert torch.equal(source.eval()(images), target.eval()(images))
