"""Which mixtures of protections mean what they say: rules over contracts."""

from __future__ import annotations

from wardround.checker.contract import Contract, Noise, Norm, Numbers, Picks, Unit, View, Weights
from wardround.checker.mixture import Cohort, Combiner, Grouping, Link, Masking, Mixture, Work
from wardround.checker.rule import Refusal, Rule
from wardround.checker.rules import RULES, check, refusals

__all__ = [
    "RULES",
    "Cohort",
    "Combiner",
    "Contract",
    "Grouping",
    "Link",
    "Masking",
    "Mixture",
    "Noise",
    "Norm",
    "Numbers",
    "Picks",
    "Refusal",
    "Rule",
    "Unit",
    "View",
    "Weights",
    "Work",
    "check",
    "refusals",
]
