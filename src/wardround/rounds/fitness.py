"""What a task, an algorithm and its training must agree on before a plan that makes images can run."""

from __future__ import annotations

from wardround.algorithms import AlgorithmSpec, DpSgd, FedGan, Training
from wardround.errors import PlanError
from wardround.tasks import TaskSpec


def refuse_unfit_for_samples(task: TaskSpec, algorithm: AlgorithmSpec, training: Training) -> None:
    """Refuse parts of a plan of which one makes images and another does not.

    Raises:
        PlanError: it says what does not fit, and what would.
    """
    makes, duels = task.answers == "sample", isinstance(algorithm, FedGan)
    if duels and not makes:
        raise PlanError(f'fedgan makes images, and the task is {task.name}: say name = "synthesis" in [task]')
    if not makes:
        return
    if isinstance(algorithm, DpSgd):
        raise PlanError(
            "dpsgd bounds what one image does to one network's gradient, and synthesis trains two networks, each on "
            "what the other made of the images before: choose fedgan, and noise on whole sites' updates ([privacy] "
            'unit = "site")'
        )
    if not duels:
        raise PlanError("synthesis trains two networks against each other: choose the algorithm fedgan")
    if training.parts != "all":
        raise PlanError('synthesis has no head to train alone: say parts = "all" in [training]')
    if training.optimiser != "adamw":
        raise PlanError('fedgan trains with Adam: say optimiser = "adamw" in [training]')
