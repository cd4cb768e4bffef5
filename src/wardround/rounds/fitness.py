"""What the parts of a plan must agree on before it can run: task, model, algorithm, training, cut and defence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from wardround.algorithms import Ditto, DpSgd, FedBn, FedGan, FedRep, FedSr, Irm, Local, LogitAdjusted
from wardround.algorithms.augment import AUGMENTATIONS
from wardround.errors import PlanError
from wardround.rounds import defended
from wardround.screen import EDetector, GeneratorEDetector
from wardround.tasks import Restore
from wardround.tasks.models import Diffusion, RedCnn
from wardround.tasks.models.cut import cut

if TYPE_CHECKING:
    from wardround.rounds.plan import Plan

_MODELS_FOR = {
    "image": "small_cnn or resnet18",
    "pixel": 'unet, or "monai" with network = "BasicUNet"',
    "sample": "dcgan, style_gan or diffusion",
}


def refuse_unfit(plan: Plan) -> None:
    """Refuse a plan of which one part asks for what another cannot give.

    Raises:
        PlanError: it says what does not fit, and what would.
    """
    for refuse in (_features, _pixels, _cut, _samples, defended.refuse_unfit):
        refuse(plan)


def _features(plan: Plan) -> None:
    if plan.trains_on_features and plan.training.augment != "none":
        raise PlanError(
            f'training augment = "{plan.training.augment}" cannot reach a head that is fed features computed once '
            'for each image: say augment = "none", or train all parts of another model'
        )
    if plan.trains_on_features and isinstance(plan.algorithm, DpSgd) and plan.algorithm.views > 1:
        raise PlanError("views of an image whose features are computed once are all the same: remove views")
    if plan.trains_on_features and isinstance(plan.algorithm, FedSr):
        raise PlanError("fedsr shapes the features before the head, and here they never change: choose fedavg")


def _pixels(plan: Plan) -> None:
    name, answers = plan.learns.name, plan.learns.answers
    if answers not in plan.model.answers:
        raise PlanError(
            f"{type(plan.model).__name__} gives one answer for each {plan.model.answers[0]}, and {name} needs one "
            f"for each {answers}: choose {_MODELS_FOR[answers]} in [model]"
        )
    if answers == "pixel" and (plan.training.parts != "all" or "head" in getattr(plan.algorithm, "personal", "")):
        raise PlanError(
            f'{name} has no head, which is the last linear layer of a classifier: say parts = "all" in [training], '
            'and personal = "nothing" or "norms" in [algorithm]'
        )
    if answers == "pixel" and isinstance(plan.algorithm, FedSr | Irm | LogitAdjusted):
        raise PlanError(f"this algorithm is made for the classes of whole images, which {name} has not: choose fedavg")
    if isinstance(plan.learns, Restore) and plan.learns.residual and isinstance(plan.model, RedCnn):
        raise PlanError("red_cnn adds its input by itself: say residual = false in [task]")
    if plan.learns.keeps_levels and AUGMENTATIONS[plan.training.augment].recolours:
        raise PlanError(
            f'training augment = "{plan.training.augment}" changes the grey levels that {name} learns: choose one '
            'that only moves pixels, such as "dihedral"'
        )


def _cut(plan: Plan) -> None:
    if plan.split is not None and not plan.algorithm.work.splits:
        raise PlanError("[split] cuts the network, which this algorithm trains as a whole: choose splitfed_v1, say")
    if plan.split is None and plan.algorithm.work.splits:
        raise PlanError("this algorithm trains a network that is cut: say where, [split] depth = 1 for example")
    if plan.split is not None and plan.attacks:
        raise PlanError("an [[attack]] is on a site's own training, which a cut divides: leave [split] out")
    if plan.split is not None and plan.training.parts != "all":
        raise PlanError('a network that is cut is trained as a whole: say parts = "all" in [training]')
    if plan.split is not None:
        with torch.random.fork_rng(), torch.device("meta"):  # levels without the memory of their weights
            cut(plan.model.build(1, 1), plan.split.depth)


def _probed_images(plan: Plan, makes: bool) -> None:
    """Refuse the e-detector that judges the other kind of network."""
    misplaced, instead = (EDetector, "generator_e_detector") if makes else (GeneratorEDetector, "e_detector")
    if any(isinstance(screen, misplaced) for screen in plan.screens):
        raise PlanError(
            f"the screen e_detector measures classifiers, and generator_e_detector generators: choose {instead}"
        )


def _samples(plan: Plan) -> None:
    task, algorithm, training = plan.learns, plan.algorithm, plan.training
    makes, duels = task.answers == "sample", isinstance(algorithm, FedGan)
    _probed_images(plan, makes)
    if duels and not makes:
        raise PlanError(f'fedgan makes images, and the task is {task.name}: say name = "synthesis" in [task]')
    if not makes:
        return
    if training.parts != "all":
        raise PlanError('synthesis has no head to train alone: say parts = "all" in [training]')
    if isinstance(plan.model, Diffusion):
        _denoises(plan)
        return
    if isinstance(algorithm, DpSgd):
        raise PlanError(
            "dpsgd bounds what one image does to one network's gradient, and synthesis trains two networks, each on "
            "what the other made of the images before: choose fedgan, and noise on whole sites' updates ([privacy] "
            'unit = "site")'
        )
    if not duels:
        raise PlanError(
            "this model is two networks against each other: choose the algorithm fedgan, or the model diffusion"
        )
    if training.optimiser != "adamw":
        raise PlanError('fedgan trains with Adam: say optimiser = "adamw" in [training]')


def _denoises(plan: Plan) -> None:
    algorithm = plan.algorithm
    if isinstance(algorithm, FedGan):
        raise PlanError("fedgan trains two networks, and diffusion is one: choose fedavg, or the model dcgan")
    if isinstance(algorithm, FedSr | Irm | LogitAdjusted):
        raise PlanError(
            "this algorithm is made for the classes of whole images, and diffusion is told them: choose fedavg"
        )
    if isinstance(algorithm, FedBn | FedRep | Ditto | Local) or getattr(algorithm, "personal", "nothing") != "nothing":
        raise PlanError(
            "this algorithm gives each site weights of its own, and images are made by what is shared: choose fedavg, "
            'with personal = "nothing"'
        )
    if AUGMENTATIONS[plan.training.augment].recolours:
        raise PlanError(
            f'training augment = "{plan.training.augment}" changes the grey levels that diffusion learns to make: '
            'choose "none", or one that only moves pixels, which is then learned, too'
        )
