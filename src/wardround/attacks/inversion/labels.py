"""Which labels a batch had, read off the gradient of the last layer's bias."""

from __future__ import annotations

import numpy as np
import torch

from wardround.attacks.inversion.observation import Observation
from wardround.errors import PlanError
from wardround.tasks.inputs import name_of_head

PROBES = 64


def recovered_labels(seen: Observation, seed: int) -> np.ndarray:
    """Return the labels behind an update, int64 ``(num_images,)``; in a sum, site after site.

    Under cross-entropy the gradient of a head's bias is ``mean(p) - counts / N``. For one image that is negative for
    its label alone (Zhao et al. 2020, iDLG). For more, the mean probability is not known; it is taken from the
    network's answer to noise, as in LLG (Wainakh et al. 2022), and what is left over is given to images, the largest
    share first: each takes the class that lacks most. So the counts sum to the number of images, unlike there.

    Args:
        seen: what the attacker holds.
        seed: of the noise.

    Raises:
        PlanError: the network's last linear layer has no bias that is trained.
    """
    slope = _bias_gradient(seen)
    if seen.num_images == 1:
        return np.array([int(slope.argmin())])
    missing = _mean_probability(seen, seed) - slope.double().cpu().numpy()
    shares = np.repeat(seen.shares, seen.images_a_site) / seen.images_a_site
    labels = np.zeros(seen.num_images, np.int64)
    for image in np.argsort(-shares, kind="stable"):
        labels[image] = np.argmax(missing)
        missing[labels[image]] -= shares[image]
    return labels


def _bias_gradient(seen: Observation) -> torch.Tensor:
    name = f"{name_of_head(seen.network)}.bias"
    found = seen.gradient.get(name)
    if found is None:
        raise PlanError("the labels cannot be recovered from a network whose last layer has no trained bias: name them")
    return found


def _mean_probability(seen: Observation, seed: int) -> np.ndarray:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand((PROBES, *seen.shape), generator=generator, dtype=seen.dtype)
    logits = seen.answers(seen.in_limits(images)).double()
    probability: np.ndarray = torch.softmax(logits, 1).mean(0).cpu().numpy()
    return probability
