"""FID's Inception against what is known of it, and against the same network written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from inception_state import inception_network
from torch.nn import functional

from wardround.tasks.models import inception
from wardround.tasks.models.inception import Inception, Mixed, highest_pool, mean_pool

PARAMETERS = 23_850_960
"""As published: 27,161,264 of torchvision's, less 3,326,696 of its side branch, and 8 more classes of 2049 weights."""


class ByHand:
    """The graph as a list of calls, with the names that it touches; shares no code with the network."""

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        self.state, self.touched, self.block = state, {"fc.weight", "fc.bias"}, ""

    def __call__(self, x: torch.Tensor, name: str, padding: tuple[int, int] = (0, 0), stride: int = 1) -> torch.Tensor:
        names = [f"{self.block}{name}.{part}" for part in ("conv.weight", "bn.running_mean", "bn.running_var")]
        names += [f"{self.block}{name}.bn.{part}" for part in ("weight", "bias")]
        self.touched |= set(names)
        kernel, mean, variance, gain, shift = (self.state[each] for each in names)
        x = functional.conv2d(x, kernel, stride=stride, padding=padding)
        columns = [each[:, None, None] for each in (mean, variance, gain, shift)]
        x = (x - columns[0]) / (columns[1] + 0.001) ** 0.5 * columns[2] + columns[3]
        return x.clamp(min=0)

    def at_35_px(self, x: torch.Tensor) -> torch.Tensor:
        five = self(self(x, "branch5x5_1"), "branch5x5_2", (2, 2))
        double = self(self(self(x, "branch3x3dbl_1"), "branch3x3dbl_2", (1, 1)), "branch3x3dbl_3", (1, 1))
        return torch.cat([self(x, "branch1x1"), five, double, self(mean_by_hand(x), "branch_pool")], 1)

    def to_17_px(self, x: torch.Tensor) -> torch.Tensor:
        double = self(self(x, "branch3x3dbl_1"), "branch3x3dbl_2", (1, 1))
        double = self(double, "branch3x3dbl_3", stride=2)
        return torch.cat([self(x, "branch3x3", stride=2), double, functional.max_pool2d(x, 3, 2)], 1)

    def at_17_px(self, x: torch.Tensor) -> torch.Tensor:
        wide, high = (0, 3), (3, 0)
        seven = self(self(self(x, "branch7x7_1"), "branch7x7_2", wide), "branch7x7_3", high)
        double = self(self(self(x, "branch7x7dbl_1"), "branch7x7dbl_2", high), "branch7x7dbl_3", wide)
        double = self(self(double, "branch7x7dbl_4", high), "branch7x7dbl_5", wide)
        return torch.cat([self(x, "branch1x1"), seven, double, self(mean_by_hand(x), "branch_pool")], 1)

    def to_8_px(self, x: torch.Tensor) -> torch.Tensor:
        three = self(self(x, "branch3x3_1"), "branch3x3_2", stride=2)
        seven = self(self(self(x, "branch7x7x3_1"), "branch7x7x3_2", (0, 3)), "branch7x7x3_3", (3, 0))
        return torch.cat([three, self(seven, "branch7x7x3_4", stride=2), functional.max_pool2d(x, 3, 2)], 1)

    def at_8_px(self, x: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
        three = self(x, "branch3x3_1")
        double = self(self(x, "branch3x3dbl_1"), "branch3x3dbl_2", (1, 1))
        forks = [self(three, f"branch3x3_2{fork}", pad) for fork, pad in (("a", (0, 1)), ("b", (1, 0)))]
        forks += [self(double, f"branch3x3dbl_3{fork}", pad) for fork, pad in (("a", (0, 1)), ("b", (1, 0)))]
        return torch.cat([self(x, "branch1x1"), *forks, self(pooled, "branch_pool")], 1)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        x = self(self(x, "Conv2d_1a_3x3", stride=2), "Conv2d_2a_3x3")
        x = functional.max_pool2d(self(x, "Conv2d_2b_3x3", (1, 1)), 3, 2)
        x = functional.max_pool2d(self(self(x, "Conv2d_3b_1x1"), "Conv2d_4a_3x3"), 3, 2)
        for letters, work in (("5b 5c 5d", self.at_35_px), ("6a", self.to_17_px), ("6b 6c 6d 6e", self.at_17_px)):
            for letter in letters.split():
                self.block = f"Mixed_{letter}."
                x = work(x)
        self.block = "Mixed_7a."
        x = self.to_8_px(x)
        self.block = "Mixed_7b."
        x = self.at_8_px(x, mean_by_hand(x))
        self.block = "Mixed_7c."
        return self.at_8_px(x, functional.max_pool2d(x, 3, 1, 1)).mean((2, 3))


def mean_by_hand(x: torch.Tensor) -> torch.Tensor:
    """Return sums of neighbours divided by how many there are, which a pool over ones counts."""
    kernel = torch.ones(1, 1, 3, 3)
    sums = functional.conv2d(x.reshape(-1, 1, *x.shape[2:]), kernel, padding=1).reshape(x.shape)
    return sums / functional.conv2d(torch.ones(1, 1, *x.shape[2:]), kernel, padding=1)


@pytest.fixture(scope="module")
def network() -> Inception:
    return inception_network()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    # Small for speed; the last maps are 3 x 2, so that pools have an inside and an edge.
    return torch.rand(2, 3, 139, 107, generator=torch.Generator().manual_seed(5)) * 2 - 1


def test_it_has_the_weights_that_are_published(network: Inception) -> None:
    state = network.state_dict()
    counted = {name for name in state if not name.endswith("num_batches_tracked")}
    assert sum(value.numel() for value in network.parameters()) == PARAMETERS
    assert len(counted) == 94 * 5 + 2
    assert state["Conv2d_1a_3x3.conv.weight"].shape == (32, 3, 3, 3)
    assert state["Mixed_5b.branch1x1.bn.running_mean"].shape == (64,)
    assert state["Mixed_6b.branch7x7dbl_5.conv.weight"].shape == (192, 128, 1, 7)
    assert state["Mixed_7c.branch3x3dbl_3b.conv.weight"].shape == (384, 384, 3, 1)
    assert state["fc.weight"].shape == (1008, 2048)


def test_it_is_the_network_written_out_by_hand(network: Inception, images: torch.Tensor) -> None:
    state = network.state_dict()
    by_hand = ByHand(state)
    with torch.inference_mode():
        expected = by_hand.features(images)
        found = network(images)
    assert found.shape == (2, 2048)
    assert found.isfinite().all()
    assert found.std() > 0.01
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert by_hand.touched == {name for name in state if not name.endswith("num_batches_tracked")}


def test_the_last_block_takes_the_highest_where_the_paper_takes_the_mean(
    network: Inception, images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(inception.STEPS[-1], Mixed)
    monkeypatch.setattr(inception, "STEPS", (*inception.STEPS[:-1], inception._at_8_px("Mixed_7c", mean_pool)))
    other = Inception().eval()
    other.load_state_dict(network.state_dict())
    with torch.inference_mode():
        departs = (other(images) - network(images)).abs().mean(dim=0)
    assert departs[:-192].max() == 0  # all but what the pool feeds
    assert departs[-192:].mean() > 0.01


def test_images_do_not_depend_on_their_batch(network: Inception, images: torch.Tensor) -> None:
    with torch.inference_mode():
        together = network(images)
        alone = torch.cat([network(image[None]) for image in images])
        assert torch.equal(network(images), together)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_maps_have_the_sizes_of_the_paper_at_299_pixels() -> None:
    sizes = []
    with torch.device("meta"):
        network = Inception().eval()
        for name in ("Conv2d_4a_3x3", "Mixed_5d", "Mixed_6e", "Mixed_7c"):
            network.get_submodule(name).register_forward_hook(lambda _, __, maps: sizes.append(tuple(maps.shape[1:])))
        network(torch.zeros(1, 3, 299, 299))
    assert sizes == [(192, 71, 71), (288, 35, 35), (768, 17, 17), (2048, 8, 8)]


@pytest.mark.parametrize(("pool", "summed"), [(mean_pool, np.mean), (highest_pool, np.max)])
def test_pools_look_at_what_is_inside_the_map(pool: inception.Pool, summed: object) -> None:
    maps = np.random.default_rng(1).normal(-3, 1, (2, 3, 5, 4)).astype(np.float32)  # zeros beyond the edge would win
    found = pool(torch.from_numpy(maps)).numpy()
    assert found.shape == maps.shape
    for row in range(5):
        for column in range(4):
            near = maps[:, :, max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
            assert np.allclose(found[:, :, row, column], summed(near, axis=(2, 3)), atol=1e-6)  # type: ignore[operator]
