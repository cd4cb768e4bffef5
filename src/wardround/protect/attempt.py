"""One attempt at a masked sum: what every secret, mask, offer, list and reveal of it is bound to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from wardround.core.names import is_site_name
from wardround.errors import PlanError, SiteError, WireError
from wardround.protect.octets import Reader, counted, joined
from wardround.protect.shamir import MAX_SHARES

MAX_COHORT = MAX_SHARES
RUN_BYTES = 32

_SMALL_COHORT = 5
_NUMBER_BYTES = 4


@dataclass(frozen=True)
class Attempt:
    """A round is attempted again, under the next number, when sites are lost or its sum is refused.

    Attributes:
        run: 32 bytes that name the run.
        round: index of the round, from 0.
        number: of the attempt within the round, from 0.
        cohort: sites whose masks cancel in this attempt, sorted; 2 to 255.
    """

    run: bytes
    round: int
    number: int
    cohort: tuple[str, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.run, bytes) or len(self.run) != RUN_BYTES:
            raise WireError(f"an attempt names its run by {RUN_BYTES} bytes, this one does not")
        for what, number in (("round", self.round), ("number", self.number)):
            if type(number) is not int or not 0 <= number < 2 ** (8 * _NUMBER_BYTES):
                raise WireError(f"an attempt's {what} is a whole number below 2^32, this one's is not")
        _require_names("the cohort of an attempt", self.cohort)
        if len(self.cohort) < 2:
            raise WireError("a masked sum needs at least 2 sites, this attempt names fewer")

    def binding(self) -> bytes:
        """Return the digest that ties everything made for this attempt to it."""
        names = (name.encode() for name in self.cohort)
        place = (octets(self.round), octets(self.number))
        return hashlib.sha256(joined("mask attempt", self.run, *place, *names)).digest()

    def index(self, site: str) -> int:
        """Return the index (from 1) of the shares that `site` holds.

        Raises:
            SiteError: the site is not in the cohort.
        """
        if site not in self.cohort:
            raise SiteError(f"site {site!r} is not in the cohort of this attempt")
        return self.cohort.index(site) + 1

    def peers(self, site: str) -> tuple[str, ...]:
        """Return the cohort without `site`."""
        return tuple(name for name in self.cohort if name != site)

    def require_threshold(self, threshold: int) -> None:
        """Refuse a threshold that two disjoint sets of sites could reach, or that nobody could.

        Raises:
            WireError: it is not more than half of the cohort and at most all of it.
        """
        if type(threshold) is not int or not len(self.cohort) < 2 * threshold <= 2 * len(self.cohort):
            raise WireError(f"a threshold of {threshold} is not more than half of {len(self.cohort)} sites")

    def to_bytes(self) -> bytes:
        """Write the attempt."""
        names = b"".join(counted(name.encode()) for name in self.cohort)
        return self.run + octets(self.round) + octets(self.number) + octets(len(self.cohort)) + names

    @classmethod
    def read(cls, reader: Reader) -> Attempt:
        """Take an attempt that `to_bytes` wrote.

        Raises:
            WireError: it is not one.
        """
        run = reader.take(RUN_BYTES)
        round_index, number, size = (take_number(reader) for _ in range(3))
        if size > MAX_COHORT:
            raise WireError(f"{reader.what} names {size} sites, more than the limit of {MAX_COHORT}")
        return cls(run, round_index, number, tuple(reader.take_name() for _ in range(size)))


@dataclass(frozen=True)
class SurvivorList:
    """The sites whose uploads are in a sum, as every one of them signs it before any share is released.

    Attributes:
        attempt: the attempt.
        threshold: number of shares that open a secret of the attempt.
        survivors: part of the cohort, sorted, at least `threshold`.
    """

    attempt: Attempt
    threshold: int
    survivors: tuple[str, ...]

    def __post_init__(self) -> None:
        self.attempt.require_threshold(self.threshold)
        _require_names("a list of survivors", self.survivors)
        if not set(self.survivors) <= set(self.attempt.cohort):
            raise WireError("a list of survivors names a site outside the cohort")
        if len(self.survivors) < self.threshold:
            raise WireError(f"{len(self.survivors)} survivors are below the threshold of {self.threshold}")

    @property
    def dropped(self) -> tuple[str, ...]:
        """The rest of the cohort."""
        return tuple(site for site in self.attempt.cohort if site not in self.survivors)

    def message(self) -> bytes:
        """Return what every survivor signs."""
        names = (name.encode() for name in self.survivors)
        return joined("mask survivors", self.attempt.binding(), octets(self.threshold), *names)

    def to_bytes(self) -> bytes:
        """Write the list with its attempt."""
        kept = bytes(site in self.survivors for site in self.attempt.cohort)
        return self.attempt.to_bytes() + octets(self.threshold) + kept

    @classmethod
    def read(cls, reader: Reader) -> SurvivorList:
        """Take a list that `to_bytes` wrote.

        Raises:
            WireError: it is not one.
        """
        attempt, threshold = Attempt.read(reader), take_number(reader)
        kept = reader.take(len(attempt.cohort))
        if set(kept) - {0, 1}:
            raise WireError(f"{reader.what} marks survivors by something other than 0 and 1")
        return cls(attempt, threshold, tuple(site for site, mark in zip(attempt.cohort, kept, strict=True) if mark))


def default_threshold(num_sites: int, plan_threshold: int = 0) -> int:
    """Return how many sites must agree before a masked sum of `num_sites` opens.

    All but one up to five sites, just more than half above; with two sites both, since a sum that lost one of them
    would be the other's update. A threshold ``t`` of ``n`` lets ``n - t`` sites drop out. The coordinator with
    ``t - 1`` sites opens nothing but the one sum that the rest agreed to; if it also shows different lists to
    different sites, that holds up to ``2 t - n - 1`` sites (`wardround.protect.masks`): a reason for a plan to ask
    for more.

    Args:
        num_sites: of the attempt's cohort.
        plan_threshold: what the plan asks for instead; 0 leaves it to the rule.

    Raises:
        PlanError: fewer than 2 or more than 255 sites, or a threshold that is not more than half of them and at most
            all of them.
    """
    if not 2 <= num_sites <= MAX_COHORT:
        raise PlanError(f"masks need 2 to {MAX_COHORT} sites, not {num_sites}: change the sites or leave the masks out")
    if plan_threshold == 0:
        return max(2, num_sites - 1) if num_sites <= _SMALL_COHORT else num_sites // 2 + 1
    if not num_sites < 2 * plan_threshold <= 2 * num_sites:
        raise PlanError(
            f"a mask threshold of {plan_threshold} among {num_sites} sites protects nothing or never opens: "
            f"ask for {num_sites // 2 + 1} to {num_sites}, or for 0 to leave it to the rule"
        )
    return plan_threshold


def octets(number: int) -> bytes:
    """Write a whole number below 2^32."""
    return number.to_bytes(_NUMBER_BYTES, "big")


def take_number(reader: Reader) -> int:
    """Take what `octets` wrote."""
    return int.from_bytes(reader.take(_NUMBER_BYTES), "big")


def _require_names(what: str, names: object) -> None:
    if not isinstance(names, tuple) or not all(map(is_site_name, names)):
        raise WireError(f"{what} is not a list of names that a site may have")
    if len(names) > MAX_COHORT or list(names) != sorted(set(names)):
        raise WireError(f"{what} is not sorted and free of doubles, or is longer than {MAX_COHORT}")
