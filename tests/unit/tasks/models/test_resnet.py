"""Residual networks: shapes, sizes, and what per-sample gradients and federated averaging need of them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from wardround.errors import PlanError
from wardround.tasks.models.resnet import ResNet18, ResNet50

SPECS = [
    ResNet18(width=4),
    ResNet18(width=7, stem_stride=1),
    ResNet18(width=16, stem="large"),
    ResNet50(width=4),
    ResNet50(width=5, stem="large", stem_stride=1),
]


def num_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize(("channels", "size_px"), [(1, 28), (3, 64)])
def test_any_width_maps_images_to_logits(spec: ResNet18 | ResNet50, channels: int, size_px: int) -> None:
    logits = spec.build(channels, 7)(torch.randn(2, channels, size_px, size_px))
    assert logits.shape == (2, 7)
    assert bool(torch.isfinite(logits).all())


def expected_size(width: int, blocks: tuple[int, ...], expansion: int, channels: int, classes: int) -> int:
    """Count convolutions (no bias), two values per normalised channel, and the head, from the papers' tables."""
    total, fan_in = channels * width * 9 + 2 * width, width
    for stage, count in enumerate(blocks):
        planes, fan_out = width * 2**stage, width * 2**stage * expansion
        for block in range(count):
            if expansion == 1:
                convolutions = [(fan_in, planes, 9), (planes, planes, 9)]
            else:
                convolutions = [(fan_in, planes, 1), (planes, planes, 9), (planes, fan_out, 1)]
            if block == 0 and (stage or fan_in != fan_out):
                convolutions.append((fan_in, fan_out, 1))
            total += sum(a * b * area + 2 * b for a, b, area in convolutions)
            fan_in = fan_out
    return total + fan_in * classes + classes


@pytest.mark.parametrize("width", [4, 13])
def test_sizes_follow_from_the_blocks(width: int) -> None:
    assert num_parameters(ResNet18(width=width).build(3, 7)) == expected_size(width, (2, 2, 2, 2), 1, 3, 7)
    assert num_parameters(ResNet50(width=width).build(3, 7)) == expected_size(width, (3, 4, 6, 3), 4, 3, 7)


def test_full_width_resnet50_has_the_known_size() -> None:
    assert num_parameters(ResNet50(width=64, stem="large").build(3, 7)) == 23_522_375


def test_the_stem_decides_how_large_the_first_stage_is() -> None:
    images = torch.randn(1, 3, 64, 64)
    sizes = {
        (stem, stride): ResNet18(width=4, stem=stem, stem_stride=stride)
        .build(3, 2)
        .get_submodule("stem")(images)
        .shape[-1]
        for stem in ("small", "large")
        for stride in (1, 2)
    }
    assert sizes == {("small", 1): 64, ("small", 2): 32, ("large", 1): 32, ("large", 2): 16}


@pytest.mark.parametrize("spec", [ResNet18(width=4), ResNet50(width=4)], ids=str)
def test_nothing_but_weights_and_nothing_in_place(spec: ResNet18 | ResNet50) -> None:
    network = spec.build(3, 2)
    assert list(network.buffers()) == []
    assert not any(getattr(module, "inplace", False) for module in network.modules())
    assert any(isinstance(module, nn.GroupNorm) for module in network.modules())
    seen: list[str] = []
    for name, module in network.named_modules():
        # A full backward hook makes autograd refuse outputs that a later operation changes in place.
        module.register_full_backward_hook(lambda _module, _into, _out, name=name: seen.append(name))
    network(torch.randn(2, 3, 32, 32, requires_grad=True)).sum().backward()
    assert set(seen) == {name for name, _ in network.named_modules()}


@pytest.mark.parametrize("spec", [ResNet18(width=4), ResNet50(width=2)], ids=str)
def test_per_sample_gradients_agree_with_one_example_at_a_time(spec: ResNet18 | ResNet50) -> None:
    torch.manual_seed(0)
    network = spec.build(1, 3).double()
    weights = dict(network.named_parameters())
    images, labels = torch.randn(3, 1, 16, 16, dtype=torch.float64), torch.tensor([0, 1, 2])

    def loss(weights: dict[str, torch.Tensor], image: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        logits = torch.func.functional_call(network, weights, (image[None],))
        return nn.functional.cross_entropy(logits, label[None])

    detached = {name: weight.detach() for name, weight in weights.items()}
    together = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(detached, images, labels)
    for index in range(3):
        network.zero_grad()
        nn.functional.cross_entropy(network(images[index : index + 1]), labels[index : index + 1]).backward()
        for name, weight in weights.items():
            assert weight.grad is not None
            torch.testing.assert_close(together[name][index], weight.grad, rtol=1e-6, atol=1e-9)


def test_an_example_does_not_depend_on_its_batch() -> None:
    network = ResNet18(width=8).build(3, 4)
    images = torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(network(images)[:1], network(images[:1]))


def test_dropout_acts_while_training_only() -> None:
    network, images = ResNet18(width=4, dropout=0.5).build(3, 4), torch.randn(2, 3, 32, 32)
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))


def test_the_same_seed_gives_the_same_weights() -> None:
    networks = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        networks.append(ResNet18(width=4).build(3, 2).state_dict())
    assert all(torch.equal(value, networks[1][name]) for name, value in networks[0].items())
    assert any(not torch.equal(value, networks[2][name]) for name, value in networks[0].items())


def test_it_can_learn_a_handful_of_images_by_heart() -> None:
    torch.manual_seed(0)
    network, images, labels = ResNet18(width=4).build(1, 2), torch.randn(8, 1, 16, 16), torch.arange(8) % 2
    optimiser = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    for _ in range(40):
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(network(images), labels)
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.05


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 0}, "width"),
        ({"dropout": 1.0}, "dropout"),
        ({"stem": "tiny"}, "stem"),
        ({"stem_stride": 3}, "stride"),
    ],
)
@pytest.mark.parametrize("spec", [ResNet18, ResNet50])
def test_values_out_of_range_are_refused(spec: type[ResNet18], change: dict[str, object], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        spec(**change)  # type: ignore[arg-type]
