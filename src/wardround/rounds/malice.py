"""What a malicious site of a simulation does; the attacks themselves are in `wardround.attacks.poison`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Protocol

from wardround.algorithms import LocalWork
from wardround.data.images import LabelledImages


class Malice(Protocol):
    """An entry of a plan's ``[[attack]]``."""

    name: ClassVar[str]
    """As a plan has it."""

    @property
    def sites(self) -> tuple[str, ...]:
        """The malicious sites."""
        ...

    @property
    def from_round(self) -> int:
        """The first round in which they attack; before it they are honest."""
        ...

    def check(self, images: LabelledImages) -> None:
        """Refuse images of a site on which this attack would mean nothing.

        Raises:
            PlanError: it names a class that there is not, for example.
        """
        ...

    def around(self, work: LocalWork, honest: LocalWork) -> LocalWork:
        """Return what such a site does instead of `work`.

        Args:
            work: what it would do but for this attack: honest work, or that of the attacks before this one.
            honest: what an honest site does.
        """
        ...


def corrupted(attacks: Iterable[Malice], site: str, honest: LocalWork) -> LocalWork:
    """Return the local work of a site: what each attack that names it makes of it, in their order."""
    work = honest
    for attack in attacks:
        if site in attack.sites:
            work = attack.around(work, honest)
    return work
