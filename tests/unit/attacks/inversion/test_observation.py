from __future__ import annotations

import pytest
import torch
from victims import SIZE_PX, network

from wardround.attacks import LocalSteps, Observation
from wardround.errors import PlanError

SHAPE = (3, SIZE_PX, SIZE_PX)


def slopes(victim: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: torch.ones_like(value) for name, value in victim.named_parameters()}


def test_dropout_is_off_and_the_rest_trains() -> None:
    victim = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(0.5), torch.nn.Linear(3 * SIZE_PX**2, 2))
    seen = Observation(victim, slopes(victim), SHAPE, 1)
    images = torch.randn(4, *SHAPE)
    assert torch.equal(seen.answers(images), seen.answers(images))
    assert victim.training
    assert not victim[1].training
    assert seen.num_classes == 2


def test_pixels_go_there_and_back() -> None:
    victim = network()
    seen = Observation(victim, slopes(victim), SHAPE, 1, limits=(-1.0, 3.0))
    images = torch.rand(2, *SHAPE)
    torch.testing.assert_close(seen.in_unit(seen.in_limits(images)), images)
    assert seen.in_unit(torch.tensor([-9.0, 9.0])).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gradient": {}}, "is trained and has no gradient"),
        ({"num_images": 3, "work": LocalSteps(2)}, "cannot be dealt out"),
        ({"num_images": 3, "shares": (0.5, 0.5)}, "cannot be dealt out"),
        ({"num_images": 2, "shares": (0.5, 0.6)}, "have sum 1"),
    ],
)
def test_what_does_not_belong_together_is_refused(changes: dict, said: str) -> None:
    victim = network()
    with pytest.raises(PlanError, match=said):
        Observation(**{"network": victim, "gradient": slopes(victim), "shape": SHAPE, "num_images": 1, **changes})


def test_gradients_that_are_not_finite_are_refused() -> None:
    victim = network()
    bad = slopes(victim)
    bad["0.weight"][0] = torch.nan
    with pytest.raises(PlanError, match="not finite"):
        Observation(victim, bad, SHAPE, 1)


@pytest.mark.parametrize("work", [(0, 1.0), (1, 0.0), (1, float("inf"))])
def test_local_work_is_steps_at_a_rate(work: tuple[int, float]) -> None:
    with pytest.raises(PlanError, match="local step"):
        LocalSteps(*work)
