"""What an attacker learns of the plan's defence before it attacks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from contracts.defence_contract import TASK, images

from wardround.attacks.inversion.knowing import Wiener
from wardround.attacks.inversion.observation import Observation
from wardround.attacks.wiretap import Sighting
from wardround.data.sites import SiteData
from wardround.study import attacker
from wardround.study.spec import parse

HELD = images()


def clean_ups(defence: dict[str, Any]) -> dict[str, Any]:
    """Return what the attacker of a plan with this defence has."""
    victim = parse({"name": "known", "model": {"name": "flat_cnn", "width": 8}, "defence": defence})
    network = TASK.build(0)
    slopes = [torch.zeros_like(value) for value in network.parameters()]
    seen = Observation.of_gradients(network, slopes, (3, 16, 16), 1)
    sites = {"east": SiteData(HELD, HELD, HELD)}
    return attacker.learned_clean_ups(victim, sites, HELD, Sighting(0, ("east",), seen), 1)


def test_who_knows_the_policies_of_ats_takes_them_back_and_others_have_nothing_to_take_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attacker, "knowing", lambda pairs, _: {"wiener": Wiener(pairs)})  # no network to train
    known = clean_ups({"name": "ats", "policies": "13+17"})
    assert set(known) == {"wiener", "undo 13", "undo 17"}
    image = HELD.batch(np.array([2]))[0].astype(np.float32) / 255
    np.testing.assert_allclose(known["undo 13"](1 - image), image, atol=1e-6)
    assert set(clean_ups({"name": "gaussian_images"})) == {"wiener"}
    assert clean_ups({"name": "pruning"}) == {}
