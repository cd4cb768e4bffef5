"""``model.safetensors``: the trained weights under the names that the network gives them, and what they are of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import safetensors.numpy

from wardround.core.codec import canonical_json
from wardround.core.update import Tensors
from wardround.tasks import Task
from wardround.tasks.classification import by_slot

MODEL_FILE = "model.safetensors"


def model_file(weights: Tensors, task: Task, personal: Sequence[str]) -> bytes:
    """Return the file's content: the same bytes for the same weights, wherever they are written.

    Args:
        weights: ``net/…`` and ``stat/…``; personal ones at their initial values.
        task: what was learned.
        personal: names of the weights that stayed at the sites.
    """
    # One key: safetensors writes several in an order that differs from process to process.
    facts = {**task.facts, "personal": list(personal)}
    metadata = {"wardround": canonical_json(facts).decode()}
    arrays = {name: np.asarray(value, order="C") for name, value in by_slot(weights).items()}
    return safetensors.numpy.save(arrays, metadata)
