"""The closed registry of rules, and what applies them."""

from __future__ import annotations

from collections.abc import Iterable

from wardround.checker.mixture import Mixture
from wardround.checker.rule import Refusal, Rule
from wardround.checker.rules.cuts import CUTS
from wardround.checker.rules.groups import GROUPS
from wardround.checker.rules.noise import NOISE
from wardround.checker.rules.numbers import NUMBERS
from wardround.checker.rules.privacy import PRIVACY
from wardround.checker.rules.rounds import ROUNDS
from wardround.checker.rules.sums import SUMS
from wardround.errors import PlanError

RULES: dict[str, Rule] = {rule.name: rule for rule in (*ROUNDS, *NUMBERS, *SUMS, *GROUPS, *NOISE, *PRIVACY, *CUTS)}
"""Every rule by its identifier, in the order in which refusals are told."""

__all__ = ["CUTS", "GROUPS", "NOISE", "NUMBERS", "PRIVACY", "ROUNDS", "RULES", "SUMS", "check", "refusals"]


def refusals(mixture: Mixture, rules: Iterable[Rule] | None = None) -> list[Refusal]:
    """Return every rule that a mixture breaks, with what breaks it; of `rules`, or of all there are."""
    applied = RULES.values() if rules is None else rules
    return [Refusal(rule, subject) for rule in applied for subject in rule.broken_by(mixture)]


def check(mixture: Mixture) -> None:
    """Refuse a mixture that would run and not mean what it says.

    Raises:
        PlanError: the first refusal; its ``rule`` is the rule's identifier.
    """
    found = refusals(mixture)
    if found:
        raise PlanError(found[0].sentence, rule=found[0].rule.name)
