"""Training steps of a whole network, or of a site's part of it, in a fresh process; prints JSON. Run by ``run.py``.

Argument: the depth of the cut; 0 is the whole network.
"""

from __future__ import annotations

import json
import resource
import sys

import torch

from wardround.tasks.models.costs import site_part
from wardround.tasks.models.unet import UNet

IMAGES = (32, 3, 128, 128)
STEPS = 3


def peak_mb() -> float:
    """Return the most that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def main(depth: int) -> None:
    """Train on zeros; print by how much the peak grew over what libraries and images take."""
    images = torch.zeros(IMAGES)
    torch.nn.functional.conv2d(images[:1, :, :8, :8], torch.zeros(3, 3, 3, 3)).sum()  # libraries load at first use
    before = peak_mb()
    whole = UNet().build(IMAGES[1], 1)
    network = site_part(whole, depth, IMAGES[1]) if depth else whole.train()
    optimiser = torch.optim.SGD(network.parameters(), 1e-3, momentum=0.9)
    for _ in range(STEPS):
        optimiser.zero_grad()
        torch.autograd.backward(network(images).square().mean())
        optimiser.step()
    print(json.dumps({"peak_mb": peak_mb() - before}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
