"""The tensors of a ResNet-50, without their values: prints name -> shape and largest absolute weight, as JSON.

A process of its own, because what is measured runs without torch. The argument is the number of values at which to
stop, counted from the input of the network; 0 takes all.
"""

from __future__ import annotations

import json
import sys

import torch

from wardround.tasks.models import MODELS


def main(most_values: int) -> None:
    """Build the network and list its tensors."""
    torch.manual_seed(0)
    network = MODELS["resnet50"]().build(3, 7)
    listed: dict[str, tuple[list[int], float]] = {}
    count = 0
    for name, tensor in network.state_dict().items():
        if most_values and count >= most_values:
            break
        listed[f"net/{name}"] = list(tensor.shape), float(tensor.abs().max())
        count += tensor.numel()
    print(json.dumps(listed))


if __name__ == "__main__":
    main(int(sys.argv[1]))
