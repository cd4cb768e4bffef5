"""The peer: breaching 0.1.2, on the same network, gradient and settings."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import torch

_BARE = ("breaching", "breaching.attacks", "breaching.cases", "breaching.cases.models")


def load() -> Any:
    """Import the attack, and return its class.

    Packages on the way to it are entered without their ``__init__``, which would import data sets and torchvision.

    Raises:
        ModuleNotFoundError: breaching is not installed.
    """
    found = importlib.util.find_spec("breaching")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("breaching is not installed: pip install --no-deps breaching; pip install omegaconf")
    root = Path(next(iter(found.submodule_search_locations)))
    for name in _BARE:
        package = types.ModuleType(name)
        package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = package
    sys.modules.setdefault("torchvision", types.ModuleType("torchvision"))  # named, and not used on this path
    return importlib.import_module("breaching.attacks.optimization_based_attack").OptimizationBasedAttacker


def attack(
    attacker: Any, network: torch.nn.Module, gradients: list[torch.Tensor], label: int, steps: int, restarts: int
) -> torch.Tensor:
    """Run its Inverting Gradients: signed Adam on the cosine, with total variation; return the image as it is fed."""
    from omegaconf import OmegaConf

    settings = OmegaConf.create(
        {
            "type": "invertinggradients",
            "attack_type": "optimization",
            "label_strategy": None,
            "text_strategy": None,
            "token_recovery": None,
            "objective": {"type": "cosine-similarity", "scale": 1.0, "task_regularization": 0.0},
            "restarts": {"num_trials": restarts, "scoring": "cosine-similarity"},
            "init": "randn",
            "normalize_gradients": False,
            "optim": {
                "optimizer": "adam",
                "signed": "hard",
                "step_size": 0.1,
                "boxed": True,
                "max_iterations": steps,
                "step_size_decay": "step-lr",
                "langevin_noise": 0.0,
                "warmup": 0,
                "grad_clip": None,
                "callback": 10**9,
            },
            "augmentations": None,
            "differentiable_augmentations": False,
            "regularization": {"total_variation": {"scale": 1e-3, "inner_exp": 1, "outer_exp": 1}},
            "impl": {"dtype": "float", "mixed_precision": False, "JIT": None},
        }
    )
    metadata = OmegaConf.create(
        {"shape": [3, 32, 32], "modality": "vision", "mean": [0.5] * 3, "std": [0.25] * 3, "classes": 7}
    )
    loss = torch.nn.CrossEntropyLoss()
    payload = [{"parameters": list(network.parameters()), "buffers": None, "metadata": metadata}]
    buffers = list(network.buffers())
    told = {"num_data_points": 1, "labels": torch.tensor([label]), "local_hyperparams": None, "data_key": None}
    shared = [{"gradients": gradients, "buffers": buffers, "metadata": told}]
    found, _ = attacker(network, loss, settings).reconstruct(payload, shared, {}, dryrun=False)
    image: torch.Tensor = found["data"].detach()
    return image
