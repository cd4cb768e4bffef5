"""What is trained: diffusion models under attacks, screens and aggregators, and what stands beside them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "fedgan-backdoor"))

from arms import BEFORE_MIXING, CALIBRATED, LIE, MEDIAN, MIX, scaled, trigger

DIFFUSION, FEDGAN = "diffusion.toml", "fedgan.toml"
MARK = trigger(size_px=2, margin_px=1)
"""2 of 16 pixels: 1.6% of the area, as 4 of 32."""
X3, LYING = [MARK, scaled()], [MARK, scaled(), LIE]
PROBE = {"share": 0.05}
POOLED = {"algorithm": {"name": "central"}, "training": {"steps": 100}}

CONDITIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "clean": (DIFFUSION, {}),
    "x3": (DIFFUSION, {"attack": X3}),
    "x3 multi-Krum": (DIFFUSION, {"attack": X3, "aggregator": {"name": "multi_krum"}}),
    "x3 clip_norms": (DIFFUSION, {"attack": X3, "screen": [{"name": "clip_norms"}]}),
    "x3 mixing": (DIFFUSION, {"attack": X3, "screen": [MIX], "aggregator": MEDIAN}),
    "x3 generator e-detector": (
        DIFFUSION,
        {"attack": X3, "screen": [{"name": "generator_e_detector"}], "probe": PROBE},
    ),
    "x3 e-detector and mixing": (
        DIFFUSION,
        {"attack": X3, "screen": [BEFORE_MIXING, MIX], "aggregator": MEDIAN, "probe": PROBE},
    ),
    "x3 calibrated": (DIFFUSION, {"attack": X3, "screen": list(CALIBRATED)}),
    "x3 median": (DIFFUSION, {"attack": X3, "aggregator": MEDIAN}),
    "x3 lying calibrated": (DIFFUSION, {"attack": LYING, "screen": list(CALIBRATED)}),
    "FedGAN clean": (FEDGAN, {}),
    "FedGAN x3": (FEDGAN, {"attack": X3}),
    "pooled": (DIFFUSION, POOLED),
}
"""Row of the table -> plan file, what is changed in it. Pooled training takes five times the steps: as many images."""

FIRST_SEED_ALONE = ("x3 calibrated", "x3 lying calibrated")
"""What the losses of the other seeds say of them is in the second table: see `losses`."""
LOSSES_OF = ("x3", "x3 clip_norms")
"""Runs whose losses are looked at: every site tells the truth in them."""
