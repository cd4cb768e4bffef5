"""Fixed features from wavelets and colour, under a small head: the model to train when every weight costs privacy.

Differentially private training is as good as the features it starts from (Tramer and Boneh 2021, arXiv:2011.11660).
These need no training, no download and no private statistics.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import combinations
from typing import ClassVar

import safetensors.torch
import torch
from torch import nn

from wardround.errors import PlanError
from wardround.tasks.models.wavelets import morlet_bank, thinned

SCALES = 4
ANGLES = 8
COARSEST = 2 ** (SCALES - 1)
PAIRS = tuple(combinations(range(SCALES), 2))
CENTRE_WIDTH = 0.18
"""Standard deviation of the centre's window, in edges of the image."""
FAINT = 1e-3
"""Added before logarithms: a contrast below which nothing is told apart, white being 1."""
FAINT_SHARE = 0.01
MEASUREMENTS = {1: 2 * (3 + SCALES) + 1, 2: 2 * (3 + SCALES + len(PAIRS)) + 1}
"""Order -> numbers for one channel: those of two windows, and the contrast between them."""


@dataclass(frozen=True)
class Scattering:
    """A scattering transform and colour statistics, fixed, under softmax regression or a small MLP.

    `ScatteringFeatures` says what is measured. Only the head learns: with order 1, 322 parameters for seven classes in
    colour. Each image's features are computed once, so a plan cannot augment.

    Attributes:
        order: 2 measures 81 numbers of a colour image (27 of a grey one), 1 only 45 (15), which take less noise.
        hidden: neurons between features and classes, with LayerNorm; 0 is softmax regression.
        scale: factor on the features, > 0. Under `dpsgd` a larger one leaves less of a clipped gradient to the head's
            biases, whose inputs are 1.
    """

    answers: ClassVar[tuple[str, ...]] = ("image",)

    order: int = 2
    hidden: int = 0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.order not in MEASUREMENTS:
            raise PlanError(f"model order = {self.order} is unknown: choose 1 or 2")
        if self.hidden < 0:
            raise PlanError(f"model hidden = {self.hidden} is negative: choose 0 for softmax regression, or say 32")
        if not 0 < self.scale < float("inf"):
            raise PlanError(f"model scale = {self.scale} is not a positive number")

    def build(self, channels: int, classes: int) -> nn.Module:
        """Return the network from ``(B, channels, H, W)``, H and W at least 16, to logits ``(B, classes)``.

        Softmax regression starts at zero, where every class is equally probable.
        """
        body = ScatteringFeatures(channels, self.order, self.scale)
        if not self.hidden:
            head: nn.Module = nn.Linear(body.num_features, classes)
            for weight in head.parameters():
                nn.init.zeros_(weight)
        else:
            head = nn.Sequential(
                nn.Linear(body.num_features, self.hidden),
                nn.LayerNorm(self.hidden),
                nn.ReLU(),
                nn.Linear(self.hidden, classes),
            )
        return nn.Sequential(OrderedDict(body=body, head=head))


class ScatteringFeatures(nn.Module):
    """Measures images; has no weights.

    Of each channel (luminance, red-green, yellow-blue; or grey alone), under two windows (the whole image; its centre):

    - mean, log standard deviation and skewness (its inverse hyperbolic sine) of the values, and the contrast between
      the two means;
    - per scale j, the log of the mean modulus |x * psi_j| over all angles (order 1);
    - per pair j < k, the log of the mean of ||x * psi_j| * psi_k| over all pairs of angles, as a share of order 1.

    Averages over angles and round windows make them blind to quarter turns and mirrors of a square image, up to the
    half pixel by which a thinned grid is off the centre. (Scattering: Bruna and Mallat 2013; here averaged over whole
    windows instead of a grid of patches, and over all angles.)

    These numbers are then centred and decorrelated by constants that come from public pictures, never from a
    site: see ``whitening.py`` beside this file. Last, a feature vector longer than 1 is scaled to 1, and all
    are multiplied by `scale`.

    Attributes:
        num_features: features of one image.
    """

    def __init__(self, channels: int, order: int = 2, scale: float = 1.0) -> None:
        """Take 1 (grey) or 3 (RGB) channels, measure up to an order of 1 or 2, and multiply by `scale`.

        Raises:
            PlanError: there is another number of channels.
        """
        super().__init__()
        self.mean: torch.Tensor
        self.decorrelate: torch.Tensor
        self.scale: torch.Tensor
        if channels not in (1, 3):
            raise PlanError(f"scattering features are for 1 or 3 channels, not {channels}")
        self.order = order
        self.num_features = channels * MEASUREMENTS[order]
        mean, decorrelate = _whitening(channels, order)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("decorrelate", decorrelate, persistent=False)
        self.register_buffer("scale", torch.tensor(scale), persistent=False)  # a constant of the body, so of its digest

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map float ``(B, C, H, W)`` in [-2, 2] to features ``(B, num_features)``, each row of norm at most `scale`."""
        features = (measured(images, self.order) - self.mean) @ self.decorrelate
        lengths = torch.linalg.vector_norm(features, dim=1, keepdim=True)
        return torch.as_tensor(features / lengths.clamp_min(1.0) * self.scale)


def measured(images: torch.Tensor, order: int) -> torch.Tensor:
    """Return the raw measurements, float32 ``(B, channels x MEASUREMENTS[order])``, of images in [-2, 2].

    Raises:
        PlanError: an edge is below 16 pixels.
    """
    if min(images.shape[2:]) < 2 * COARSEST:
        raise PlanError(f"scattering needs images of {2 * COARSEST} pixels or more: raise data.size_px")
    planes = _padded(opponent(images.float() / 4 + 0.5))
    batch, channels = planes.shape[:2]
    flat = planes.flatten(0, 1)
    moments = _moments(flat)
    contrast = moments[:, 1, :1] - moments[:, 0, :1]
    windows = torch.cat([moments, *_scattered(flat, order)], dim=2).flatten(1)
    return torch.cat([windows, contrast], dim=1).reshape(batch, channels * MEASUREMENTS[order])


def opponent(images: torch.Tensor) -> torch.Tensor:
    """Return luminance, red-green and yellow-blue of RGB images; grey images stay."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(1)
    return torch.stack(
        [(red + green + blue) / 3, (red - green) / 2**0.5, (red + green - 2 * blue) / 6**0.5],
        dim=1,
    )


def _padded(planes: torch.Tensor) -> torch.Tensor:
    """Mirror the lower and right edges until both are multiples of the coarsest grid."""
    bottom, right = (-edge % COARSEST for edge in planes.shape[2:])
    return nn.functional.pad(planes, (0, right, 0, bottom), mode="reflect") if bottom or right else planes


def _moments(planes: torch.Tensor) -> torch.Tensor:
    """Return mean, log deviation and skewness: ``(N, H, W)`` to ``(N, windows, 3)``."""
    windows = windows_of(*planes.shape[1:]).to(planes)
    mean = torch.einsum("nhw,vhw->nv", planes, windows)
    centred = planes[:, None] - mean[..., None, None]
    second, third = (torch.einsum("nvhw,vhw->nv", centred**power, windows) for power in (2, 3))
    deviation = second.clamp_min(0).sqrt()
    skewness = torch.asinh(third / (deviation + FAINT) ** 3)
    return torch.stack([mean, torch.log(deviation + FAINT), skewness], dim=2)


def _scattered(planes: torch.Tensor, order: int) -> list[torch.Tensor]:
    """Return log order 1 ``(N, windows, scales)`` and, up to order 2, its log shares ``(N, windows, pairs)``."""
    bank = [multipliers.to(planes.device) for multipliers in morlet_bank(*planes.shape[1:], SCALES, ANGLES)]
    spectrum = torch.fft.fft2(planes)[:, None]
    first: list[torch.Tensor] = []
    second: list[torch.Tensor] = []
    for scale, multipliers in enumerate(bank):
        moduli = torch.fft.ifft2(thinned(spectrum * multipliers, 2**scale)).abs()
        first.append(_averaged(moduli).mean(dim=2))
        spectra = torch.fft.fft2(moduli)[:, :, None]
        for coarser in range(scale + 1, SCALES if order == 2 else 0):
            # Thinning a wavelet sums what its Fourier coefficients fold onto each other.
            multiplier = thinned(bank[coarser], 2**scale) * 4**scale
            again = torch.fft.ifft2(thinned(spectra * multiplier, 2 ** (coarser - scale))).abs()
            second.append(_averaged(again.flatten(1, 2)).mean(dim=2) / (first[scale] + FAINT))
    shares = [torch.log(torch.stack(second, 2) + FAINT_SHARE)] if second else []
    return [torch.log(torch.stack(first, 2) + FAINT), *shares]


def _averaged(planes: torch.Tensor) -> torch.Tensor:
    """Average under each window: ``(N, A, H, W)`` to ``(N, windows, A)``."""
    return torch.einsum("nahw,vhw->nva", planes, windows_of(*planes.shape[2:]).to(planes))


@cache
def windows_of(height: int, width: int) -> torch.Tensor:
    """Return the weights of the whole image and of its centre, each summing to 1: float32 ``(2, height, width)``."""
    rows, columns = ((torch.arange(edge) + 0.5) / edge - 0.5 for edge in (height, width))
    centre = torch.exp(-(rows[:, None] ** 2 + columns**2) / (2 * CENTRE_WIDTH**2))
    return torch.stack([torch.full((height, width), 1 / (height * width)), centre / centre.sum()])


@cache
def _whitening(channels: int, order: int) -> tuple[torch.Tensor, torch.Tensor]:
    content = files("wardround.tasks.models").joinpath("whitening.safetensors").read_bytes()
    constants = safetensors.torch.load(content)
    return constants[f"mean_{channels}_{order}"], constants[f"decorrelate_{channels}_{order}"]
