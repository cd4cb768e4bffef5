"""What malicious sites of a simulation do, so that a defence is believed for a reason.

An attack wraps a site's local work: it changes the images that the site trains on, or the result that it sends. What a
plan does to updates afterwards (``[[protect]]``) such a site carries out like any other.
"""

from __future__ import annotations

from wardround.attacks.poison.base import Culprits
from wardround.attacks.poison.image_triggers import ImageTrigger
from wardround.attacks.poison.labels import LabelFlip
from wardround.attacks.poison.success import Aimed, Trial
from wardround.attacks.poison.triggers import Trigger
from wardround.attacks.poison.updates import Lie, Noise, NormBound, Scale, SignFlip

POISONS: dict[str, type[Culprits]] = {
    "label_flip": LabelFlip,
    "trigger": Trigger,
    "image_trigger": ImageTrigger,
    "scale": Scale,
    "sign_flip": SignFlip,
    "noise": Noise,
    "norm_bound": NormBound,
    "lie": Lie,
}
"""Names a plan may use in ``[[attack]] kind = …``."""

__all__ = [
    "POISONS",
    "Aimed",
    "Culprits",
    "ImageTrigger",
    "LabelFlip",
    "Lie",
    "Noise",
    "NormBound",
    "Scale",
    "SignFlip",
    "Trial",
    "Trigger",
]
