"""Which weights of a network are trained; the rest keep their first values and do not travel."""

from __future__ import annotations

from torch import nn

from wardround.algorithms.personal import Personal, everything, head, norms
from wardround.errors import PlanError


def norms_biases_and_head(network: nn.Module) -> frozenset[str]:
    """Train normalisation layers, biases and the head: a per cent of the weights (BitFit, arXiv:2106.10199)."""
    biases = {f"net/{name}" for name, _ in network.named_parameters() if name.split(".")[-1] == "bias"}
    return norms(network) | biases | head(network)


PARTS: dict[str, Personal] = {"all": everything, "norms": norms_biases_and_head, "head": head}
"""Names a plan may use in ``[training] parts``, and the weights that each trains."""


def frozen_weights(network: nn.Module, parts: str) -> frozenset[str]:
    """Return the names (``net/…``, ``stat/…``) of the weights that are not trained.

    Raises:
        PlanError: nothing is left to train.
    """
    frozen = everything(network) - PARTS[parts](network)
    if not any(f"net/{name}" not in frozen for name, _ in network.named_parameters()):
        raise PlanError(f'the network has no {parts} to train: say parts = "all" in [training]')
    return frozen


def freeze(network: nn.Module, frozen: frozenset[str]) -> None:
    """Ask for gradients of all weights but those named."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(f"net/{name}" not in frozen)


def own_weights(network: nn.Module, personal: Personal, frozen: frozenset[str]) -> frozenset[str]:
    """Return the names of the weights that a site trains and keeps for itself.

    Raises:
        PlanError: the plan keeps some at their site, and none of those is trained.
    """
    chosen = personal(network)
    if chosen and chosen <= frozen:
        raise PlanError("the weights that stay at their site are not among the parts that are trained: change either")
    return chosen - frozen
