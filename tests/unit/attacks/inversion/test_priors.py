from __future__ import annotations

import torch
from victims import CLASSES, SIZE_PX, fed, pictures

from wardround.attacks import Observation
from wardround.attacks.inversion.priors import batch_statistics, disagreement, energy, statistics_of, total_variation

SHAPE = (3, SIZE_PX, SIZE_PX)


def test_total_variation_is_that_of_neighbours() -> None:
    ramp = torch.arange(4.0).repeat(2, 1, 1, 4, 1)
    assert total_variation(ramp).tolist() == [1, 1]
    assert total_variation(ramp.transpose(3, 4)).tolist() == [1, 1]
    assert total_variation(torch.full((1, 1, 1, 4, 4), 3.0)).item() == 0


def test_energy_and_disagreement_are_counted_for_each_member() -> None:
    group = torch.stack([torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 2.0)])
    assert energy(group).tolist() == [0, 4]
    assert disagreement(group).tolist() == [1, 1]


def test_batch_statistics_come_back_from_what_a_running_statistic_moved_by() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten(), torch.nn.Linear(4 * 14 * 14, CLASSES)
    )
    before = {name: value.clone() for name, value in network.named_buffers()}
    images = fed(pictures(6))
    loss = torch.nn.functional.cross_entropy(network(images), torch.tensor([0, 1, 2, 0, 1, 2]))
    slopes = dict(zip(dict(network.named_parameters()), torch.autograd.grad(loss, network.parameters()), strict=True))
    moved = {name: value - before[name] for name, value in network.named_buffers() if value.is_floating_point()}
    with torch.no_grad():
        for name, value in network.named_buffers():
            value.copy_(before[name])
    seen = Observation(network, slopes, SHAPE, 6, statistics=moved)
    layers = batch_statistics(seen)
    maps = network[0](images).transpose(0, 1).flatten(1)
    torch.testing.assert_close(layers["1"][0], maps.mean(1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(layers["1"][1], maps.var(1), rtol=1e-3, atol=1e-5)
    with statistics_of(network, layers) as far:
        seen.answers(images)
        seen.answers(fed(pictures(6, seed=1)))
    assert far[0] < 1e-3 < far[1]
    with statistics_of(network, layers) as far:
        pass
    seen.answers(images)
    assert not far


def test_a_network_without_batch_norm_has_none() -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * SIZE_PX**2, 2))
    slopes = {name: torch.zeros_like(value) for name, value in network.named_parameters()}
    assert batch_statistics(Observation(network, slopes, SHAPE, 1)) == {}
