"""What the sites learn: a task turns images into a loss and a loss into metrics."""

from __future__ import annotations

from wardround.tasks.base import Task, TaskSpec
from wardround.tasks.classification import Classification, Classify
from wardround.tasks.restoration import Restoration, Restore
from wardround.tasks.segmentation import Segment, Segmentation
from wardround.tasks.synthesis import Synthesis, Synthesise

TASKS: dict[str, type[TaskSpec]] = {kind.name: kind for kind in (Classify, Segment, Restore, Synthesise)}
"""Names a plan may use in ``[task] name = …``; a plan without the table classifies."""

__all__ = [
    "TASKS",
    "Classification",
    "Classify",
    "Restoration",
    "Restore",
    "Segment",
    "Segmentation",
    "Synthesis",
    "Synthesise",
    "Task",
    "TaskSpec",
]
