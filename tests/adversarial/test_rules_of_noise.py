"""What each rule about noise prevents: how well an observer tells two inputs apart that noise should make alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import nn

from wardround.aggregate import Mean
from wardround.checker import (
    Combiner,
    Contract,
    Link,
    Masking,
    Mixture,
    Noise,
    Norm,
    Numbers,
    Unit,
    View,
    Weights,
    Work,
    check,
)
from wardround.core.update import Update
from wardround.errors import PlanError
from wardround.protect.clip import Clip, clip_to_norm
from wardround.protect.pipeline import Masks, Pipeline
from wardround.protect.quantise import Quantise
from wardround.protect.sparsify import RandomK, TopK

REAL = frozenset({Numbers.REAL})
CLIP, TOPK, QUANTISE, MASKS = Pipeline((Clip(1.0), TopK(0.1), Quantise(), Masks())).links
CLIPPED, SIGMA, DRAWS = 1.0, 2.0, 4000


def noise(covers: View = View.EACH, seeded: bool = False) -> Link:
    return Link("noise", Contract(REAL, Numbers.REAL, norm=Norm.INFLATES, noise=Noise(covers, Unit.SITE, seeded)))


def claimed(*stages: Link, **facts: Any) -> Mixture:
    """Return a mixture that claims (epsilon, delta)."""
    return Mixture(stages, claims_privacy=True, **facts)


def refuses(rule: str, mixture: Mixture, instead: Mixture) -> None:
    with pytest.raises(PlanError) as refused:
        check(mixture)
    assert refused.value.rule == rule
    check(instead)


def told_apart(draw: Callable[[bool, np.random.Generator], float]) -> float:
    """Return the share of draws that the best single threshold sorts right; half is guessing."""
    rng = np.random.default_rng(0)
    without, present = (np.array([draw(there, rng) for _ in range(DRAWS)]) for there in (False, True))
    cuts = np.quantile(np.concatenate([without, present]), np.linspace(0, 1, 201))
    return float(max(((without <= cut).mean() + (present > cut).mean()) / 2 for cut in cuts))


def allowed(distance: float, sigma: float) -> float:
    """What Gaussian noise lets the best observer get right: Phi(distance / 2 sigma), and four deviations of luck."""
    return 0.5 * (1 + math.erf(distance / sigma / 8**0.5)) + 4 * 0.5 / DRAWS**0.5


def test_noise_without_bound() -> None:
    """Noise made for an update of norm 1 hides no update of norm 50."""
    refuses("noise-without-bound", claimed(noise()), claimed(CLIP, noise()))
    update = {"net/a": np.array([50.0])}

    def seen(bound: float) -> float:
        sent = float(clip_to_norm(update, bound)[0]["net/a"][0])
        return told_apart(lambda there, rng: there * sent + SIGMA * rng.normal())

    assert seen(1e9) > 0.999
    assert seen(CLIPPED) < allowed(CLIPPED, SIGMA)


def test_coordinates_before_noise() -> None:
    """Which coordinate was chosen tells whether the site was there, whatever noise lies on its value."""
    refuses("coordinates-before-noise", claimed(TOPK, CLIP, noise()), claimed(CLIP, noise(), TOPK))
    base = np.array([1.0, 0.9, 0.0, 0.0], np.float32)
    own = np.array([0.0, 0.2, 0.0, 0.0], np.float32)

    def place(there: bool, rng: np.random.Generator, noisy_first: bool) -> float:
        value = base + there * own
        if noisy_first:
            value = value + np.asarray(SIGMA * rng.normal(size=4), np.float32)
        return float(np.argmax(TopK(0.25).encode({"x": value}, tiny.context())["x"] != 0))

    assert told_apart(lambda there, rng: place(there, rng, False)) == 1.0
    assert told_apart(lambda there, rng: place(there, rng, True)) < allowed(0.2, SIGMA)
    places = RandomK(0.25).encode({"x": base}, tiny.context())["x"] != 0
    np.testing.assert_array_equal(RandomK(0.25).encode({"x": base + 3}, tiny.context())["x"] != 0, places)


def test_share_of_noise_seen() -> None:
    """Of a hundred sites each adds a hundredth of the variance: enough for the sum, nothing for one update."""
    sites = 100
    masking = Masking(60, 2, 255)
    hidden = claimed(CLIP, noise(View.SUM), QUANTISE, MASKS, masking=masking)
    refuses("share-of-noise-seen", claimed(CLIP, noise(View.SUM)), hidden)
    share = SIGMA / sites**0.5
    assert told_apart(lambda there, rng: there * CLIPPED + share * rng.normal()) > 0.98
    assert told_apart(lambda there, rng: there * CLIPPED + float(share * rng.normal(size=sites).sum())) < allowed(
        CLIPPED, SIGMA
    )


def test_claim_without_noise() -> None:
    """The same training gives the same update: with one record more another, every time."""
    refuses("claim-without-noise", claimed(CLIP), claimed(CLIP, noise()))
    assert told_apart(lambda there, rng: there * 1e-9) == 1.0


def test_reported_weights() -> None:
    """A site that claims a thousand times its images moves the mean ten times as far as the noise is made for."""
    counted = Combiner("mean", View.SUM, Weights.REPORTED)
    refuses("reported-weights", claimed(CLIP, noise(), aggregator=counted), claimed(CLIP, noise()))

    def moved(weighting: str, images: int) -> float:
        others = [Update(f"s{i}", 0, {"x": np.zeros(1, np.float32)}, 100) for i in range(9)]
        one = Update("t", 0, {"x": np.array([CLIPPED], np.float32)}, images)
        return float(Mean(weighting).combine([*others, one]).mean()["x"][0])

    assert moved("uniform", 100) == moved("uniform", 100_000) == pytest.approx(CLIPPED / 10)
    assert moved("examples", 100_000) > 9.9 * moved("examples", 100)


def test_seeded_noise() -> None:
    """Whoever has the plan draws the same noise and takes it off."""
    stages = (CLIP, noise(seeded=True))
    refuses("seeded-noise", claimed(*stages, deployed=True), claimed(*stages))
    update = np.linspace(-1, 1, 9)
    sent = update + SIGMA * tiny.context(0, "east").rng("noise").normal(size=9)
    np.testing.assert_allclose(sent - SIGMA * tiny.context(0, "east").rng("noise").normal(size=9), update)


class Net(nn.Module):
    """A convolution and a norm of some kind."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Conv2d(1, 4, 3), norm, nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.layers(images)
        return found


def clipped_sum(network: nn.Module, images: torch.Tensor, labels: torch.Tensor, bound: float) -> torch.Tensor:
    """The sum of the gradients of each record's loss, each clipped: what DP-SGD adds noise to."""
    total: torch.Tensor | float = 0.0
    losses = nn.functional.cross_entropy(network(images), labels, reduction="none")
    for loss in losses:
        gradients = torch.autograd.grad(loss, list(network.parameters()), retain_graph=True)
        row = torch.cat([gradient.reshape(-1) for gradient in gradients])
        total = total + row * min(1.0, bound / float(row.norm()))
    assert isinstance(total, torch.Tensor)
    return total


@pytest.mark.parametrize("mixes", [True, False])
def test_mixed_records(mixes: bool) -> None:
    """One record taken away moves a sum of clipped gradients by more than the clip, through the others' statistics."""
    if mixes:
        sound = Work(bounds_records=True, noise=Noise(View.EACH, Unit.RECORD))
        refuses("mixed-records", claimed(work=replace(sound, mixes_records=True)), claimed(work=sound))
    network = Net(nn.BatchNorm2d(4) if mixes else nn.GroupNorm(2, 4))
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(16, 1, 8, 8, generator=generator)
    images[-1] *= 100
    labels = torch.arange(16) % 2
    network(images)
    whole = clipped_sum(network, images, labels, 0.1)
    without = clipped_sum(network, images[:-1], labels[:-1], 0.1)
    assert (float((whole - without).norm()) > 0.1 * 1.001) == mixes
