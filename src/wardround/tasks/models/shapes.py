"""Which levels a network has: its own, or those that are known of MONAI's."""

from __future__ import annotations

from torch import nn

from wardround.errors import PlanError
from wardround.tasks.models.levels import UShape


def shape_of(network: nn.Module) -> UShape:
    """Return a network's levels: its own, or those that MONAI's ``UNet`` and ``BasicUNet`` are known to have.

    Raises:
        PlanError: the network is no U, or one whose levels nobody described.
    """
    if isinstance(network, UShape):
        return network
    if type(network).__module__.startswith("monai."):
        from wardround.tasks.models.monai_levels import monai_shape  # MONAI takes seconds to import

        found = monai_shape(network)
        if found is not None:
            return found
    raise PlanError(
        f"{type(network).__name__} cannot be cut: choose the model unet or red_cnn, or UNet or BasicUNet of MONAI"
    )
