"""Any classifier or segmentation network of MONAI by the name it has in ``monai.networks.nets``."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import ModuleType
from typing import Any, ClassVar

import torch
from torch import nn

from wardround.errors import PlanError

CHANNEL_NAMES = ("in_channels", "n_input_channels")
CLASS_NAMES = ("num_classes", "out_channels")
GIVEN_BY_THE_DATA = ("spatial_dims", *CHANNEL_NAMES, *CLASS_NAMES)
SUGGESTED: Mapping[str, Any] = {"pretrained": False, "classification": True, "post_activation": ""}
"""Passed where a network knows the name and the plan is silent: no download; ViT's head as a plain linear layer."""
REFUSALS = (TypeError, ValueError, ArithmeticError, AssertionError, LookupError, RuntimeError, ImportError)
"""What MONAI raises over arguments that do not fit, and over an optional package (einops for ViT) that is missing."""

Factory = Callable[..., nn.Module]


@dataclass(frozen=True)
class MonaiNet:
    """A network of MONAI; importing MONAI takes some seconds, so that happens when a plan names one.

    The image channels, the number of classes and ``spatial_dims = 2`` are filled in. Many of these networks hold
    BatchNorm, whose running statistics travel beside the weights.

    Attributes:
        network: a name in ``monai.networks.nets``, for example "DenseNet121", "resnet18", "EfficientNetBN" or "ViT"; an
            answer for each pixel comes from "BasicUNet" or "UNet", for example.
        arguments: what else its constructor takes, as a TOML table, for example ``{init_features = 16}``.
    """

    answers: ClassVar[tuple[str, ...]] = ("image", "pixel")

    network: str
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Refuse a name that MONAI does not have, and arguments that the network does not take."""
        for name, value in self.arguments.items():
            if not _is_toml(value):
                raise PlanError(f"model argument {name} = {value!r} is not TOML; use numbers, text or lists")
        known = _parameters(_factory(self.network))
        if taken := [name for name in self.arguments if name in GIVEN_BY_THE_DATA]:
            raise PlanError(f"model argument {taken[0]} follows from the data; take it out of the plan")
        for name in self.arguments:
            if name not in known:
                raise PlanError(f"{self.network} takes no argument {name}{_instead(name, known)}")
        if not any(name in known for name in CLASS_NAMES):
            raise PlanError(f"{self.network} takes no number of classes; choose a classifier such as DenseNet121")

    def build(self, channels: int, classes: int) -> nn.Module:
        """Return the network from ``(B, channels, H, W)`` to logits ``(B, classes)`` or ``(B, classes, H, W)``.

        The names of its weights are MONAI's own. Of several outputs (ViT) the first is taken.

        Raises:
            PlanError: MONAI refuses the arguments.
        """
        factory = _factory(self.network)
        known = _parameters(factory)
        filled = {"spatial_dims": 2, **SUGGESTED, **dict.fromkeys(CHANNEL_NAMES, channels)}
        arguments = {name: value for name, value in filled.items() if name in known} | dict(self.arguments)
        arguments[next(name for name in CLASS_NAMES if name in known)] = classes
        try:
            network = factory(**arguments)
        except REFUSALS as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise PlanError(f"MONAI cannot build {self.network} from {arguments}: {reason}") from error
        network.register_forward_hook(_take_logits)
        if type(network).__name__ == "UNet":
            from wardround.tasks.models.monai_levels import fence

            fence(network)
        return network


def _take_logits(network: nn.Module, _inputs: object, output: Any) -> torch.Tensor:
    logits = output[0] if isinstance(output, tuple | list) else output
    if not isinstance(logits, torch.Tensor):
        raise PlanError(f"{type(network).__name__} gives no logits; choose a classifier or a segmentation network")
    return logits


def _factory(name: str) -> Factory:
    from monai.networks import nets  # takes seconds, and most plans need none of it

    found = getattr(nets, name, None)
    if _product(found) is None:
        names = [other for other in dir(nets) if _product(getattr(nets, other)) is not None]
        raise PlanError(f'model network = "{name}" is no network of MONAI{_instead(name, names)}')
    return typing.cast(Factory, found)


def _product(factory: object) -> type[nn.Module] | None:
    """Return the network class that `factory` (a class, or a function such as ``resnet18``) makes, if it makes one."""
    made = factory
    if inspect.isfunction(factory):
        made = _resolve(inspect.signature(factory).return_annotation, inspect.getmodule(factory))
    return made if inspect.isclass(made) and issubclass(made, nn.Module) else None


def _resolve(annotation: object, module: ModuleType | None) -> object:
    """Return the class that an annotation names; MONAI's modules write annotations as text."""
    return getattr(module, annotation, None) if isinstance(annotation, str) else annotation


def _parameters(factory: Factory) -> set[str]:
    """Return the keywords that `factory` takes, and those it hands on to the constructors behind its ``**kwargs``."""
    product = _product(factory)
    makers: list[Any] = [factory] if inspect.isfunction(factory) else []
    makers += [
        vars(parent)["__init__"] for parent in (product.__mro__ if product else ()) if "__init__" in vars(parent)
    ]
    names: set[str] = set()
    for maker in makers:
        parameters = inspect.signature(maker).parameters.values()
        names |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return names - {"self"}


def _instead(name: str, known: typing.Iterable[str]) -> str:
    lowered = {other.lower(): other for other in sorted(known, reverse=True)}
    close = [lowered[match] for match in get_close_matches(name.lower(), lowered, n=3)]
    return f"; did you mean {' or '.join(close)}?" if close else "; see the documentation of monai.networks.nets"


def _is_toml(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_toml(inner) for key, inner in value.items())
    if isinstance(value, list | tuple):
        return all(_is_toml(inner) for inner in value)
    return isinstance(value, str | int | float | bool)
