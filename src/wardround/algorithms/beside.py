"""A server step that keeps an array beside the weights, which moves by the mean of what the sites say of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from wardround.algorithms.base import ServerStep
from wardround.core.context import RoundContext
from wardround.core.update import Tensors, applied


@dataclass(frozen=True)
class Beside(ABC):
    """The server's half, around any step: the array is broadcast with the weights, and is no part of the model.

    Attributes:
        inner: the step that moves the weights.
    """

    array: ClassVar[str]
    """Its name, ``group/name``."""

    inner: ServerStep

    @abstractmethod
    def first(self, weights: Tensors) -> np.ndarray:
        """Return the array before round 0, given the initial shared weights."""

    def start(self, weights: Tensors) -> Tensors:
        """Return the inner state, with the array as it is before round 0."""
        return {**self.inner.start(weights), self.array: self.first(weights)}

    def apply(self, state: Tensors, mean: Tensors, ctx: RoundContext) -> Tensors:
        """Take the inner step and move the array."""
        inner, change = ({n: v for n, v in tensors.items() if n != self.array} for tensors in (state, mean))
        return {**self.inner.apply(inner, change, ctx), **applied({self.array: state[self.array]}, mean)}

    def broadcast(self, state: Tensors) -> Tensors:
        """Return what the inner step broadcasts, and the array."""
        return {**self.inner.broadcast(state), self.array: state[self.array]}

    def model(self, state: Tensors) -> Tensors:
        """Return what the inner step offers."""
        return self.inner.model(state)
