"""Automatic transformation search: images are trained on after changes that make their gradients hard to invert."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch

from wardround.algorithms.defences.base import Batch, RunningDefence, Scene, refuse_unknown
from wardround.algorithms.defences.secret import RANDOMNESS, Secret
from wardround.algorithms.defences.transforms import TRANSFORMS
from wardround.core.update import Tensors
from wardround.errors import PlanError

MOST_TRANSFORMS = 3
Policy = tuple[int, ...]
"""Places in `TRANSFORMS`, applied in this order."""


@dataclass(frozen=True)
class Ats:
    """Gao et al. 2021 (CVPR, "Privacy-preserving collaborative learning with automatic transformation search").

    Every image goes through one of a few policies, drawn for each image and round; a policy is up to three transforms
    in a row. `policy_search` finds policies on images that are not the site's.

    Differs: a library of 25 transforms made for small images in place of the paper's 50; a draw for each round, not
    each step. It gives no (epsilon, delta): the attacker rebuilds the changed image, and most changes can be undone.

    Attributes:
        policies: as the paper writes them: places in the library with a hyphen between them, ``+`` between policies;
            the default was found on HAM10000's validation images at 32 px.
        randomness: ``system``, or ``seed``: from the plan's seed, for studies.
    """

    disguises: ClassVar[bool] = True

    policies: str = "17-0-21+13-17-20+7-13-14"
    randomness: str = "system"

    def __post_init__(self) -> None:
        refuse_unknown("randomness", self.randomness, RANDOMNESS)
        read_policies(self.policies)

    def begin(self, scene: Scene) -> RunningDefence:
        """Start a round."""
        secret = Secret(scene.ctx, scene.memory, self.randomness, "each_round")
        return _Changing(read_policies(self.policies), secret)

    def undone(self) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
        """Return for each policy, by its name, what takes it back; images are ``(B, C, H, W)``."""
        return {written(policy): _undoing(policy) for policy in read_policies(self.policies)}


class _Changing(RunningDefence):
    def __init__(self, policies: tuple[Policy, ...], secret: Secret) -> None:
        self._policies = policies
        self._secret = secret

    def disguise(self, batch: Batch) -> torch.Tensor:
        drawn = [int(self._secret.generator("policy", row).integers(len(self._policies))) for row in batch.rows]
        return torch.cat(
            [applied(self._policies[at], batch.inputs[place : place + 1]) for place, at in enumerate(drawn)]
        )

    def keep(self) -> Tensors:
        return self._secret.keep()


def applied(policy: Policy, images: torch.Tensor) -> torch.Tensor:
    """Return images ``(B, C, H, W)`` after a policy's transforms."""
    for place in policy:
        images = TRANSFORMS[place].apply(images)
    return images


def read_policies(text: str) -> tuple[Policy, ...]:
    """Return policies that were written as in `Ats`.

    Raises:
        PlanError: they are none, or name what the library does not have.
    """
    try:
        policies = tuple(tuple(int(place) for place in one.split("-")) for one in text.split("+"))
    except ValueError:
        policies = ((),)
    good = all(0 < len(one) <= MOST_TRANSFORMS and max(one) < len(TRANSFORMS) for one in policies)
    if not good:
        raise PlanError(
            f"defence policies = {text!r} is not like '3-1-7+4-2': up to {MOST_TRANSFORMS} places from 0 to "
            f"{len(TRANSFORMS) - 1} in each"
        )
    return policies


def written(policy: Policy) -> str:
    """Return a policy as plans write it."""
    return "-".join(map(str, policy))


def _undoing(policy: Policy) -> Callable[[torch.Tensor], torch.Tensor]:
    def undo(images: torch.Tensor) -> torch.Tensor:
        for place in reversed(policy):
            images = TRANSFORMS[place].undo(images)
        return images

    return undo
