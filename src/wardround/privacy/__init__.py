"""What noise costs: immutable events of added noise go in, (epsilon, delta) comes out."""

from wardround.privacy.accountant import Accountant, epsilon_of
from wardround.privacy.calibration import calibrated
from wardround.privacy.claim import GROUP_UNITS, SITE, UNITS, Privacy
from wardround.privacy.events import DiscreteGaussian, Event, Gaussian, event_from_json, event_to_json

__all__ = [
    "GROUP_UNITS",
    "SITE",
    "UNITS",
    "Accountant",
    "DiscreteGaussian",
    "Event",
    "Gaussian",
    "Privacy",
    "calibrated",
    "epsilon_of",
    "event_from_json",
    "event_to_json",
]
