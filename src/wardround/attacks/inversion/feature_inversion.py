"""Feature inversion: what the head was fed is solved for, decoded into images, and these are brought to the update."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn
from torch.func import functional_call

from wardround.attacks.inversion.base import Budget, Reconstruction, Stopwatch, as_images
from wardround.attacks.inversion.head_inputs import head_inputs
from wardround.attacks.inversion.labels import recovered_labels
from wardround.attacks.inversion.lbfgs import Search
from wardround.attacks.inversion.matching import Matching
from wardround.attacks.inversion.observation import Observation
from wardround.attacks.inversion.regression import Ridge
from wardround.data.images import LabelledImages
from wardround.errors import PlanError
from wardround.tasks.inputs import name_of_head, to_input

BLOCK = 100


@dataclass(frozen=True, eq=False)
class FeatureInversion:
    """After Kariyappa et al. 2023 (ICML, Cocktail Party Attack): a batch is taken apart at the head, then inverted.

    The head's gradient gives away the features of each image of a batch (`head_inputs`). A linear decoder, fitted to
    the features that the broadcast network has of public images, makes images of them: each by itself, however many
    share the update. A search that starts there matches features and gradient. Differs: features are solved for, not
    unmixed by independent components; the first image is decoded, not searched for.

    Attributes:
        budget: steps are evaluations of the search.
        public: float ``(K, C, H, W)`` as the network is fed them: the decoder learns from them and their mirror images.
        enough: the search ends when its objective is below it.
    """

    budget: Budget = field(default_factory=lambda: Budget(steps=500))
    public: torch.Tensor | None = None
    enough: float = 1e-10

    def taught(self, images: LabelledImages, seed: int) -> FeatureInversion:
        """Return the attack with public images; see `Learner.taught`."""
        return dataclasses.replace(self, public=to_input(images.batch(np.arange(len(images)))))

    def run(self, seen: Observation, seed: int, labels: np.ndarray | None = None) -> Reconstruction:
        """Attack one observation; see `Attack.run`.

        Raises:
            PlanError: nobody gave it public images; or the features cannot be solved for; see `head_inputs`.
        """
        if self.public is None:
            raise PlanError(
                "feature-inversion needs public images to learn from: give it some with taught(images, seed)"
            )
        clock, matching, body = Stopwatch(self.budget), Matching(seen), _Body(seen)
        named = recovered_labels(seen, seed) if labels is None else labels
        wanted = head_inputs(seen, named, seed)
        decoded = _decoder(body, self.public.to(seen.dtype))(wanted).reshape(-1, *seen.shape)
        inputs, classes = decoded.clamp(*seen.limits).requires_grad_(), torch.from_numpy(named)

        def objective() -> torch.Tensor:
            far = (body.features(inputs) - wanted).pow(2).sum(1) / wanted.pow(2).sum(1)
            return far.mean() + matching.of(inputs, classes)

        search = Search(objective, [inputs], clock, self.enough)
        search.go_on(self.budget.steps)
        distance = float(matching.of(search.values[0], classes))
        images = as_images(seen, search.values[0])
        return Reconstruction(images, named, distance, matching.evaluations, clock.seconds)


def _decoder(body: _Body, public: torch.Tensor) -> Ridge:
    shown = torch.cat([public, public.flip(3)])
    with torch.no_grad():
        features = torch.cat([body.features(block) for block in torch.split(shown, BLOCK)])
    return Ridge(features, shown.flatten(1))


class _Body:
    """The network up to its head; no running statistic moves."""

    def __init__(self, seen: Observation) -> None:
        self._network = seen.network
        self._head = seen.network.get_submodule(name_of_head(seen.network))
        self._weights = {name: value.detach() for name, value in seen.network.named_parameters()}

    def features(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return what the head is fed for images ``(N, C, H, W)``, as ``(N, F)``."""
        caught: list[torch.Tensor] = []

        def catch(_: nn.Module, fed: tuple[torch.Tensor, ...]) -> None:
            caught.append(fed[0])

        handle = self._head.register_forward_pre_hook(catch)
        try:
            buffers = {name: value.clone() for name, value in self._network.named_buffers()}
            functional_call(self._network, buffers | self._weights, (inputs,))
        finally:
            handle.remove()
        return caught[0]
