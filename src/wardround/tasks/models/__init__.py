"""Networks, each a frozen spec with ``build(channels, classes)``."""

from __future__ import annotations

from typing import ClassVar, Protocol

import torch

from wardround.tasks.models.dcgan import DcGan
from wardround.tasks.models.diffusion import Diffusion
from wardround.tasks.models.flat_cnn import FlatCnn
from wardround.tasks.models.lenet import LeNet
from wardround.tasks.models.moments_cnn import MomentsCnn
from wardround.tasks.models.monai_net import MonaiNet
from wardround.tasks.models.red_cnn import RedCnn
from wardround.tasks.models.resnet import ResNet18, ResNet50
from wardround.tasks.models.scattering import Scattering
from wardround.tasks.models.small_cnn import SmallCnn
from wardround.tasks.models.style_gan import StyleGan
from wardround.tasks.models.unet import UNet


class ModelSpec(Protocol):
    """Describes a network; `build` makes one with the weights torch's generator gives it."""

    answers: ClassVar[tuple[str, ...]]
    """Of what it can give an answer: ``image``, each ``pixel``, or both, as its arguments have it; or it makes a
    ``sample`` of images."""

    def build(self, channels: int, classes: int) -> torch.nn.Module:
        """Return a network from ``(B, channels, H, W)`` to logits ``(B, classes)``, or ``(B, classes, H, W)``."""
        ...


MODELS: dict[str, type[ModelSpec]] = {
    "small_cnn": SmallCnn,
    "moments_cnn": MomentsCnn,
    "resnet18": ResNet18,
    "resnet50": ResNet50,
    "monai": MonaiNet,
    "scattering": Scattering,
    "unet": UNet,
    "red_cnn": RedCnn,
    "flat_cnn": FlatCnn,
    "lenet": LeNet,
    "diffusion": Diffusion,
    "dcgan": DcGan,
    "style_gan": StyleGan,
}
"""Names a plan may use in ``[model] name = …``."""

__all__ = [
    "MODELS",
    "DcGan",
    "Diffusion",
    "FlatCnn",
    "LeNet",
    "ModelSpec",
    "MomentsCnn",
    "MonaiNet",
    "RedCnn",
    "ResNet18",
    "ResNet50",
    "Scattering",
    "SmallCnn",
    "StyleGan",
    "UNet",
]
