"""The shadow defence: noise where a twin of the attacker rebuilds the image best, spared where the network looks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from wardround.algorithms.defences.base import (
    AIMS,
    Batch,
    RunningDefence,
    Scene,
    looked_at,
    refuse_outside,
    refuse_unknown,
)
from wardround.algorithms.defences.cam import grad_cam_pp, last_convolution
from wardround.algorithms.defences.energy import disguised
from wardround.algorithms.defences.pixels import MOST_RMS, shuffled
from wardround.algorithms.defences.secret import Secret
from wardround.algorithms.defences.twin import Twin, attacked_by, twin_of
from wardround.core.update import Tensors, in_group, of_group
from wardround.errors import PlanError

FORMS = ("released", "intended")
TWIN = "twin"
TEMPERATURE = 20.0
AMPLITUDE = 0.19
CAM_SHARE = 0.3
LEAST_ALPHA, MOST_ALPHA = 0.1, 0.5
LEVELS = 256
GREY = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Shadow:
    """Jiang, Ma & Yang 2025 (MedIA 105:103673), from its released code: a site attacks itself, then hides what leaked.

    For every batch a generator is trained to make the batch's gradient. ``n = softmax(equalised(1 / softmax(error /
    20)) / 20)`` over an image's pixels is large where it rebuilds well; a Grad-CAM++ map is taken off; the rest, scaled
    to .19 of the image's maximum and growing by e over the run, is added to the image. The noise is a function of the
    image and of the training so far, and gives no (epsilon, delta).

    ``released`` keeps what the code does: the equalised map comes out of a reshape with its channels interleaved, so
    that it lies on other pixels than the leak; the generator starts untrained with random codes; the CAM, of class 1
    always, goes through a softmax that makes it flat. ``intended`` equalises each image's map where it lies, starts
    from an autoencoder of the site's own images, and multiplies by one minus the CAM of the image's own class.

    Differs from both: a small convolutional decoder in place of a StyleGAN3; BatchNorm's statistics are not matched;
    every round makes its map anew (the paper averages, giving the last one .9, and stops after round 20).

    Attributes:
        form: ``released`` or ``intended``.
        rms: 0 leaves the amplitude to the paper's rule; else the root mean square of the change after pixels were cut
            off, as a share of their range.
        twin_steps: of the generator for each batch.
        twin_rate: its learning rate.
        fit_steps: of the autoencoder before the first round of ``intended``.
        aim: ``matched``; the others are controls: ``shuffled`` puts the noise's pixels anywhere, ``anti`` is strong
            where the map is weak.
    """

    disguises: ClassVar[bool] = True

    form: str = "intended"
    rms: float = 0.0
    twin_steps: int = 5
    twin_rate: float = 1e-3
    fit_steps: int = 300
    aim: str = "matched"

    def __post_init__(self) -> None:
        refuse_unknown("form", self.form, FORMS)
        refuse_unknown("aim", self.aim, AIMS)
        if self.rms:
            refuse_outside("rms", self.rms, 0, MOST_RMS)
        refuse_outside("twin_rate", self.twin_rate, 0, 1)
        if self.twin_steps < 1 or self.fit_steps < 0:
            raise PlanError("defence shadow needs twin_steps >= 1 and fit_steps >= 0")

    def begin(self, scene: Scene) -> RunningDefence:
        """Make the twin, or go on with the one that was kept.

        Raises:
            PlanError: the network has no convolution.
        """
        last_convolution(scene.network)
        secret = Secret(scene.ctx, scene.memory, "system" if scene.ctx.seed is None else "seed", "once")
        fit = self.fit_steps if self.form == "intended" else 0
        seed = int(secret.generator("twin", 0).integers(2**62))
        twin = twin_of(scene.images, of_group(scene.memory, TWIN), fit, seed)
        return _Running(self, scene, twin, secret)


class _Running(RunningDefence):
    def __init__(self, spec: Shadow, scene: Scene, twin: Twin, secret: Secret) -> None:
        self._spec = spec
        self._network = scene.network
        self._twin = twin
        self._secret = secret
        self._progress = scene.ctx.round / scene.ctx.rounds

    def disguise(self, batch: Batch) -> torch.Tensor:
        with looked_at(self._network):
            noise = self._spared(batch, self._leak(batch))
        if self._spec.aim == "anti":
            noise = noise.amax((1, 2, 3), keepdim=True) + noise.amin((1, 2, 3), keepdim=True) - noise
        if self._spec.aim == "shuffled":
            rngs = [self._secret.generator("shuffle", row) for row in batch.rows]
            moved = [shuffled(one.numpy(), rng) for one, rng in zip(noise.cpu(), rngs, strict=True)]
            noise = torch.from_numpy(np.stack(moved)).to(noise)
        if self._spec.rms:
            return disguised(batch.inputs, noise, self._spec.rms)
        strength = AMPLITUDE * math.exp(self._progress)
        peaks = batch.inputs.amax((1, 2, 3), keepdim=True) / noise.amax((1, 2, 3), keepdim=True)
        return batch.inputs + (strength * peaks).abs() * noise

    def _leak(self, batch: Batch) -> torch.Tensor:
        """Return the map ``(B, C, H, W)`` that is large where the twin rebuilds well."""
        before = {name: value.clone() for name, value in self._twin.state_dict().items()}
        found = attacked_by(
            self._twin,
            self._network,
            self._codes(batch),
            batch.inputs,
            batch.targets,
            self._spec.twin_steps,
            self._spec.twin_rate,
        )
        after = self._twin.state_dict()
        self._twin.load_state_dict({name: (before[name] + value) / 2 for name, value in after.items()})
        error = (found - batch.inputs).pow(2)
        return leak_map(error, aligned=self._spec.form == "intended")

    def _codes(self, batch: Batch) -> torch.Tensor:
        with torch.no_grad():
            coded: torch.Tensor = self._twin.encoder(batch.inputs)
        if self._spec.form == "intended":
            return coded
        drawn = [self._secret.generator("code", row).standard_normal(coded.shape[1:]) for row in batch.rows]
        return torch.from_numpy(np.stack(drawn)).to(coded)

    def _spared(self, batch: Batch, noise: torch.Tensor) -> torch.Tensor:
        intended = self._spec.form == "intended"
        classes = batch.targets if intended else torch.ones_like(batch.targets)
        cam = largest(grad_cam_pp(self._network, batch.inputs, classes), CAM_SHARE)
        if intended:
            return noise * (1 - cam[:, None])
        flat = torch.softmax(cam.flatten(1) / TEMPERATURE, 1).reshape(cam.shape)
        alpha = min(MOST_ALPHA, max(LEAST_ALPHA, self._progress))
        return noise - alpha * noise.sign() * flat[:, None]

    def keep(self) -> Tensors:
        twin = {name: value.numpy().copy() for name, value in self._twin.state_dict().items()}
        return {**in_group(twin, TWIN), **self._secret.keep()}


def leak_map(error: torch.Tensor, aligned: bool) -> torch.Tensor:
    """Return the noise map of a squared error ``(B, C, H, W)``: large where the error is small; each image's sum is 1.

    Args:
        error: of the twin.
        aligned: equalise each image by itself and keep every value at its pixel; else as released: over the batch, on
            luminance, with channels interleaved by a reshape.
    """
    inverse = 1 / torch.softmax(error.flatten(1) / TEMPERATURE, 1).reshape(error.shape)
    if aligned:
        levels = torch.stack([_equalised(one[None])[0] for one in inverse]).unsqueeze(1).expand_as(inverse)
    else:
        levels = torch.stack([_equalised(inverse).flatten()] * error.shape[1], 1).reshape(error.shape)
    return torch.softmax(levels.flatten(1) / TEMPERATURE, 1).reshape(error.shape)


def largest(maps: torch.Tensor, share: float) -> torch.Tensor:
    """Return maps ``(B, H, W)`` with all but the largest `share` of each one's values set to 0."""
    flat = maps.flatten(1)
    values, places = flat.topk(int(share * flat.shape[1]), 1)
    return torch.zeros_like(flat).scatter_(1, places, values).reshape(maps.shape)


def _equalised(maps: torch.Tensor) -> torch.Tensor:
    """Return the luminance of ``(B, C, H, W)``, histogram-equalised over all of it to 0 … 255; ``(B, H, W)``."""
    span = (maps.max() - maps.min()).clamp_min(torch.finfo(maps.dtype).tiny)
    levels = (maps - maps.min()) * (LEVELS - 1) / span
    weights = torch.tensor(GREY if maps.shape[1] == len(GREY) else (1.0,)).to(maps)
    grey = torch.einsum("bchw,c->bhw", levels, weights)
    counts = torch.histc(grey, LEVELS, 0, LEVELS - 1).cumsum(0)
    shares = (counts - counts.min()) * (LEVELS - 1) / (counts.max() - counts.min()).clamp_min(1)
    return shares.long()[grey.long().clamp(0, LEVELS - 1)].to(maps)
