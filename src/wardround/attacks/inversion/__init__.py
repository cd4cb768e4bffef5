"""Gradient inversion: images rebuilt from an update."""

from __future__ import annotations

from wardround.attacks.inversion.base import Attack, Budget, Reconstruction
from wardround.attacks.inversion.deep_leakage import DeepLeakage
from wardround.attacks.inversion.feature_inversion import FeatureInversion
from wardround.attacks.inversion.grad_inversion import GradInversion
from wardround.attacks.inversion.imprint import Imprint, Imprinted
from wardround.attacks.inversion.inverting_gradients import InvertingGradients
from wardround.attacks.inversion.labels import recovered_labels
from wardround.attacks.inversion.latent_prior import LatentPrior, Prior
from wardround.attacks.inversion.learned_inversion import LearnedInversion
from wardround.attacks.inversion.scoring import Leak, leaks

ATTACKS: dict[str, Attack] = {
    "idlg": DeepLeakage(),
    "idlg-nonzero": DeepLeakage(skips_zeros=True),
    "dlg": DeepLeakage(joint_labels=True),
    "inverting-gradients": InvertingGradients(),
    "grad-inversion": GradInversion(),
    "latent-prior": LatentPrior(),
    "learned-inversion": LearnedInversion(),
    "feature-inversion": FeatureInversion(),
}
"""Names ``wardround attack --attack`` may use, with their papers' settings where these fit small images."""

__all__ = [
    "ATTACKS",
    "Attack",
    "Budget",
    "DeepLeakage",
    "FeatureInversion",
    "GradInversion",
    "Imprint",
    "Imprinted",
    "InvertingGradients",
    "LatentPrior",
    "Leak",
    "LearnedInversion",
    "Prior",
    "Reconstruction",
    "leaks",
    "recovered_labels",
]
