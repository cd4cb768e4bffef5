"""Which weights stay at their site."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from wardround.errors import PlanError
from wardround.tasks.classification import shared_buffers
from wardround.tasks.inputs import name_of_head

Personal = Callable[[nn.Module], frozenset[str]]
"""Names (``net/…``, ``stat/…``) of a network's weights that never leave a site."""

_NORMS = (nn.GroupNorm, nn.LayerNorm, nn.modules.batchnorm._NormBase)


def nothing(network: nn.Module) -> frozenset[str]:
    """Keep nothing: every weight is shared."""
    return frozenset()


def everything(network: nn.Module) -> frozenset[str]:
    """Keep every weight: the sites learn alone."""
    return frozenset(_names(network, ""))


def norms(network: nn.Module) -> frozenset[str]:
    """Keep the normalisation layers, statistics included (FedBN; Li et al. 2021, arXiv:2102.07623)."""
    return _inside(network, _NORMS)


def head(network: nn.Module) -> frozenset[str]:
    """Keep the head, which is the last linear layer in most networks (FedPer; Arivazhagan et al. 2019, 1912.00818)."""
    name = name_of_head(network)
    return frozenset(_names(network, name + ".")) if name else frozenset()


def norms_and_head(network: nn.Module) -> frozenset[str]:
    """Keep the normalisation layers and the last linear layer."""
    return norms(network) | head(network)


def discriminator(network: nn.Module) -> frozenset[str]:
    """Keep the discriminator of a pair of adversaries, its statistics included."""
    return frozenset(_names(network, "discriminator."))


PERSONAL: dict[str, Personal] = {
    "nothing": nothing,
    "norms": norms,
    "head": head,
    "norms+head": norms_and_head,
}


def personal(name: str) -> Personal:
    """Look `name` up.

    Raises:
        PlanError: there is no such choice.
    """
    if name not in PERSONAL:
        raise PlanError(f"algorithm personal = {name!r} is not one of {', '.join(PERSONAL)}")
    return PERSONAL[name]


def _inside(network: nn.Module, kinds: tuple[type[nn.Module], ...]) -> frozenset[str]:
    prefixes = tuple(name + "." for name, module in network.named_modules() if isinstance(module, kinds))
    return frozenset(name for prefix in prefixes for name in _names(network, prefix))


def _names(network: nn.Module, prefix: str) -> list[str]:
    parameters = [f"net/{name}" for name, _ in network.named_parameters() if name.startswith(prefix)]
    buffers = [f"stat/{name}" for name in shared_buffers(network) if name.startswith(prefix)]
    return parameters + buffers
