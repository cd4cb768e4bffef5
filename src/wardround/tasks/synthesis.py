"""Synthesis: noise and a class to an image that no patient has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from wardround.core.context import derive_seed
from wardround.data.catalogue import Source
from wardround.data.images import LabelledImages
from wardround.data.prepare import Decoding
from wardround.data.sites import SiteData
from wardround.errors import PlanError
from wardround.metrics.features import FeaturePairs
from wardround.metrics.measures import SampleMeasures
from wardround.tasks.base import EVALUATION_BATCH, Network, batches, fresh
from wardround.tasks.models import ModelSpec
from wardround.tasks.models.dcgan import Adversaries
from wardround.tasks.models.diffusion import Diffusion
from wardround.tasks.models.making import Maker
from wardround.tasks.random_features import random_features


@dataclass(frozen=True)
class Synthesise:
    """The choice of `Synthesis`: ``name = "synthesis"`` in ``[task]``."""

    name: ClassVar[str] = "synthesis"
    answers: ClassVar[str] = "sample"
    keeps_levels: ClassVar[bool] = False

    def load(self, source: Source, root: Path | None, how: Decoding | None = None) -> LabelledImages:
        """Return the images as they are: they bring their labels."""
        return source.load(root, how)

    def completed(self, dealt: Mapping[str, SiteData], seed: int, whole: bool) -> dict[str, SiteData]:
        """Return the sites' images as they are."""
        return dict(dealt)

    def names(self, images: LabelledImages) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the classes of the images; none counts as malignant."""
        return images.classes, ()

    def task(
        self, model: ModelSpec, channels: int, classes: tuple[str, ...], malignant: tuple[str, ...] = ()
    ) -> Synthesis:
        """Return the task; see there."""
        return Synthesis(model, channels, classes)


@dataclass(frozen=True)
class Synthesis:
    """What the sites learn together: a generator of images of each class; implements `base.Task`.

    The network is a pair of `Adversaries`, or a `Denoiser`. What is evaluated is what it makes, in evaluation mode: for
    each real image one synthetic image of the same class, so that both sets show the classes equally often.

    Attributes:
        model: spec of the network.
        channels: 1 (grey) or 3 (RGB).
        classes: their names, in the order of the numbers that the generator is told.
    """

    model: ModelSpec
    channels: int
    classes: tuple[str, ...]

    on_grid: ClassVar[bool] = False
    shows: ClassVar[tuple[str, ...]] = ()
    malignant: ClassVar[tuple[str, ...]] = ()

    @property
    def measures(self) -> SampleMeasures:
        """Distances between real and synthetic images on random features, and how the two overlap."""
        return SampleMeasures(self.classes)

    @property
    def facts(self) -> dict[str, Any]:
        """Classes and channels."""
        return {"task": Synthesise.name, "classes": self.classes, "channels": self.channels}

    def build(self, seed: int) -> nn.Module:
        """Return freshly initialised networks; the same weights for the same seed and build of torch."""
        return fresh(self.model, seed, self.channels, len(self.classes))

    def targets(self, images: LabelledImages, rows: np.ndarray) -> torch.Tensor:
        """Return the labels, int64 ``(len(rows),)``."""
        return torch.from_numpy(images.labels[rows])

    def inputs(self, labels: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Return what the generator is fed: noise ``(B, latent)`` with a one in the column of each label ``(B,)``."""
        told = nn.functional.one_hot(labels, len(self.classes)).to(noise.dtype)
        return torch.cat([noise, told], dim=1)

    def loss(self, network: Network, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return a denoiser's loss, or a discriminator's on real images beside as many synthetic ones of their classes.

        Args:
            network: `Denoiser`, or `Adversaries`.
            inputs: float ``(B, C, H, W)``, the real images.
            targets: int64 ``(B,)``, their classes.

        Raises:
            PlanError: the network makes images of another size.
        """
        if isinstance(self.model, Diffusion):
            refuse_other_size((self.model.size_px,) * 2, inputs.shape[2:])
            return self.model.loss(network, inputs, targets)
        pair = adversaries(network)
        with torch.no_grad():
            noise = torch.randn(len(targets), pair.latent, device=inputs.device)
            made = pair.generator(self.inputs(targets, noise))
        return discriminator_loss(pair.discriminator, inputs, made, targets)

    def answer(self, network: Network, inputs: torch.Tensor) -> np.ndarray:
        """Return the images, uint8 ``(B, H, W, C)``, that a generator makes of `inputs`; see there."""
        levels = network(inputs).detach().add(2).mul(63.75).round().clamp(0, 255)
        return levels.to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()

    def draw(self, network: nn.Module, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return one synthetic image for each label, uint8 ``(N, H, W, C)``; the network in evaluation mode.

        Args:
            network: a `Maker`.
            labels: int64 ``(N,)``.
            rng: of the noise.
        """
        levels: np.ndarray = np.rint(self.levels(network, labels, rng) * 255).clip(0, 255).astype(np.uint8)
        return levels

    def levels(self, network: nn.Module, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return what `draw` rounds: float32 ``(N, H, W, C)``, from 0 to 1."""
        maker = maker_of(network.eval())
        device = next(network.parameters()).device
        noise = rng.standard_normal((len(labels), maker.latent)).astype(np.float32)
        made = [np.zeros((0, maker.size_px, maker.size_px, self.channels), np.float32)]
        with torch.inference_mode():
            for rows in batches(len(labels), EVALUATION_BATCH):
                told = self.inputs(torch.from_numpy(labels[rows]), torch.from_numpy(noise[rows]))
                made.append(maker.make(told.to(device)).add(2).div(4).permute(0, 2, 3, 1).cpu().numpy())
        return np.concatenate(made)

    def evaluate(self, network: nn.Module, images: LabelledImages) -> FeaturePairs:
        """Return features of the real images, and of as many synthetic ones of their classes.

        The noise follows from the site that each image comes from and its place there, so that a pooled and a federated
        run are measured with the same noise.
        """
        made = np.zeros((len(images), *images.shape), np.uint8)
        for origin in np.unique(images.origins).tolist():
            mine = np.flatnonzero(images.origins == origin)
            rng = np.random.default_rng(derive_seed("synthesis", origin))
            drawn = self.draw(network, images.labels[mine], rng)
            refuse_other_size(drawn.shape[1:3], images.shape[:2])
            made[mine] = drawn
        real = random_features(images.batch(slice(None)))
        return FeaturePairs(real, random_features(made), images.labels, images.groups)

    def pictures(self, network: nn.Module, images: LabelledImages) -> dict[str, np.ndarray]:
        """Return nothing: synthetic images are made from the trained model; see `study.synthetic`."""
        return {}

    def counts(self, images: LabelledImages) -> np.ndarray:
        """Return how many images have each label."""
        return images.label_counts()


def maker_of(network: Network) -> Maker:
    """Return the network as what makes images.

    Raises:
        PlanError: it makes none.
    """
    if not isinstance(network, Maker):
        raise PlanError(f"{type(network).__name__} makes no images: choose the model dcgan, style_gan or diffusion")
    return network


def adversaries(network: Network) -> Adversaries:
    """Return the network as the pair that synthesis trains.

    Raises:
        PlanError: it is no such pair.
    """
    if not isinstance(network, Adversaries):
        raise PlanError(f"{type(network).__name__} makes no images: choose the model dcgan or style_gan for synthesis")
    return network


def discriminator_loss(
    discriminator: nn.Module, real: torch.Tensor, made: torch.Tensor, classes: torch.Tensor
) -> torch.Tensor:
    """Return the mean binary cross-entropy of telling real images from synthetic ones of the same classes.

    Both are judged in one pass, which a discriminator without statistics of its batch does not notice.

    Raises:
        PlanError: real and synthetic images have different sizes.
    """
    refuse_other_size(made.shape[2:], real.shape[2:])
    logits = discriminator(torch.cat([real, made]), torch.cat([classes, classes]))
    signs = torch.ones_like(logits)
    signs[: len(real)] = -1
    return nn.functional.softplus(signs * logits).mean() * 2


def generator_loss(discriminator: nn.Module, made: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Return the mean of ``-log`` of the probability that a synthetic image is taken for real (Goodfellow 2014)."""
    return nn.functional.softplus(-discriminator(made, classes)).mean()


def refuse_other_size(made: tuple[int, ...], real: tuple[int, ...]) -> None:
    """Refuse a generator whose images have another size than the real ones.

    Raises:
        PlanError: they have.
    """
    if tuple(made) != tuple(real):
        raise PlanError(
            f"the generator makes images of {made[0]} x {made[1]} pixels, the real ones have {real[0]} x {real[1]}: "
            "give [model] and [data] the same size_px"
        )
