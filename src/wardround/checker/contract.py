"""What a stage promises: the facts, and the only facts, that rules reason over."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Numbers(Enum):
    """What an update is made of between two stages."""

    REAL = "real numbers"
    INTEGER = "integers on one grid that all sites share"
    CODES = "codes on a grid of each site's own"
    MASKED = "masked integers"
    CIPHERTEXT = "ciphertexts"

    @property
    def is_summed(self) -> bool:
        """Whether such numbers of several sites are added as they are, place by place, before anybody reads them."""
        return self in (Numbers.INTEGER, Numbers.MASKED, Numbers.CIPHERTEXT)


class Norm(Enum):
    """What a stage does to the joint L2 norm of an update."""

    KEEPS = "keeps or shortens it"
    BOUNDS = "bounds it by a constant of the plan"
    INFLATES = "lengthens it by no more than follows from the plan"
    GROWS = "may lengthen it beyond what the plan says"


class Picks(Enum):
    """Which coordinates of an update travel."""

    ALL = "all"
    SHARED = "some, by a public choice that is the same at every site"
    OWN = "some, chosen by each site from its own update"


class View(Enum):
    """What somebody must see, or what is covered: each site's update, or only their sum."""

    EACH = "each update"
    SUM = "the sum of the updates"


class Unit(Enum):
    """Whose presence noise hides."""

    RECORD = "an image, a lesion or a patient at one site"
    SITE = "a site with all it has"


class Weights(Enum):
    """Where the weights of a mean come from."""

    PUBLIC = "constants of the plan"
    REPORTED = "numbers of examples that sites report"


@dataclass(frozen=True)
class Noise:
    """Noise with an (epsilon, delta) behind it.

    Attributes:
        covers: ``EACH`` where one update by itself carries enough noise; ``SUM`` where each site adds its share, and
            only the sum of a round carries enough.
        unit: whose presence it hides.
        seeded: whether it comes from the plan's seed, so that whoever knows the plan can take it off again.
        by_opener: whether whoever opens the sum adds it, and so sees the sum without.
    """

    covers: View
    unit: Unit
    seeded: bool = False
    by_opener: bool = False


@dataclass(frozen=True)
class Contract:
    """What a stage takes, what it gives, and what it does on the way.

    Attributes:
        takes: numbers that it can work on.
        gives: numbers that it makes of them.
        norm: what it does to the norm.
        picks_coordinates: which coordinates are left.
        hides: what whoever carries and sums updates can no longer read.
        noise: noise that it adds.
        remembers: whether what it leaves out of an update is added to the site's next one.
    """

    takes: frozenset[Numbers]
    gives: Numbers
    norm: Norm = Norm.KEEPS
    picks_coordinates: Picks = Picks.ALL
    hides: frozenset[View] = frozenset()
    noise: Noise | None = None
    remembers: bool = False

    @property
    def summable(self) -> bool:
        """Whether what it gives can be added across sites place by place."""
        return self.picks_coordinates is not Picks.OWN and self.gives is not Numbers.CODES
