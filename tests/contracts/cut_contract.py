"""What every network that can be cut promises; joined by one line in ``test_cuts.py``."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from wardround.errors import PlanError
from wardround.tasks.classification import load_weights, weights_of
from wardround.tasks.models import ModelSpec
from wardround.tasks.models.cut import Cut, cut
from wardround.tasks.models.halves import BodyPass, InnerNetwork, OuterNetwork

SIZE = 32
FORMATS = (torch.contiguous_format, torch.channels_last)


class InMemory:
    """A link to a body in the same process."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.looks: list[tuple[torch.Tensor, torch.Tensor]] = []

    def forward(self, activation: torch.Tensor) -> torch.Tensor:
        self.running = BodyPass(self.network, activation)
        return self.running.output

    def backward(self, gradient: torch.Tensor) -> torch.Tensor:
        return self.running.close(gradient)

    def look(self, activation: torch.Tensor) -> torch.Tensor:
        output = self.network(activation)
        self.looks.append((activation, output))
        return output  # type: ignore[no-any-return]


class CutContract:
    """Tests of a network that `cut` can cut."""

    def spec(self) -> ModelSpec:
        raise NotImplementedError

    depths: int
    outputs = 1

    @pytest.mark.parametrize("layout", FORMATS, ids=("rows", "channels_last"))
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=("float32", "float64"))
    def test_one_split_step_is_one_whole_step_to_the_last_bit(
        self, dtype: torch.dtype, layout: torch.memory_format
    ) -> None:
        whole = self._network().to(dtype).to(memory_format=layout)  # type: ignore[call-overload]
        images, target = self._batch(dtype, layout)
        for depth in range(1, self.depths + 1):
            single, parts = copy.deepcopy(whole), copy.deepcopy(whole)
            loss = _loss(single, images, target)
            loss.backward()  # type: ignore[no-untyped-call]
            outer = OuterNetwork(cut(copy.deepcopy(parts), depth), 1).train()
            inner = InnerNetwork(cut(parts, depth))
            outer.link = InMemory(inner)
            found = _loss(outer, images, target)
            found.backward()  # type: ignore[no-untyped-call]
            assert torch.equal(found.detach(), loss.detach())
            expected = dict(single.named_parameters())
            split = dict(outer.named_parameters()) | dict(inner.named_parameters())
            assert split.keys() == expected.keys()
            for name, parameter in split.items():
                assert parameter.grad is not None, f"depth {depth}: {name} was not reached"
                assert torch.equal(parameter.grad, expected[name].grad), f"depth {depth}: {name} differs"
                assert bool(parameter.grad.any()), f"{name} has no gradient, so that this test would see no difference"

    def test_every_weight_is_at_the_site_or_at_the_body_and_keeps_its_name(self) -> None:
        network = self._network()
        names = {name for name, _ in (*network.named_parameters(), *network.named_buffers())}
        before: frozenset[str] = frozenset()
        for depth in range(1, self.depths + 1):
            split = cut(network, depth)
            assert split.site_names | split.body_names == names
            assert not split.site_names & split.body_names
            assert before < split.site_names < names
            before = split.site_names

    def test_parts_trained_apart_are_one_network_when_they_are_put_together(self) -> None:
        split = cut(self._network(), 1)
        other = self._network(seed=2)
        weights = {
            name: value
            for source, names in ((split.network, split.site_names), (other, split.body_names))
            for name, value in weights_of(source).items()
            if name.split("/", 1)[1] in names
        }
        together = self._network(seed=3)
        load_weights(together, weights)
        images, _ = self._batch(torch.float32, torch.contiguous_format)
        joined = self._by_hand(split, cut(other, 1), images)
        assert torch.equal(together(images), joined)
        assert not torch.equal(together(images), other(images))

    def test_neither_half_holds_a_weight_of_the_other(self) -> None:
        whole = self._network()
        sizes = {name: value.shape for name, value in whole.state_dict().items()}
        for depth in range(1, self.depths + 1):
            outer = OuterNetwork(cut(copy.deepcopy(whole), depth), 1)
            inner = InnerNetwork(cut(copy.deepcopy(whole), depth))
            assert not outer.state_dict().keys() & inner.state_dict().keys()
            assert {n: v.shape for n, v in (outer.state_dict() | inner.state_dict()).items()} == sizes
            assert outer.body_shapes == {name: tuple(value.shape) for name, value in inner.state_dict().items()}

    def test_a_copy_of_a_body_shares_nothing_with_it(self) -> None:
        split = cut(self._network(), 1)
        images, _ = self._batch(torch.float32, torch.contiguous_format)
        with torch.no_grad():
            activation, _ = split.head(images)
        first = InnerNetwork(split)
        second = copy.deepcopy(first)
        second(activation).sum().backward()
        assert all(value.grad is None for value in first.parameters())
        assert all(value.grad is not None for value in second.parameters())

    def test_what_is_sent_has_the_channels_that_both_expect(self) -> None:
        images, _ = self._batch(torch.float32, torch.contiguous_format)
        for depth in range(1, self.depths + 1):
            outer = OuterNetwork(cut(self._network(), depth), 1).eval()
            outer.link = link = InMemory(InnerNetwork(cut(self._network(), depth)).eval())
            with torch.no_grad():
                outer(images)
            ((sent, output),) = link.looks
            assert outer.channels == (sent.shape[1], output.shape[1])
            assert (sent.shape[0], *sent.shape[2:]) == (output.shape[0], *output.shape[2:])

    @pytest.mark.parametrize("depth", [0, -1, 99])
    def test_a_depth_that_does_not_exist_is_refused(self, depth: int) -> None:
        with pytest.raises(PlanError, match=f"levels 1 to {self.depths}$"):
            cut(self._network(), depth)

    def _network(self, seed: int = 1) -> nn.Module:
        torch.manual_seed(seed)
        return self.spec().build(1, self.outputs)

    def _batch(self, dtype: torch.dtype, layout: torch.memory_format) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng(5)
        images = torch.from_numpy(rng.random((3, 1, SIZE, SIZE))).to(dtype).to(memory_format=layout)
        return images, torch.from_numpy(rng.random((3, self.outputs, SIZE, SIZE))).to(dtype)

    def _by_hand(self, outer: Cut, inner: Cut, images: torch.Tensor) -> torch.Tensor:
        activation, skips = outer.head(images)
        return outer.tail(skips, inner.body(activation))


def _loss(network: object, images: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return nn.functional.mse_loss(network(images), target)  # type: ignore[operator]
