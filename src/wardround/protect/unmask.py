"""From the survivors' reveals to the mask that is left in the sum: what the opener computes."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from wardround.errors import QuorumLost, WireError
from wardround.protect import masks
from wardround.protect.attempt import MAX_COHORT, Attempt, SurvivorList, octets, take_number
from wardround.protect.boxes import KEY_BYTES
from wardround.protect.masks import Mask
from wardround.protect.octets import Reader
from wardround.protect.offers import DIGEST_BYTES, Received, Shown, commits_to, unwrapped, wrapped_bytes
from wardround.protect.shamir import SHARE_BYTES, combine

MAX_REVEAL_BYTES = 2**22
MAX_TRIES = 300

_MAGIC = b"WRMV\x01"

Found = TypeVar("Found")
_Survivor = tuple[bytes, bytes]  # self seed, public mask key
_Dropped = tuple[bytes, dict[str, bytes]]  # mask seed, peer -> pair secret


@dataclass(frozen=True)
class Reveal:
    """What a survivor tells the opener once every survivor signed the list.

    Attributes:
        list_digest: of the list; it binds the reveal to the attempt and to who is on the list.
        index: of the site's shares, from 1.
        shares: in the order of the cohort: of the self seed of a survivor, of the mask seed of a dropped site.
        shown: in the order of the cohort: what the site showed; the wrapped secrets of dropped sites only.
    """

    list_digest: bytes
    index: int
    shares: tuple[bytes, ...] = field(repr=False)
    shown: tuple[Shown, ...]

    @classmethod
    def of(cls, received: Received, listed: SurvivorList) -> Reveal:
        """Choose what to tell; `wardround.protect.commitment.Commitment.release` decides whether to."""
        shares, shown = [], []
        for place, site in enumerate(listed.attempt.cohort):
            one = received.shown[place]
            survives = site in listed.survivors
            shares.append((received.self_shares if survives else received.mask_shares)[place])
            shown.append(Shown(one.mask_key, one.commitment, b"" if survives else one.wrapped))
        return cls(_digest(listed), listed.attempt.index(received.site), tuple(shares), tuple(shown))

    def to_bytes(self) -> bytes:
        """Write the reveal."""
        head = _MAGIC + self.list_digest + octets(self.index) + octets(len(self.shares))
        marks = bytes(bool(one.wrapped) for one in self.shown)
        shown = (one.mask_key + one.commitment + one.wrapped for one in self.shown)
        return b"".join((head, marks, *self.shares, *shown))

    @classmethod
    def from_bytes(cls, data: bytes) -> Reveal:
        """Read what another party sent.

        Raises:
            WireError: it is no reveal.
        """
        reader = Reader("a reveal", data, MAX_REVEAL_BYTES)
        reader.start(_MAGIC)
        digest, index, size = reader.take(DIGEST_BYTES), take_number(reader), take_number(reader)
        if not 1 <= index <= size <= MAX_COHORT or size < 2:
            raise WireError(f"a reveal of site {index} of {size} is out of range")
        marks = reader.take(size)
        if set(marks) - {0, 1}:
            raise WireError("a reveal marks dropped sites by something other than 0 and 1")
        shares = tuple(reader.take(SHARE_BYTES) for _ in range(size))
        wrapped = wrapped_bytes(size)
        shown = tuple(
            Shown(reader.take(KEY_BYTES), reader.take(DIGEST_BYTES), reader.take(wrapped * mark)) for mark in marks
        )
        reader.end()
        return cls(digest, index, shares, shown)


@dataclass(frozen=True)
class Unmasker:
    """What is left of the masks in the sum of the survivors' uploads.

    Attributes:
        mask: the streams; subtract their words from the sum.
        doubts: site -> one sentence on why what it revealed was not used. Either the site lies or, where a share does
            not fit, the site that dealt it.
    """

    mask: Mask
    doubts: Mapping[str, str]

    def words(self, first_word: int, count: int, word_bits: int) -> np.ndarray:
        """Return a range of what is to be subtracted; see `Mask.words`."""
        return self.mask.words(first_word, count, word_bits)


def unmask(listed: SurvivorList, reveals: Mapping[str, Reveal]) -> Unmasker:
    """Compute what is left of the masks.

    Every secret that t shares give is recognised (see `wardround.protect.masks`), so a wrong share never gives a wrong
    sum: other shares are tried instead, first so that each site is left out once, at most `MAX_TRIES` sets in all.

    Args:
        listed: the list that every survivor signed.
        reveals: survivor -> what it revealed. More than the threshold are welcome: they make up for a wrong one.

    Raises:
        QuorumLost: fewer survivors than the threshold revealed anything usable: nothing opens.
        WireError: no set of shares opens the seed of a site.
    """
    usable, doubts = _usable(listed, reveals)
    if len(usable) < listed.threshold:
        reasons = "".join(f"; {reason}" for reason in doubts.values())
        raise QuorumLost(
            f"{len(usable)} of {len(listed.survivors)} survivors revealed their shares, {listed.threshold} are needed: "
            f"nothing opens{reasons}"
        )
    search = _Search(listed, usable, doubts)
    survivors = {site: search.survivor(site) for site in listed.survivors}
    dropped = {site: search.dropped(site) for site in listed.dropped}
    return Unmasker(_left_over(listed.attempt, survivors, dropped), doubts)


def _left_over(attempt: Attempt, survivors: Mapping[str, _Survivor], dropped: Mapping[str, _Dropped]) -> Mask:
    added = [masks.self_stream_key(seed, attempt, site) for site, (seed, _) in survivors.items()]
    subtracted: list[bytes] = []
    for lost, (mask_seed, pair_secrets) in dropped.items():
        private = masks.mask_key(mask_seed, attempt, lost)
        for site, (_, public) in survivors.items():
            shared = masks.exchange(private, public, site)
            stream = masks.pair_stream_key(shared, pair_secrets[site], attempt, site, lost)
            (added if masks.adds(site, lost) else subtracted).append(stream)
    return Mask(tuple(added), tuple(subtracted))


class _Search:
    """Looks for sets of shares that open seeds which fit what their sites showed."""

    def __init__(self, listed: SurvivorList, reveals: Mapping[str, Reveal], doubts: dict[str, str]) -> None:
        self._listed = listed
        self._reveals = reveals
        self._doubts = doubts
        self._sets = list(_sets_of(sorted(reveals), listed.threshold))
        self._retried = False

    def survivor(self, site: str) -> _Survivor:
        """Return the self seed and the public mask key of a survivor."""

        def fits(seed: bytes, shown: Shown) -> _Survivor | None:
            return (seed, shown.mask_key) if commits_to(shown, seed, self._listed.attempt, site) else None

        return self._open(site, fits)

    def dropped(self, site: str) -> _Dropped:
        """Return the mask seed and the pair secrets of a dropped site."""

        def fits(seed: bytes, shown: Shown) -> _Dropped | None:
            pair_secrets = unwrapped(shown, seed, self._listed.attempt, site)
            return None if pair_secrets is None else (seed, pair_secrets)

        return self._open(site, fits)

    def _open(self, site: str, fits: Callable[[bytes, Shown], Found | None]) -> Found:
        place = self._listed.attempt.index(site) - 1
        candidates = list(dict.fromkeys(reveal.shown[place] for reveal in self._reveals.values()))
        for chosen in self._sets:
            seed = self._combined(place, chosen)
            for shown in candidates:
                found = fits(seed, shown)
                if found is not None:
                    self._learn(site, chosen, seed, shown)
                    return found
        raise WireError(
            f"the mask of site {site!r} does not open: no {self._listed.threshold} of the {len(self._reveals)} "
            f"reveals fit what it showed"
        )

    def _learn(self, site: str, chosen: tuple[str, ...], seed: bytes, shown: Shown) -> None:
        """Try this set first for the next site, and note whose reveal does not agree."""
        self._retried |= chosen != self._sets[0]
        self._sets.sort(key=lambda one: one != chosen)
        place = self._listed.attempt.index(site) - 1
        for other, reveal in self._reveals.items():
            if reveal.shown[place] != shown:
                self._doubts.setdefault(other, f"site {other!r} revealed other public values of site {site!r}")
            elif self._retried and other not in chosen and self._combined(place, (*chosen[1:], other)) != seed:
                self._doubts.setdefault(other, f"the share of site {site!r} that site {other!r} revealed does not fit")

    def _combined(self, place: int, chosen: tuple[str, ...]) -> bytes:
        parts = (self._reveals[site] for site in chosen)
        return combine({reveal.index: reveal.shares[place] for reveal in parts}, self._listed.threshold)


def _usable(listed: SurvivorList, reveals: Mapping[str, Reveal]) -> tuple[dict[str, Reveal], dict[str, str]]:
    usable, doubts = {}, {}
    digest, size = _digest(listed), len(listed.attempt.cohort)
    lengths = [0 if site in listed.survivors else wrapped_bytes(size) for site in listed.attempt.cohort]
    for site, reveal in reveals.items():
        if site not in listed.survivors:
            doubts[site] = f"site {site!r} is not on the list of survivors"
        elif reveal.list_digest != digest or reveal.index != listed.attempt.index(site):
            doubts[site] = f"site {site!r} revealed shares of another list or of another site"
        elif len(reveal.shares) != size or [len(one.wrapped) for one in reveal.shown] != lengths:
            doubts[site] = f"site {site!r} revealed shares of other survivors than those on the list"
        else:
            usable[site] = reveal
    return usable, doubts


def _sets_of(sites: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    """Yield different sets of sites; among the first `len(sites)`, each site is once left out if one can be."""
    windows = (tuple(itertools.islice(itertools.cycle(sites), start, start + size)) for start in range(len(sites)))
    seen = set()
    for chosen in itertools.islice(itertools.chain(windows, itertools.combinations(sites, size)), MAX_TRIES):
        if frozenset(chosen) not in seen:
            seen.add(frozenset(chosen))
            yield chosen


def _digest(listed: SurvivorList) -> bytes:
    return hashlib.sha256(listed.message()).digest()
