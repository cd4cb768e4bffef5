"""Classification: from pixels to probabilities, and weights in and out of a network."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch
from torch import nn

from wardround.tasks.classification import (
    EVALUATION_BATCH,
    batches,
    load_weights,
    weights_of,
)
from wardround.tasks.inputs import to_input

TASK = tiny.task()


class WithBuffers(nn.Module):
    """A parameter without axes, float and integer buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.norm = nn.BatchNorm2d(3)


def test_the_same_seed_gives_the_same_weights_and_disturbs_no_generator() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    first, again, other = (weights_of(TASK.build(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    assert all(value.tobytes() == again[name].tobytes() for name, value in first.items())
    assert any(value.tobytes() != other[name].tobytes() for name, value in first.items())


def test_the_loss_is_the_cross_entropy() -> None:
    network = TASK.build(0).eval()
    images, labels = torch.randn(5, 3, 8, 8), torch.tensor([0, 1, 1, 0, 1])
    by_hand = -torch.log_softmax(network(images), dim=1)[torch.arange(5), labels].mean()
    torch.testing.assert_close(TASK.loss(network, images, labels), by_hand)


def test_pixels_are_scaled_and_put_channels_first() -> None:
    pixels = np.array([[[[0, 255, 51]], [[255, 0, 0]]]], np.uint8)
    found = to_input(pixels)
    assert found.shape == (1, 3, 2, 1)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found[0, :, 0, 0], [-2, 2, -1.2], atol=1e-6)
    np.testing.assert_allclose(found[0, :, 1, 0], [2, -2, -2], atol=1e-6)


def test_probabilities_are_those_of_one_image_at_a_time() -> None:
    network, images = TASK.build(0).train(), tiny.images(EVALUATION_BATCH + 7)
    found = TASK.evaluate(network, images)
    assert not network.training
    for index in (0, EVALUATION_BATCH - 1, EVALUATION_BATCH, EVALUATION_BATCH + 6):
        with torch.no_grad():
            alone = torch.softmax(network(to_input(images.batch([index]))), dim=1)
        np.testing.assert_allclose(found.probabilities[index], alone[0], atol=1e-5)
    np.testing.assert_array_equal(found.labels, images.labels)
    np.testing.assert_array_equal(found.groups, images.groups)
    assert found.classes == tiny.CLASSES


def test_no_images_give_no_predictions() -> None:
    found = TASK.evaluate(TASK.build(0), tiny.images(4).take([]))
    assert found.probabilities.shape == (0, 2)


@pytest.mark.parametrize(("count", "size"), [(0, 4), (3, 4), (4, 4), (9, 4)])
def test_batches_cover_everything_in_order(count: int, size: int) -> None:
    found = [*batches(count, size)]
    assert [number for batch in found for number in batch.tolist()] == list(range(count))
    assert all(0 < len(batch) <= size for batch in found)


def test_weights_are_float32_copies_without_integer_buffers() -> None:
    network = WithBuffers()
    found = weights_of(network)
    assert set(found) == {
        "net/scale",
        "net/norm.weight",
        "net/norm.bias",
        "stat/norm.running_mean",
        "stat/norm.running_var",
    }
    assert all(value.dtype == np.float32 and value.flags.c_contiguous for value in found.values())
    assert found["net/scale"].shape == ()
    found["net/norm.weight"][:] = 99
    assert network.norm.weight.max() == 1


def test_weights_go_in_as_they_came_out() -> None:
    source, target = TASK.build(1), TASK.build(2)
    load_weights(target, weights_of(source))
    for name, value in weights_of(source).items():
        assert weights_of(target)[name].tobytes() == value.tobytes()


def test_names_that_are_lacking_keep_their_values_and_unknown_groups_are_passed_by() -> None:
    network = WithBuffers()
    load_weights(network, {"net/scale": np.array(5, np.float32), "variate/net/norm.weight": np.ones(3, np.float32)})
    assert network.scale.item() == 5
    assert network.norm.weight.tolist() == [1, 1, 1]


def test_an_unknown_weight_is_an_error() -> None:
    with pytest.raises(KeyError):
        load_weights(WithBuffers(), {"net/other": np.zeros(1, np.float32)})
