"""Images without their own light: a colour cast and a lamp leave no trace."""

from __future__ import annotations

import pytest
import torch

from wardround.errors import PlanError
from wardround.tasks.models import ResNet18, SmallCnn
from wardround.tasks.models.light import LIGHTS

IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
CAST = torch.tensor([0.5, 0.0, -0.5]).reshape(1, 3, 1, 1)


@pytest.mark.parametrize("model", [SmallCnn, ResNet18])
@pytest.mark.parametrize(
    ("light", "sees_colour", "sees_brightness"), [("kept", 1, 1), ("grey_world", 0, 1), ("centred", 0, 0)]
)
def test_what_is_taken_away_changes_nothing(model: type, light: str, sees_colour: int, sees_brightness: int) -> None:
    torch.manual_seed(1)
    network = model(width=8, light=light).build(3, 5).eval()
    with torch.no_grad():
        plain = network(IMAGES)
        for shift, seen in ((CAST, sees_colour), (torch.full_like(CAST, 0.5), sees_brightness)):
            assert torch.allclose(network(IMAGES + shift), plain, atol=1e-4) is not bool(seen)


@pytest.mark.parametrize("model", [SmallCnn, ResNet18])
def test_weights_have_the_same_names_and_values_with_and_without(model: type) -> None:
    states = []
    for light in LIGHTS:
        torch.manual_seed(2)
        states.append(model(width=8, light=light).build(3, 5).state_dict())
    assert states[0].keys() == states[1].keys() == states[2].keys()
    assert all(torch.equal(value, states[2][name]) for name, value in states[0].items())


def test_a_light_that_is_none_is_refused() -> None:
    for model in (SmallCnn, ResNet18):
        with pytest.raises(PlanError, match="model light"):
            model(light="bright")
