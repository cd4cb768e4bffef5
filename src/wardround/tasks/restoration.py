"""Restoration: what a scanner saw, back to the clean image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from wardround.data.catalogue import Source
from wardround.data.degradations import AnyDegradation, PhotonNoise, refuse_ambiguous
from wardround.data.degraded import degraded, to_grey
from wardround.data.images import LabelledImages
from wardround.data.prepare import Decoding
from wardround.data.sites import SiteData
from wardround.errors import DataError, PlanError
from wardround.metrics.image_quality import WINDOW_PX, score_images
from wardround.metrics.measures import RESTORATION, ImageMeasures
from wardround.metrics.scores import Scores
from wardround.tasks.base import Network, batches, fresh
from wardround.tasks.inputs import to_input
from wardround.tasks.models import ModelSpec

IMAGES_AT_A_TIME = 64


@dataclass(frozen=True)
class Restore:
    """The choice of `Restoration`: ``name = "restoration"`` in ``[task]``.

    Colour images are turned grey first.

    Attributes:
        residual: whether the network gives the difference between what was seen and the clean image, which is easier
            to learn; off for a network that adds its input by itself, as RED-CNN does.
        degradation: what each site's scanner does (``[[task.degradation]]``).
    """

    name: ClassVar[str] = "restoration"
    answers: ClassVar[str] = "pixel"
    keeps_levels: ClassVar[bool] = True

    residual: bool = False
    degradation: tuple[AnyDegradation, ...] = (PhotonNoise(),)

    def __post_init__(self) -> None:
        """Refuse degradations from which a site could not tell its own.

        Raises:
            PlanError: see `refuse_ambiguous`.
        """
        refuse_ambiguous(self.degradation)

    def load(self, source: Source, root: Path | None, how: Decoding | None = None) -> LabelledImages:
        """Return the clean images in grey.

        Raises:
            DataError: they are smaller than the window of SSIM.
        """
        images = source.load(root, how)
        if min(images.shape[:2]) < WINDOW_PX:
            raise DataError(f"restoration is measured in windows of {WINDOW_PX} pixels: give a larger data.size_px")
        return replace(images, pixels=to_grey(np.asarray(images.pixels)))

    def completed(self, dealt: Mapping[str, SiteData], seed: int, whole: bool) -> dict[str, SiteData]:
        """Return the sites' images with what their scanners see.

        Raises:
            PlanError: a site has no degradation, or one names a site that is not there.
        """
        named = {site for each in self.degradation for site in each.sites}
        if whole and (strange := sorted(named - set(dealt))):
            raise PlanError(f"task.degradation names site {strange[0]!r}, but the sites are {', '.join(dealt)}")
        return degraded(dealt, self.degradation, seed)

    def names(self, images: LabelledImages) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return nothing: there are no classes."""
        return (), ()

    def task(
        self, model: ModelSpec, channels: int, classes: tuple[str, ...], malignant: tuple[str, ...] = ()
    ) -> Restoration:
        """Return the task; see there."""
        return Restoration(model, channels, self.residual)


@dataclass(frozen=True)
class Restoration:
    """What the sites learn together: a network from what was seen to the clean image; implements `base.Task`.

    The network is fed grey levels from 0 to 1, and gives them.

    Attributes:
        model: spec of the network.
        channels: of an image.
        residual: whether the network's answer is added to its input.
    """

    model: ModelSpec
    channels: int
    residual: bool = False

    on_grid: ClassVar[bool] = True
    shows: ClassVar[tuple[str, ...]] = ("seen", "answer", "clean")
    classes: ClassVar[tuple[str, ...]] = ()
    malignant: ClassVar[tuple[str, ...]] = ()
    measures: ClassVar[ImageMeasures] = RESTORATION

    @property
    def facts(self) -> dict[str, Any]:
        """Channels."""
        return {"task": Restore.name, "classes": (), "channels": self.channels}

    def build(self, seed: int) -> nn.Module:
        """Return a freshly initialised network; the same weights for the same seed and build of torch."""
        return fresh(self.model, seed, self.channels, self.channels)

    def targets(self, images: LabelledImages, rows: np.ndarray) -> torch.Tensor:
        """Return the clean images, float32 ``(len(rows), C, H, W)`` from 0 to 1."""
        return torch.from_numpy(images.batch(rows)).permute(0, 3, 1, 2).float().div_(255)

    def loss(self, network: Network, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean squared error of all pixels: inputs as `to_input` makes them, targets from 0 to 1."""
        return nn.functional.mse_loss(self._restored(network, inputs), targets)

    def answer(self, network: Network, inputs: torch.Tensor) -> np.ndarray:
        """Return the restored images, float32 ``(B, H, W, C)`` from 0 to 1."""
        return np.asarray(self._restored(network, inputs).detach().clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy())

    def evaluate(self, network: nn.Module, images: LabelledImages) -> Scores:
        """Return PSNR, SSIM, RMSE and gain of each image, with the network in evaluation mode."""
        clean, seen = images.batch(slice(None)) / 255, images.fed(slice(None)) / 255
        return score_images(clean, seen, self._said(network, images), images.groups)

    def pictures(self, network: nn.Module, images: LabelledImages) -> dict[str, np.ndarray]:
        """Return what was seen, the restored images and the clean ones."""
        restored = np.rint(self._said(network, images) * 255).astype(np.uint8)
        return {"seen": images.fed(slice(None)), "answer": restored, "clean": images.batch(slice(None))}

    def _said(self, network: nn.Module, images: LabelledImages) -> np.ndarray:
        device = next(network.eval().parameters()).device
        restored = [np.zeros((0, *images.shape), np.float32)]
        with torch.inference_mode():
            for rows in batches(len(images), IMAGES_AT_A_TIME):
                restored.append(self.answer(network, to_input(images.fed(rows), device)))
        return np.concatenate(restored)

    def counts(self, images: LabelledImages) -> np.ndarray:
        """Return nothing: there are no classes."""
        return np.zeros(0, np.int64)

    def _restored(self, network: Network, inputs: torch.Tensor) -> torch.Tensor:
        seen = inputs.add(2).div(4)
        found = network(seen)
        if found.shape != seen.shape:
            raise PlanError(
                f"{type(network).__name__} answers {tuple(seen.shape)} with {tuple(found.shape)}, and restoration "
                "needs an image for each image: choose a network such as MONAI's BasicUNet, and a size that it can "
                "halve as often as it does"
            )
        return (found + seen if self.residual else found).float()
