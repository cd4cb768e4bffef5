"""A rule, and a refusal that cites it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wardround.checker.mixture import Mixture


@dataclass(frozen=True)
class Rule:
    """Why a mixture is refused.

    Attributes:
        name: the identifier that a refusal cites.
        reason: what would go wrong; a clause without its full stop.
        remedy: what to do instead; the same.
        broken_by: what in a mixture breaks the rule, in words; nothing where it holds.
    """

    name: str
    reason: str
    remedy: str
    broken_by: Callable[[Mixture], Sequence[str]]


@dataclass(frozen=True)
class Refusal:
    """A rule that a plan breaks.

    Attributes:
        rule: which.
        subject: what breaks it.
    """

    rule: Rule
    subject: str

    @property
    def sentence(self) -> str:
        """The one sentence that a user reads."""
        return f"{self.subject}: {self.rule.reason}; {self.rule.remedy} (rule {self.rule.name})"
