"""What every defence of `DEFENCES` must do."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from wardround.algorithms import LocalSgd, Training
from wardround.algorithms.base import LocalResult
from wardround.algorithms.defences import Batch, Defence, Scene
from wardround.core.context import RoundContext
from wardround.core.update import Tensors, in_group
from wardround.data.images import LabelledImages
from wardround.errors import PlanError
from wardround.tasks.classification import Classification, weights_of
from wardround.tasks.models import FlatCnn

SIZE_PX, COUNT = 16, 10
TASK = Classification(FlatCnn(8), 3, ("dark", "light"))


def images(seed: int = 0) -> LabelledImages:
    """Return ten smooth images of a site."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.random((COUNT, 3, 4, 4), dtype=np.float32))
    fine = nn.functional.interpolate(coarse, SIZE_PX, mode="bicubic").clamp(0.1, 0.9)
    pixels = np.ascontiguousarray((fine * 255).to(torch.uint8).permute(0, 2, 3, 1).numpy())
    labels = np.arange(COUNT) % 2
    names = np.array([f"patient {index}" for index in range(COUNT)])
    where, part = np.full(COUNT, "east"), np.full(COUNT, "")
    return LabelledImages(pixels, np.arange(COUNT), labels, where, names, TASK.classes, (), part, True)


def context(index: int = 0, seed: int | None = 1) -> RoundContext:
    """Return a place in a run of four rounds."""
    return RoundContext(seed, index, 4, ("east",), 1, "east")


class DefenceContract:
    """Join with one line: ``class TestMine(DefenceContract): defence = Mine(…)``, seeded where it draws."""

    defence: Defence
    training = Training(steps=2, batch_size=4, learning_rate=0.1, precision="float32")

    def trained(self, defence: Defence | None = None, memory: Tensors | None = None, index: int = 0) -> LocalResult:
        """Return what a site makes of one round."""
        local = LocalSgd(self.training, defence=defence or self.defence)
        network = TASK.build(0)
        return local.run(TASK, network, images(), weights_of(network), memory or {}, context(index))

    def scene(self, memory: Tensors | None = None, index: int = 0, seed: int | None = 1) -> Scene:
        """Return where the defence begins."""
        return Scene(TASK, TASK.build(0).train(), images(), memory or {}, context(index, seed))

    def batch(self, rows: tuple[int, ...] = (1, 4, 7)) -> Batch:
        """Return some of the site's images."""
        held = images()
        pixels = torch.from_numpy(held.batch(np.array(rows))).permute(0, 3, 1, 2).float() / 63.75 - 2
        return Batch(rows, pixels, torch.from_numpy(held.labels[list(rows)]))

    def test_the_update_changes_and_keeps_names_shapes_and_kinds(self) -> None:
        plain, defended = LocalSgd(self.training), self.trained()
        network = TASK.build(0)
        before = plain.run(TASK, network, images(), weights_of(network), {}, context()).change
        assert {n: (v.shape, v.dtype) for n, v in defended.change.items()} == {
            n: (v.shape, v.dtype) for n, v in before.items()
        }
        assert all(np.isfinite(value).all() for value in defended.change.values())
        assert any((defended.change[name] != value).any() for name, value in before.items())

    def test_the_same_seed_gives_the_same_bits_also_in_the_second_round(self) -> None:
        ends = []
        for _ in range(2):
            first = self.trained()
            ends.append([first.change, self.trained(memory=first.memory, index=1).change])
        for one, other in zip(*ends, strict=True):
            assert all(value.tobytes() == other[name].tobytes() for name, value in one.items())

    def test_what_it_keeps_is_arrays_in_a_group_of_its_own(self) -> None:
        memory = self.trained().memory
        assert all(name.startswith("defence/") and isinstance(value, np.ndarray) for name, value in memory.items())
        kept = self.defence.begin(self.scene()).keep()
        assert set(memory) == set(in_group(kept, "defence"))

    def test_beginning_leaves_the_network_alone(self) -> None:
        scene = self.scene()
        before = {name: value.clone() for name, value in scene.network.state_dict().items()}
        running = self.defence.begin(scene)
        running.disguise(self.batch())
        assert scene.network.training
        assert all(torch.equal(value, before[name]) for name, value in scene.network.state_dict().items())
        assert all(value.grad is None for value in scene.network.parameters())
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in scene.network.modules())

    def test_only_those_that_say_so_disguise_images(self) -> None:
        batch = self.batch()
        true = batch.inputs.clone()
        fed = self.defence.begin(self.scene()).disguise(batch)
        assert fed.shape == true.shape
        assert torch.equal(batch.inputs, true)
        assert (not torch.equal(fed, true)) == self.defence.disguises

    def test_numbers_out_of_range_are_refused_by_name(self) -> None:
        defence: Any = self.defence
        for field in dataclasses.fields(defence):
            wrong = "no such word" if field.type == "str" else -1
            with pytest.raises(PlanError, match="defence"):
                dataclasses.replace(defence, **{field.name: wrong})
