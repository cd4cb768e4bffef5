"""What a site may do to its images, gradients or updates so that nobody rebuilds an image from them.

None of these gives a guarantee; each is measured by the attack bench, and the page that says what came out is
docs/explanation/what-updates-give-away.md.
"""

from __future__ import annotations

from wardround.algorithms.defences.ats import Ats
from wardround.algorithms.defences.base import Batch, Defence, RunningDefence, Scene, Undefended
from wardround.algorithms.defences.censor import Censor
from wardround.algorithms.defences.pixels import GaussianImages, MatchedNoise
from wardround.algorithms.defences.shadow import Shadow
from wardround.algorithms.defences.soteria import Soteria
from wardround.algorithms.defences.updates import GaussianUpdate, Pruning

DEFENCES: dict[str, type[Defence]] = {
    "none": Undefended,
    "gaussian_images": GaussianImages,
    "matched_noise": MatchedNoise,
    "shadow": Shadow,
    "gaussian_update": GaussianUpdate,
    "pruning": Pruning,
    "soteria": Soteria,
    "censor": Censor,
    "ats": Ats,
}
"""Names a plan may use in ``[defence] name = …``."""

__all__ = [
    "DEFENCES",
    "Ats",
    "Batch",
    "Censor",
    "Defence",
    "GaussianImages",
    "GaussianUpdate",
    "MatchedNoise",
    "Pruning",
    "RunningDefence",
    "Scene",
    "Shadow",
    "Soteria",
    "Undefended",
]
