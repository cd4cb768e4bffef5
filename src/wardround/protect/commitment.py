"""What one site has committed itself to in one round, kept across restarts: at most one list of survivors per attempt.

Every change returns a new `Commitment`. Whoever holds it stores `to_bytes` *before* the signature or the reveal that
came with it leaves the site, so that a crash can forget no promise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from wardround.errors import SiteError, WireError
from wardround.protect.attempt import Attempt, SurvivorList, octets, take_number
from wardround.protect.checked import checked, read_checked
from wardround.protect.offers import Received
from wardround.protect.retry import Signed, may_follow
from wardround.protect.unmask import Reveal

MAX_ATTEMPTS = 64
MAX_COMMITMENT_BYTES = 2**22

_MAGIC = b"WRMC\x01"

Sign = Callable[[bytes], bytes]
"""Signs a message with the identity of the site."""
Verify = Callable[[str, bytes, bytes], bool]
"""Whether a site (first) made a signature (second) of a message (third)."""


@dataclass(frozen=True)
class Commitment:
    """One site in one round.

    Attributes:
        site: the site.
        attempt: the latest attempt, the only one in which the site still acts.
        threshold: of that attempt.
        signed: the lists that the site signed in this round, oldest first; at most one per attempt.
    """

    site: str
    attempt: Attempt
    threshold: int
    signed: tuple[Signed, ...] = ()

    def __post_init__(self) -> None:
        self.attempt.require_threshold(self.threshold)
        self.attempt.index(self.site)

    def follow(self, attempt: Attempt, threshold: int) -> Commitment:
        """Go on to a later attempt of the round; nothing is signed or released for earlier ones any more.

        To follow with the attempt that is already the latest changes nothing.

        Raises:
            SiteError: the attempt is not a later one of this round, does not include this site, comes after too many
                others, or is refused by `may_follow`.
            WireError: the threshold is not more than half of the cohort.
        """
        if (attempt, threshold) == (self.attempt, self.threshold):
            return self
        if (attempt.run, attempt.round) != (self.attempt.run, self.attempt.round):
            raise SiteError(f"site {self.site!r} follows no attempt of another round or run")
        if not self.attempt.number < attempt.number:
            raise SiteError(f"site {self.site!r} is past attempt {attempt.number} of round {attempt.round}")
        if len(self.signed) >= MAX_ATTEMPTS:
            raise SiteError(f"site {self.site!r} signed {MAX_ATTEMPTS} lists in round {attempt.round}, no more")
        attempt.index(self.site)
        attempt.require_threshold(threshold)
        may_follow(self.signed, attempt, threshold)
        return replace(self, attempt=attempt, threshold=threshold)

    def sign(self, listed: SurvivorList, received: Received, sign: Sign) -> tuple[Commitment, bytes]:
        """Sign the list of survivors of the latest attempt; the same list can be signed again, no other can.

        Args:
            listed: the list that the coordinator shows.
            received: the offers of this attempt, which shows that all peers left earlier attempts behind.
            sign: makes the signature.

        Returns:
            What to store, and then the signature to send.

        Raises:
            SiteError: the list is of another attempt, leaves this site out, or is not the one that it signed before.
        """
        self._require_latest(listed, received)
        if self.site not in listed.survivors:
            raise SiteError(f"site {self.site!r} does not sign a list on which it dropped out")
        promised = self._promised
        if promised is not None and promised.listed != listed:
            raise SiteError(f"site {self.site!r} already signed another list of survivors in this attempt")
        signed = self.signed if promised is not None else (*self.signed, Signed(listed, released=False))
        return replace(self, signed=signed), sign(listed.message())

    def release(
        self, listed: SurvivorList, signatures: Mapping[str, bytes], verify: Verify, received: Received
    ) -> tuple[Commitment, Reveal]:
        """Give this site's shares for the list it signed, once every survivor signed the same list.

        Self-mask shares of survivors and mask-key shares of dropped sites, its own included; since the list of an
        attempt never changes, never both for one site. The same shares can be given again.

        Args:
            listed: the list.
            signatures: survivor -> its signature of `SurvivorList.message`.
            verify: tells whether a signature is good.
            received: the offers of this attempt.

        Returns:
            What to store, and then the reveal to send.

        Raises:
            SiteError: the list is not the one that this site signed in its latest attempt.
            WireError: the signatures are not one good one of each survivor.
        """
        self._require_latest(listed, received)
        promised = self._promised
        if promised is None or promised.listed != listed:
            raise SiteError(f"site {self.site!r} releases shares only for the list that it signed")
        if set(signatures) != set(listed.survivors):
            raise WireError(f"{len(signatures)} signatures are not one of each of {len(listed.survivors)} survivors")
        message = listed.message()
        for site in listed.survivors:
            if not verify(site, signatures[site], message):
                raise WireError(f"the signature of site {site!r} does not fit the list of survivors")
        signed = (*self.signed[:-1], Signed(listed, released=True))
        return replace(self, signed=signed), Reveal.of(received, listed)

    def to_bytes(self) -> bytes:
        """Write the commitment for the site's own store."""
        head = self.attempt.to_bytes() + octets(self.threshold) + octets(self.attempt.index(self.site))
        lists = (bytes([one.released]) + one.listed.to_bytes() for one in self.signed)
        return checked(_MAGIC, b"".join((head, octets(len(self.signed)), *lists)))

    @classmethod
    def from_bytes(cls, data: bytes) -> Commitment:
        """Read what `to_bytes` wrote.

        Raises:
            WireError: it is damaged, or something else.
        """
        reader = read_checked("a store of commitments", _MAGIC, data, MAX_COMMITMENT_BYTES)
        attempt, threshold, index, count = Attempt.read(reader), *(take_number(reader) for _ in range(3))
        if not 1 <= index <= len(attempt.cohort) or count > MAX_ATTEMPTS:
            raise WireError(f"{reader.what} belongs to no site of its attempt, or holds more than {MAX_ATTEMPTS} lists")
        signed = []
        for _ in range(count):
            released = reader.take(1) != b"\0"
            signed.append(Signed(SurvivorList.read(reader), released))
        reader.end()
        return cls(attempt.cohort[index - 1], attempt, threshold, tuple(signed))

    @property
    def _promised(self) -> Signed | None:
        last = self.signed[-1] if self.signed else None
        return last if last is not None and last.listed.attempt == self.attempt else None

    def _require_latest(self, listed: SurvivorList, received: Received) -> None:
        if (listed.attempt, listed.threshold) != (self.attempt, self.threshold):
            raise SiteError(f"site {self.site!r} acts only in attempt {self.attempt.number}, its latest of this round")
        if (received.attempt, received.threshold, received.site) != (self.attempt, self.threshold, self.site):
            raise SiteError(f"the offers that site {self.site!r} accepted belong to another attempt")
