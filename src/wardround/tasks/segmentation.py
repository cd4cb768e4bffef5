"""Segmentation: images to a region for each pixel."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from wardround.data.catalogue import Masked, Source
from wardround.data.images import LabelledImages
from wardround.data.prepare import Decoding
from wardround.data.sites import SiteData
from wardround.errors import DataError, PlanError
from wardround.metrics.measures import SEGMENTATION, ImageMeasures
from wardround.metrics.scores import Scores
from wardround.metrics.segmentation import score_masks
from wardround.tasks.base import Network, batches, fresh
from wardround.tasks.inputs import to_input
from wardround.tasks.models import ModelSpec

MASKS_AT_A_TIME = 64


@dataclass(frozen=True)
class Segment:
    """The choice of `Segmentation`: ``name = "segmentation"`` in ``[task]``.

    Attributes:
        dice: weight of the Dice loss, >= 0.
        cross_entropy: weight of the cross-entropy of single pixels, >= 0; not both weights are 0.
    """

    name: ClassVar[str] = "segmentation"
    answers: ClassVar[str] = "pixel"
    keeps_levels: ClassVar[bool] = False

    dice: float = 1.0
    cross_entropy: float = 1.0

    def __post_init__(self) -> None:
        """Refuse weights that leave no loss.

        Raises:
            PlanError: a weight is negative or not finite, or both are 0.
        """
        weights = (self.dice, self.cross_entropy)
        if not all(0 <= weight < math.inf for weight in weights) or not any(weights):
            raise PlanError("task dice and cross_entropy are weights of the loss: give numbers from 0 on, not both 0")

    def load(self, source: Source, root: Path | None, how: Decoding | None = None) -> LabelledImages:
        """Return the images with their masks.

        Raises:
            DataError: the source has none.
        """
        if not isinstance(source, Masked):
            raise DataError(
                f"{type(source).__name__} images have no masks, which segmentation learns from: choose source = "
                '"ham10000", "slide" or a "manifest" with the column mask'
            )
        return source.load_masked(root, how)

    def completed(self, dealt: Mapping[str, SiteData], seed: int, whole: bool) -> dict[str, SiteData]:
        """Return the sites' images as they are."""
        return dict(dealt)

    def names(self, images: LabelledImages) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the regions, the background first; none counts as malignant."""
        return (images.masks.regions if images.masks is not None else ()), ()

    def task(
        self, model: ModelSpec, channels: int, classes: tuple[str, ...], malignant: tuple[str, ...] = ()
    ) -> Segmentation:
        """Return the task; see there."""
        return Segmentation(model, channels, classes, self.dice, self.cross_entropy)


@dataclass(frozen=True)
class Segmentation:
    """What the sites learn together: a network from images to the region of each pixel; implements `base.Task`.

    Attributes:
        model: spec of the network.
        channels: 1 (grey) or 3 (RGB).
        classes: names of the regions, in the order of the logits, the background first.
        dice: weight of the Dice loss.
        cross_entropy: weight of the cross-entropy.
    """

    model: ModelSpec
    channels: int
    classes: tuple[str, ...]
    dice: float = 1.0
    cross_entropy: float = 1.0

    on_grid: ClassVar[bool] = True
    shows: ClassVar[tuple[str, ...]] = ("image", "truth", "answer")
    malignant: ClassVar[tuple[str, ...]] = ()
    measures: ClassVar[ImageMeasures] = SEGMENTATION

    @property
    def facts(self) -> dict[str, Any]:
        """Regions and channels."""
        return {"task": Segment.name, "classes": self.classes, "channels": self.channels}

    def build(self, seed: int) -> nn.Module:
        """Return a freshly initialised network; the same weights for the same seed and build of torch."""
        return fresh(self.model, seed, self.channels, len(self.classes))

    def targets(self, images: LabelledImages, rows: np.ndarray) -> torch.Tensor:
        """Return the masks, int64 ``(len(rows), H, W)``."""
        return torch.from_numpy(images.mask_batch(rows).astype(np.int64))

    def loss(self, network: Network, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the weighted sum of the Dice loss and the mean cross-entropy of all pixels.

        The Dice loss is ``1 - (2 Σ p t + 1) / (Σ p + Σ t + 1)`` of each image and each region but the background, with
        the probabilities p, and then the mean (Milletari et al. 2016, arXiv:1606.04797, with sums in place of sums of
        squares): image by image, so that a batch is the mean of its images however it is cut.

        Args:
            network: from float ``(B, C, H, W)`` to logits ``(B, K, H, W)``.
            inputs: float ``(B, C, H, W)``.
            targets: int64 ``(B, H, W)``.
        """
        logits = self._logits(network, inputs)
        overlap = dice_loss(torch.softmax(logits, dim=1), targets) if self.dice else logits.new_zeros(())
        return self.dice * overlap + self.cross_entropy * nn.functional.cross_entropy(logits, targets)

    def answer(self, network: Network, inputs: torch.Tensor) -> np.ndarray:
        """Return the most probable region of each pixel, uint8 ``(B, H, W)``."""
        return self._logits(network, inputs).argmax(dim=1).to(torch.uint8).cpu().numpy()

    def evaluate(self, network: nn.Module, images: LabelledImages) -> Scores:
        """Return Dice, IoU and HD95 of each image, with the network in evaluation mode.

        Raises:
            DataError: the images have no masks.
        """
        if images.masks is None:
            raise DataError("the images have no masks: choose a source that has, or another task")
        truth, said = images.mask_batch(slice(None)), self._said(network, images)
        return score_masks(truth, said, len(self.classes), images.masks.spacing_of(images.rows), images.groups)

    def pictures(self, network: nn.Module, images: LabelledImages) -> dict[str, np.ndarray]:
        """Return images, true masks and predicted ones."""
        return {
            "image": images.batch(slice(None)),
            "truth": images.mask_batch(slice(None))[..., None],
            "answer": self._said(network, images)[..., None],
        }

    def _said(self, network: nn.Module, images: LabelledImages) -> np.ndarray:
        device = next(network.eval().parameters()).device
        said = [np.zeros((0, *images.shape[:2]), np.uint8)]
        with torch.inference_mode():
            for rows in batches(len(images), MASKS_AT_A_TIME):
                said.append(self.answer(network, to_input(images.fed(rows), device)))
        return np.concatenate(said)

    def counts(self, images: LabelledImages) -> np.ndarray:
        """Return how many images show each region."""
        found = np.zeros(len(self.classes), np.int64)
        for rows in batches(len(images), MASKS_AT_A_TIME):
            masks = images.mask_batch(rows)
            found += [int((masks == region).any(axis=(1, 2)).sum()) for region in range(len(self.classes))]
        return found

    def _logits(self, network: Network, inputs: torch.Tensor) -> torch.Tensor:
        logits = network(inputs)
        if logits.shape != (len(inputs), len(self.classes), *inputs.shape[2:]):
            raise PlanError(
                f"{type(network).__name__} answers {tuple(inputs.shape)} with {tuple(logits.shape)}, and segmentation "
                f"needs {len(self.classes)} logits for each pixel: choose a network such as MONAI's BasicUNet, and a "
                "size that it can halve as often as it does"
            )
        return logits.float()


def dice_loss(probabilities: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the mean Dice loss over images and regions but the background; see `Segmentation.loss`.

    Args:
        probabilities: float ``(B, K, H, W)``, which sum to one over the regions.
        targets: int64 ``(B, H, W)``.
    """
    regions = torch.arange(1, probabilities.shape[1], device=targets.device).reshape(1, -1, 1, 1)
    truth = (targets[:, None] == regions).to(probabilities.dtype)
    said = probabilities[:, 1:]
    shared = (said * truth).sum(dim=(2, 3))
    return (1 - (2 * shared + 1) / (said.sum(dim=(2, 3)) + truth.sum(dim=(2, 3)) + 1)).mean()
