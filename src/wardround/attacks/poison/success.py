"""Whether an attack on a classifier came to anything: the share of its victims that are taken for its target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from torch import nn

from wardround.data.images import LabelledImages
from wardround.tasks.classification import Classification


@dataclass(frozen=True, eq=False)
class Trial:
    """Images by which an attack is judged.

    Attributes:
        images: the victims, as the attacker would show them to the model.
        target: label that the attacker wants for each of them.
    """

    images: LabelledImages
    target: int

    def success(self, task: Classification, network: nn.Module) -> float | None:
        """Return the share of the victims that `network` takes for the target; ``None`` without a victim."""
        if not len(self.images):
            return None
        said = task.evaluate(network, self.images).probabilities.argmax(axis=1)
        return float(np.mean(said == self.target))


@runtime_checkable
class Aimed(Protocol):
    """An attack on a classifier that has victims and a target."""

    name: ClassVar[str]
    """As a plan has it."""

    @property
    def sites(self) -> tuple[str, ...]:
        """See `Culprits`."""
        ...

    def trial(self, images: LabelledImages) -> Trial:
        """Return what of clean test images shows its success."""
        ...
