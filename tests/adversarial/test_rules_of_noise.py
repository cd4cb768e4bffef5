"""What each rule about noise prevents: how well an observer tells two inputs apart that noise should make alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from observer import CLIPPED, SIGMA, allowed, told_apart
from torch import nn

from wardround.aggregate import Mean
from wardround.checker import Combiner, Contract, Link, Mixture, Noise, Norm, Numbers, Unit, View, Weights, Work, check
from wardround.checker.mixture import Masking
from wardround.core.update import Update
from wardround.errors import PlanError
from wardround.protect.clip import Clip, clip_to_norm
from wardround.protect.pipeline import Masks, Pipeline
from wardround.protect.quantise import Quantise
from wardround.protect.sparsify import RandomK, TopK

REAL = frozenset({Numbers.REAL})
CLIP, TOPK, QUANTISE, MASKS = Pipeline((Clip(1.0), TopK(0.1), Quantise(), Masks())).links


def noise(covers: View = View.EACH, seeded: bool = False) -> Link:
    return Link("noise", Contract(REAL, Numbers.REAL, norm=Norm.INFLATES, noise=Noise(covers, Unit.SITE, seeded)))


def refuses(rule: str, mixture: Mixture, instead: Mixture) -> None:
    """See that a rule refuses a mixture, and not what should be done instead; both claim what noise they have."""
    claims = rule == "claim-without-noise" or bool(mixture.noises)
    mixture, instead = replace(mixture, claims_privacy=claims), replace(instead, claims_privacy=claims)
    with pytest.raises(PlanError) as refused:
        check(mixture)
    assert refused.value.rule == rule
    check(instead)


def test_noise_without_bound() -> None:
    """Noise made for an update of norm 1 hides no update of norm 50."""
    refuses("noise-without-bound", Mixture((noise(),)), Mixture((CLIP, noise())))
    update = {"net/a": np.array([50.0])}

    def seen(bound: float) -> float:
        sent = float(clip_to_norm(update, bound)[0]["net/a"][0])
        return told_apart(lambda there, rng: there * sent + SIGMA * rng.normal())

    assert seen(1e9) > 0.999
    assert seen(CLIPPED) < allowed(CLIPPED, SIGMA)


def test_coordinates_before_noise() -> None:
    """Which coordinate was chosen tells whether the site was there, whatever noise lies on its value."""
    refuses("coordinates-before-noise", Mixture((TOPK, CLIP, noise())), Mixture((CLIP, noise(), TOPK)))
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
    hidden = Mixture((CLIP, noise(View.SUM), QUANTISE, MASKS), masking=Masking(2, 2, 255))
    refuses("share-of-noise-seen", Mixture((CLIP, noise(View.SUM))), hidden)
    share = SIGMA / sites**0.5
    assert told_apart(lambda there, rng: there * CLIPPED + share * rng.normal()) > 0.98
    assert told_apart(lambda there, rng: there * CLIPPED + float(share * rng.normal(size=sites).sum())) < allowed(
        CLIPPED, SIGMA
    )


def test_claim_without_noise() -> None:
    """The same training gives the same update: with one record more another, every time."""
    claimed = Mixture((CLIP,), claims_privacy=True)
    refuses("claim-without-noise", claimed, Mixture((CLIP, noise()), claims_privacy=True))
    assert told_apart(lambda there, rng: there * 1e-9) == 1.0


def test_reported_weights() -> None:
    """A site that claims a thousand times its images moves the mean ten times as far as the noise is made for."""
    counted = Combiner("mean", View.SUM, Weights.REPORTED)
    refuses("reported-weights", Mixture((CLIP, noise()), aggregator=counted), Mixture((CLIP, noise())))

    def moved(weighting: str, claimed: int) -> float:
        others = [Update(f"s{i}", 0, {"x": np.zeros(1, np.float32)}, 100) for i in range(9)]
        one = Update("t", 0, {"x": np.array([CLIPPED], np.float32)}, claimed)
        return float(Mean(weighting).combine([*others, one]).mean()["x"][0])

    assert moved("uniform", 100) == moved("uniform", 100_000) == pytest.approx(CLIPPED / 10)
    assert moved("examples", 100_000) > 9.9 * moved("examples", 100)


def test_seeded_noise() -> None:
    """Whoever has the plan draws the same noise and takes it off."""
    stages = (CLIP, noise(seeded=True))
    refuses("seeded-noise", Mixture(stages, deployed=True), Mixture(stages))
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
        refuses("mixed-records", Mixture(work=replace(sound, mixes_records=True)), Mixture(work=sound))
    network = Net(nn.BatchNorm2d(4) if mixes else nn.GroupNorm(2, 4))
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(16, 1, 8, 8, generator=generator)
    images[-1] *= 100
    labels = torch.arange(16) % 2
    network(images)
    whole = clipped_sum(network, images, labels, 0.1)
    without = clipped_sum(network, images[:-1], labels[:-1], 0.1)
    assert (float((whole - without).norm()) > 0.1 * 1.001) == mixes
