"""A malicious coordinator's layer, which copies images into its own gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import torch
from torch import nn

from wardround.attacks.inversion.base import Budget, Reconstruction, Stopwatch, as_images
from wardround.attacks.inversion.observation import Observation
from wardround.errors import PlanError

LAYER = "imprint"


class Imprinted(nn.Module):
    """A network behind a layer that sorts images by their mean brightness (Fowl et al. 2022, Robbing the Fed).

    Every unit of the first linear layer measures the same mean; the biases are the quantiles of that mean among images.
    An image is in the gradient of all units whose quantile it exceeds, so that two neighbours' gradients differ by the
    images between their quantiles. A second layer brings an image's shape back; the rest of the network never notices.

    Attributes:
        imprint: linear, pixels to bins.
        back: linear, bins to pixels.
        network: what the site thinks it trains.
    """

    def __init__(
        self, network: nn.Module, shape: tuple[int, int, int], bins: int, brightness: tuple[float, float]
    ) -> None:
        """Put the layer in front of a network.

        Args:
            network: fed images of `shape`.
            shape: channels, height, width.
            bins: quantiles; images that share one are mixed up.
            brightness: mean and standard deviation of an image's mean value, as the network is fed it. An attacker
                takes them from public images.
        """
        super().__init__()
        size = math.prod(shape)
        self.shape = shape
        self.imprint = nn.Linear(size, bins)
        self.back = nn.Linear(bins, size)
        self.network = network
        middle, spread = brightness
        cuts = [NormalDist(middle, spread).inv_cdf((index + 0.5) / (bins + 1)) for index in range(bins)]
        with torch.no_grad():
            self.imprint.weight.fill_(1 / size)
            self.imprint.bias.copy_(-torch.tensor(cuts))
            self.back.weight.fill_(1 / bins)
            self.back.bias.zero_()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map ``(B, C, H, W)`` to the network's answer."""
        measured = torch.relu(self.imprint(images.flatten(1)))
        carried: torch.Tensor = self.network(self.back(measured).reshape(-1, *self.shape))
        return carried


@dataclass(frozen=True)
class Imprint:
    """Reads images off the gradient of an `Imprinted` network; exact wherever an image is alone in its bin.

    Attributes:
        faintest: bins whose share of the bias's gradient is smaller hold no image.
    """

    faintest: float = 1e-6

    def run(self, seen: Observation, seed: int, labels: np.ndarray | None = None) -> Reconstruction:
        """Attack one observation; see `Attack.run`. The result may hold fewer images than the batch did.

        Raises:
            PlanError: the network has no such layer in front, or the update took several steps.
        """
        clock = Stopwatch(Budget(1))
        weight, bias = seen.gradient.get(f"{LAYER}.weight"), seen.gradient.get(f"{LAYER}.bias")
        if weight is None or bias is None:
            raise PlanError(
                "imprint needs a network behind an Imprinted layer: it is an attack by whoever makes the plan"
            )
        if seen.work.steps != 1:
            raise PlanError("imprint reads one step: after several, each bin holds images of all of them")
        # The last bin has no neighbour above it, so that a zero takes its place.
        slopes = torch.cat([weight, torch.zeros_like(weight[:1])]).diff(dim=0)
        counts = torch.cat([bias, torch.zeros_like(bias[:1])]).diff()
        held = counts.abs() > self.faintest * counts.abs().sum()
        found = (slopes[held] / counts[held, None]).reshape(-1, *seen.shape)[: seen.num_images]
        unknown = np.full(len(found), -1)
        return Reconstruction(as_images(seen, found), unknown, math.nan, 0, clock.seconds)
