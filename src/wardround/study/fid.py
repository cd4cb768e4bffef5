"""FID and KID of a finished run, with weights of Inception that the user supplies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wardround.data.decode import with_progress
from wardround.data.images import PARTS
from wardround.errors import InputError
from wardround.metrics.synthesis import frechet_distance, kernel_distance
from wardround.study.build import joined, sites_of
from wardround.study.folder import RunFolder
from wardround.study.predict import loaded_generator
from wardround.study.synthetic import drawn
from wardround.tasks.inception_features import BATCH, inception_features
from wardround.tasks.inception_weights import PUBLISHED_FILE, Weighted
from wardround.tasks.models.inception import FEATURES


@dataclass(frozen=True)
class InceptionDistances:
    """How far synthetic images are from real ones, on Inception's features.

    Attributes:
        frechet: squared Fréchet distance.
        kernel: squared maximum mean discrepancy; see `metrics.synthesis.kernel_distance`.
        images: how many of each side.
        part: whose real images.
        size_px: of both before they were scaled for the network.
        published: whether the weights are those that FID is defined on; only then the two are called FID and KID.
    """

    frechet: float
    kernel: float
    images: int
    part: str
    size_px: int
    published: bool

    @property
    def names(self) -> tuple[str, str]:
        """What the two distances are called."""
        return ("FID", "KID") if self.published else ("Fréchet distance", "kernel distance")

    @property
    def said(self) -> str:
        """Both distances, and between what."""
        fid, kid = self.names
        return (
            f"on Inception's features: {fid} {self.frechet:.3f}, {kid} {self.kernel:.5f}, between {self.images} real "
            f"{self.part} images and as many synthetic ones of the same classes, of {self.size_px} pixels"
        )

    @property
    def warnings(self) -> list[str]:
        """What a reader of the two numbers has to know."""
        fid, kid = self.names
        found = []
        if not self.published:
            found.append(
                f"the file is not, byte for byte, {PUBLISHED_FILE}, so that nothing shows its weights to be those that "
                "FID is defined on: call the distance FID only with that file"
            )
        if self.images <= FEATURES:
            found.append(
                f"of {self.images} images a covariance of {FEATURES} features lacks full rank, which takes more than "
                f"{FEATURES} of each side, and the {fid} is biased upwards: compare it at equal numbers alone, or read "
                f"the {kid}, which has no such bias"
            )
        return found


def inception_distances(
    run: Path, weighted: Weighted, data_root: Path | None, part: str, seed: int
) -> InceptionDistances:
    """Compare real images with as many synthetic ones of the same classes.

    Of each class the synthetic images are those that `study.synthetic.synthesise` writes first with this seed.

    Args:
        run: folder of a finished run that learned to make images.
        weighted: Inception with a user's weights.
        data_root: where the plan's images are.
        part: whose real images, ``test``, ``val`` or ``train``; a copied training image is near to ``train``.
        seed: of the noise.

    Raises:
        InputError: there is no such part.
        PlanError: the run learned something else.
        DataError: the images cannot be read, or are fewer than two.
    """
    if part not in PARTS:
        raise InputError(f"--against {part} is unknown: choose from {', '.join(PARTS)}")
    folder = RunFolder(run)
    task, network = loaded_generator(folder)
    images = joined([getattr(site, part) for site in sites_of(folder.plan(), data_root, whole=False).values()])
    made = [drawn(task, network, place, count, seed) for place, count in enumerate(images.label_counts().tolist())]
    real = _features(weighted, images.batch(slice(None)), f"{len(images)} real images")
    synthetic = _features(weighted, np.concatenate(made), f"{len(images)} synthetic images")
    return InceptionDistances(
        frechet=frechet_distance(real, synthetic),
        kernel=kernel_distance(real, synthetic),
        images=len(images),
        part=part,
        size_px=images.shape[0],
        published=weighted.published,
    )


def _features(weighted: Weighted, pixels: np.ndarray, what: str) -> np.ndarray:
    seen = with_progress(inception_features(weighted.network, pixels), -(-len(pixels) // BATCH), what)
    return np.concatenate([np.zeros((0, FEATURES), np.float32), *seen])
