"""What the attacks of a simulation came to, as a summary tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wardround.report.values import count, number, text, texts


@dataclass(frozen=True)
class AttackResult:
    """What an attack in a simulation came to.

    Attributes:
        kind: as the plan calls it.
        sites: the malicious ones.
        victims: test images that it was tried on.
        success: share of them that the model takes for the target; ``None`` without a victim.
    """

    kind: str
    sites: tuple[str, ...]
    victims: int
    success: float | None


def attack_of(said: Mapping[str, Any]) -> AttackResult:
    """Read one attack of a summary.

    Raises:
        ValueError: a value is none of the right kind.
    """
    success = said["success"]
    return AttackResult(
        text(said["kind"]),
        texts(said["sites"]),
        count(said["victims"]),
        None if success is None else number(success),
    )
