"""What every attack of `ATTACKS` must do."""

from __future__ import annotations

import numpy as np
import torch
from victims import pictures

from wardround.attacks import Attack, Observation
from wardround.metrics.reconstruction import identity_rank
from wardround.tasks.models import FlatCnn


class InversionContract:
    """Join with one line: ``class TestMine(InversionContract): attack = Mine(Budget(steps=…))``."""

    attack: Attack
    size_px = 16

    def seen(self) -> tuple[np.ndarray, Observation]:
        """Return an image, and what a coordinator sees of one step on it."""
        torch.manual_seed(3)
        network = FlatCnn(16).build(3, 4)
        coarse = torch.rand(1, 3, 4, 4)
        image = torch.nn.functional.interpolate(coarse, self.size_px, mode="bicubic").clamp(0, 1)
        loss = torch.nn.functional.cross_entropy(network(image * 4 - 2), torch.tensor([2]))
        slopes = torch.autograd.grad(loss, list(network.parameters()))
        shape = (3, self.size_px, self.size_px)
        return image[0].permute(1, 2, 0).numpy(), Observation.of_gradients(network, slopes, shape, 1)

    def test_it_picks_the_image_among_fifty_and_says_what_it_did(self) -> None:
        image, seen = self.seen()
        found = self.attack.run(seen, seed=1)
        assert found.images.shape == (1, self.size_px, self.size_px, 3)
        assert found.images.dtype == np.float32
        assert 0 <= found.images.min() <= found.images.max() <= 1
        assert found.labels.tolist() == [2]
        assert found.evaluations > 0
        assert found.seconds > 0
        assert 0 <= found.distance < 1
        pool = np.concatenate([image[None], pictures(49)])
        assert identity_rank(found.images[0], pool, 0) == 1

    def test_the_same_seed_finds_the_same_and_the_network_stays(self) -> None:
        _, seen = self.seen()
        before = {name: value.clone() for name, value in seen.network.state_dict().items()}
        first, again = (self.attack.run(seen, seed=5).images for _ in range(2))
        assert first.tobytes() == again.tobytes()
        assert all(torch.equal(value, before[name]) for name, value in seen.network.state_dict().items())

    def test_labels_that_are_known_are_taken(self) -> None:
        _, seen = self.seen()
        assert self.attack.run(seen, seed=1, labels=np.array([0])).labels.tolist() == [0]
