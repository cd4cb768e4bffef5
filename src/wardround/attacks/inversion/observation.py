"""What an attacker holds of one update: the network as it was broadcast, and what came back over the wire."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from wardround.errors import PlanError

DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


@dataclass(frozen=True)
class LocalSteps:
    """What everybody can read in the plan about the local work behind an update: plain SGD.

    Attributes:
        steps: optimiser steps, at least 1.
        learning_rate: of every step, above 0.
        weight_decay: added to the gradient, as a share of the weights.
    """

    steps: int = 1
    learning_rate: float = 1.0
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        if self.steps < 1 or not (self.learning_rate > 0 and math.isfinite(self.learning_rate)):
            raise PlanError("an observation needs at least one local step and a finite learning rate above 0")


@dataclass(frozen=True, eq=False)
class Observation:
    """One update as a curious coordinator sees it. There is no way from here to the batch behind it.

    Attributes:
        network: as it was broadcast, in training mode without dropout (whose mask nobody but the site knows). Attacks
            leave its weights as they are.
        gradient: parameter name -> the mean gradient that the update stands for: minus the change, divided by learning
            rate and steps. Under one step this is the gradient of the batch's mean loss.
        shape: channels, height and width of one image.
        num_images: images behind the update, in all steps together; each step had an equal share of them.
        work: the local work.
        limits: lowest and highest value of a pixel, as the network is fed it.
        statistics: buffer name -> change of a running statistic (BatchNorm).
        shares: of each site's update in it, with sum 1; several for a sum of sites. Images are in their order.
    """

    network: nn.Module
    gradient: Mapping[str, torch.Tensor]
    shape: tuple[int, int, int]
    num_images: int
    work: LocalSteps = field(default_factory=LocalSteps)
    limits: tuple[float, float] = (-2.0, 2.0)
    statistics: Mapping[str, torch.Tensor] = field(default_factory=dict)
    shares: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        """Refuse what does not belong together.

        Raises:
            PlanError: a gradient is missing, has another shape, or is not finite; or the images cannot be shared out.
        """
        trained = dict(self.trained)
        if set(self.gradient) != set(trained):
            strange = sorted(set(self.gradient) ^ set(trained))[0]
            raise PlanError(f"weight {strange!r} is trained and has no gradient, or has one and is not trained")
        for name, value in self.gradient.items():
            if value.shape != trained[name].shape or not bool(torch.isfinite(value).all()):
                raise PlanError(f"the gradient of {name!r} is not finite or has shape {tuple(value.shape)}")
        if self.num_images < 1 or self.num_images % (self.work.steps * len(self.shares)):
            raise PlanError(
                f"{self.num_images} images cannot be dealt out to {len(self.shares)} sites with "
                f"{self.work.steps} equal steps each"
            )
        if not self.shares or min(self.shares) <= 0 or not math.isclose(sum(self.shares), 1, rel_tol=1e-6):
            raise PlanError(f"shares {self.shares} of the sites in a sum must be above 0 and have sum 1")
        self.network.train()
        for module in self.network.modules():
            if isinstance(module, DROPOUTS):
                module.eval()

    @classmethod
    def of_gradients(
        cls,
        network: nn.Module,
        gradients: Iterable[torch.Tensor],
        shape: tuple[int, int, int],
        num_images: int,
        limits: tuple[float, float] = (-2.0, 2.0),
    ) -> Observation:
        """Return the observation of one gradient, given in the order of the network's trained parameters."""
        names = [name for name, value in network.named_parameters() if value.requires_grad]
        seen = {name: value.detach().clone() for name, value in zip(names, gradients, strict=True)}
        return cls(network, seen, shape, num_images, limits=limits)

    @property
    def trained(self) -> list[tuple[str, nn.Parameter]]:
        """Names and values of the weights that are trained, in the network's order."""
        return [(name, value) for name, value in self.network.named_parameters() if value.requires_grad]

    @property
    def images_a_site(self) -> int:
        """Images of each site, in all its steps."""
        return self.num_images // len(self.shares)

    @property
    def images_a_step(self) -> int:
        """Images in each local step of a site."""
        return self.images_a_site // self.work.steps

    @property
    def dtype(self) -> torch.dtype:
        """In which the attack computes."""
        return next(iter(self.gradient.values())).dtype

    def answers(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the network's logits for `inputs`; no running statistic moves."""
        buffers = {name: value.clone() for name, value in self.network.named_buffers()}
        with torch.no_grad():
            logits: torch.Tensor = self.network(inputs)
            for name, value in self.network.named_buffers():
                value.copy_(buffers[name])
        return logits

    @property
    def num_classes(self) -> int:
        """How many classes the network tells apart."""
        return int(self.answers(torch.zeros((2, *self.shape), dtype=self.dtype)).shape[1])

    def in_limits(self, images: torch.Tensor) -> torch.Tensor:
        """Return images of ``[0, 1]`` as the network is fed them."""
        low, high = self.limits
        return images * (high - low) + low

    def in_unit(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the network's inputs as images in ``[0, 1]``, cut off at its ends."""
        low, high = self.limits
        return ((inputs - low) / (high - low)).clamp(0, 1)
