"""Everything that another party's bytes reach, byte by byte: frames, keys, shares, lists, signatures, files."""

from __future__ import annotations

import copy
import dataclasses
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import handshakes
import masked_round
import numpy as np
from mutations import damaged

from wardround.errors import QuorumLost, TrustError, WardroundError, WireError
from wardround.protect.attempt import Attempt, SurvivorList
from wardround.protect.checked import DIGEST_BYTES, checked
from wardround.protect.commitment import Commitment
from wardround.protect.handshake import Handshake
from wardround.protect.handshake_messages import Confirmation, Hello, Introduction
from wardround.protect.identity import Identity, PublicIdentity
from wardround.protect.lattice import LatticeKey, RunningSum, Sealer
from wardround.protect.lattice_parameters import choose, published_ckks
from wardround.protect.masks import Mask
from wardround.protect.octets import Reader
from wardround.protect.offers import MaskSecrets, Received
from wardround.protect.packing import choose_plain
from wardround.protect.run_keys import RunKeys
from wardround.protect.scheme import WordSum
from wardround.protect.shamir import combine
from wardround.protect.trust import Trust
from wardround.protect.unmask import Reveal, unmask
from wardround.protect.vault import Vault

Refused = type[WardroundError]
Take = Callable[[bytes], object]


@dataclass(frozen=True)
class Kind:
    """Something that takes bytes.

    Attributes:
        name: in the report.
        count: mutations.
        goods: bytes that it takes.
        take: takes bytes; what it returns is checked against `says`.
        refused: the errors that it may refuse by.
        says: what must come out of whatever is taken; ``None`` accepts anything.
    """

    name: str
    count: int
    goods: Sequence[bytes]
    take: Take
    refused: tuple[Refused, ...] = (WireError,)
    says: Callable[[bytes, object], bool] | None = None


@dataclass
class Count:
    """How it went."""

    tried: int = 0
    refused: int = 0
    errors: Counter[str] = field(default_factory=Counter)

    def refuse(self, error: WardroundError) -> None:
        """Count a refusal, which must say why."""
        assert str(error), error
        self.refused += 1
        self.errors[type(error).__name__] += 1


def hammer(kind: Kind, seed: str) -> Count:
    """Let `kind` take so many damaged bytes; whatever it raises but a refusal ends the process."""
    rng, count = random.Random(f"{seed} {kind.name}"), Count()
    for good in kind.goods:
        assert kind.says is None or kind.says(good, kind.take(good)), f"{kind.name}: the control is refused"
    for _ in range(kind.count):
        bad = damaged(rng, rng.choice(kind.goods), kind.goods)
        count.tried += 1
        try:
            found = kind.take(bad)
        except kind.refused as error:
            count.refuse(error)
        else:
            assert kind.says is None or kind.says(bad, found), f"{kind.name} takes {bad.hex()}"
    return count


def writes_the_same(data: bytes, found: object) -> bool:
    """Whether what was read writes the bytes that it was read from: nothing is read in two ways."""
    return found.to_bytes() == data  # type: ignore[attr-defined]


def only(*goods: bytes) -> Callable[[bytes, object], bool]:
    """Return a check that nothing but the good bytes was taken."""
    return lambda data, _: data in goods


def kinds(folder: Path) -> Iterator[Kind]:
    """Yield all kinds; files go to `folder`."""
    yield from frames()
    yield from keys()
    yield from handshake()
    yield from shares()
    yield from lists()
    yield from files(folder)


def frames() -> Iterator[Kind]:
    """Yield uploads for the running sum and sums for the sealer."""
    rng = np.random.default_rng(0)
    for name, (parameters, layout), count in (
        ("one prime", choose(16, 64), 6000),
        ("two primes", choose(16, 1000), 2000),
        ("ckks", (published_ckks(64), None), 500),
    ):
        chunks = 2 if layout else 1
        sealer = Sealer(parameters, LatticeKey.new(parameters))
        size = chunks * parameters.values_per_chunk
        values = rng.integers(0, layout.modulus, size, np.uint64) if layout else rng.normal(size=size)
        uploads = [sealer.encrypt(values) for _ in range(2)]

        def add(
            frame: bytes, parameters: object = parameters, chunks: int = chunks, good: bytes = uploads[0]
        ) -> object:
            total = RunningSum(parameters, chunks)
            total.add(good)
            before = total.frame()
            try:
                total.add(frame, 3)
            except WireError:
                assert total.frame() == before, "a refused frame left its mark on the sum"
                raise
            return total.frame()

        total = RunningSum(parameters, chunks)
        for frame in uploads:
            total.add(frame)
        opens = [total.frame()]
        yield Kind(f"upload frame, {name}", count, uploads, add)
        yield Kind(f"sum frame, {name}", count, opens, lambda data, s=sealer, c=chunks: s.open(data, c))
    layout = choose_plain(16, 64)
    words = layout.to_bytes(rng.integers(0, layout.modulus, 4096, np.uint64))
    yield Kind("word frame", 4000, [words], lambda data: WordSum(layout, 4096 * layout.fields).add(data, 3))
    yield Kind("sum of words", 3000, [words], lambda data: layout.unpack_sum(layout.from_bytes(data, 8192), 64, 8192))


def keys() -> Iterator[Kind]:
    """Yield identities, run keys, encryption keys and signatures."""
    identity, other = Identity.new(), Identity.new()
    public = identity.public.to_bytes()
    same = writes_the_same
    yield Kind("public identity", 3000, [public, other.public.to_bytes()], PublicIdentity.from_bytes, says=same)
    yield Kind("private identity", 2000, [identity.to_bytes()], Identity.from_bytes, says=same)
    run = handshakes.Consortium().shake()
    yield Kind("run keys", 4000, [one.to_bytes() for one in run.values()], RunKeys.from_bytes, says=same)
    parameters = choose(16, 64)[0]
    lattice = [LatticeKey.new(parameters).to_bytes() for _ in range(2)]
    yield Kind("encryption key", 4000, lattice, lambda data: LatticeKey.from_bytes(data, parameters), says=same)
    sealer, receiver = run["east"], run["north"]
    box = sealer.seal("north", b"a secret", b"its place")
    yield Kind("sealed box", 3000, [box], lambda data: receiver.open_("east", data, b"its place"), says=only(box))
    message = b"a message"
    for name, signature, holds in (
        ("signature", identity.sign(message), identity.public.verify),
        ("double signature", identity.sign_both(message), identity.public.verify_both),
    ):

        def verify(data: bytes, holds: Callable[[bytes, bytes], bool] = holds) -> None:
            if not holds(message, data):
                raise WireError("it does not hold")

        yield Kind(name, 2000, [signature], verify, says=only(signature))

    def verify_by(data: bytes) -> None:
        signer = PublicIdentity.from_bytes(data)
        if not (signer.verify(message, identity.sign(message)) and signer.verify_both(message, double)):
            raise WireError("it does not hold")

    double = identity.sign_both(message)
    yield Kind("key of a signature", 2000, [public], verify_by, says=only(public))


def handshake() -> Iterator[Kind]:
    """Yield the three messages of a handshake: as they are read, and where a site takes them."""
    consortium = handshakes.Consortium()
    sites = consortium.begin()
    hellos = {name: site.hello for name, site in sites.items()}
    yield Kind(
        "hello", 4000, list(hellos.values()), lambda data: Hello.from_bytes("a hello", data), says=writes_the_same
    )

    def meet(data: bytes) -> object:
        return resumed(sites["north"]).meet({**hellos, "east": data}, lambda: b"")

    refused = (WireError, TrustError)
    yield Kind("hello at a site", 1500, [hellos["east"]], meet, refused, only(hellos["east"]))
    introductions = {name: site.meet(hellos, lambda: b"secret") for name, site in sites.items()}
    to_north = introductions["east"]["north"]
    yield Kind(
        "introduction", 4000, [to_north], lambda data: Introduction.from_bytes("one", data), says=writes_the_same
    )

    def bind(data: bytes) -> object:
        return resumed(sites["north"]).bind({"east": data})

    yield Kind("introduction at a site", 1500, [to_north], bind, refused, only(to_north))
    confirmations = {name: site.bind(handshakes.addressed(introductions, name)) for name, site in list(sites.items())}
    to_north = confirmations["east"]["north"]
    yield Kind(
        "confirmation", 3000, [to_north], lambda data: Confirmation.from_bytes("one", data), says=writes_the_same
    )

    def confirm(data: bytes) -> object:
        return resumed(sites["north"]).confirm({**handshakes.addressed(confirmations, "north"), "east": data})

    yield Kind("confirmation at a site", 3000, [to_north], confirm, refused, only(to_north))


def resumed(site: Handshake) -> Handshake:
    """Return a handshake that stands where `site` does, and goes on by itself."""
    other = copy.copy(site)
    other._pairs, other._keys = dict(site._pairs), dict(site._keys)
    return other


def shares() -> Iterator[Kind]:
    """Yield offers, reveals, shares, and what a site keeps of them."""
    attempt = masked_round.attempt_of(4)
    pair_keys = masked_round.keys_of(attempt.cohort)
    played = masked_round.play(attempt, 3, pair_keys)
    own = played.secrets["alba"]
    offers = {peer: one.offers(pair_keys[peer])["alba"] for peer, one in played.secrets.items() if peer != "alba"}
    keys_of_alba = pair_keys["alba"]
    good = offers["brno"]

    def accept(data: bytes) -> Received:
        return own.accept({**offers, "brno": data}, keys_of_alba)

    yield Kind("sealed offer", 2000, [good], accept, says=only(good))
    associated = own._associated("brno", "alba")
    record = keys_of_alba.open_("brno", good, associated)

    def lie(data: bytes) -> object:
        return own.mask(accept(pair_keys["brno"].seal("alba", data, associated)))

    yield Kind("offer of a lying site", 3000, [record], lie)
    for name, held, kind in (
        ("mask secrets", own, MaskSecrets),
        ("accepted offers", played.received["alba"], Received),
        ("commitment", committed(played), Commitment),
    ):
        yield kept(name, held.to_bytes(), kind.from_bytes)
    listed = played.listed("davos")
    reveals = played.reveals(listed)
    yield Kind("reveal", 5000, [one.to_bytes() for one in reveals.values()], Reveal.from_bytes, says=writes_the_same)
    everyone = played.listed()
    for name, agreed, seen in (("a lost site", listed, reveals), ("nobody lost", everyone, played.reveals(everyone))):
        right = unmask(agreed, seen).mask
        written = seen["brno"].to_bytes()

        def same(data: bytes, agreed: Any = agreed, seen: Any = seen, right: Mask = right) -> bool:
            return unmask(agreed, {**seen, "brno": Reveal.from_bytes(data)}).mask == right

        refused = (WireError, QuorumLost)
        yield Kind(f"reveal at the opener, {name}", 1500, [written], same, refused, lambda _, found: found is True)
    share = played.received["alba"].mask_shares[1]
    others = {index: played.received[site].mask_shares[1] for index, site in ((2, "brno"), (3, "cork"))}
    yield Kind("share", 1000, [share], lambda data: combine({1: data, **others}, 3))


def committed(played: masked_round.Played) -> Commitment:
    """Return what alba has promised after it released."""
    listed, received = played.listed("davos"), played.received["alba"]
    commitment = Commitment("alba", played.attempt, played.threshold)
    commitment, _ = commitment.sign(listed, received, masked_round.sign_as("alba"))
    message = listed.message()
    signatures = {site: masked_round.sign_as(site)(message) for site in listed.survivors}
    return commitment.release(listed, signatures, masked_round.verify, received)[0]


def kept(name: str, written: bytes, read: Take) -> Kind:
    """Return a kind of record whose digest always fits, so that what lies behind the digest is reached."""

    def says(data: bytes, found: object) -> bool:
        # Whether shares were released is a byte that anything but zero sets; a site writes 0 and 1.
        again = found.to_bytes()[:-DIGEST_BYTES]  # type: ignore[attr-defined]
        return again == data or (name == "commitment" and len(again) == len(data))

    return Kind(name, 4000, [written[:-DIGEST_BYTES]], lambda data: read(checked(b"", data)), says=says)


def lists() -> Iterator[Kind]:
    """Yield attempts, lists of survivors, and signatures on them."""
    attempt = masked_round.attempt_of(5)
    listed = SurvivorList(attempt, 3, attempt.cohort[:4])
    attempts = [attempt.to_bytes(), masked_round.attempt_of(2, 7).to_bytes()]
    yield Kind("attempt", 3000, attempts, lambda data: whole(Attempt, data), says=writes_the_same)
    survivors = [listed.to_bytes(), dataclasses.replace(listed, survivors=attempt.cohort).to_bytes()]
    yield Kind("survivor list", 5000, survivors, lambda data: whole(SurvivorList, data), says=writes_the_same)


def whole(kind: type[Attempt] | type[SurvivorList], data: bytes) -> object:
    """Read one thing and nothing behind it."""
    reader = Reader("bytes", data, 2**20)
    found = kind.read(reader)
    reader.end()
    return found


def files(folder: Path) -> Iterator[Kind]:
    """Yield a site's own files: a vault's, and its trust."""
    vault = Vault.for_study(folder / "study")
    vault.write("attempts", b"a promise" * 99)
    path = folder / "study" / "attempts.sealed"

    def read(data: bytes) -> object:
        path.write_bytes(data)
        return vault.read("attempts")

    sealed = path.read_bytes()
    yield Kind("vault file", 4000, [sealed], read, (TrustError,), only(sealed))
    passphrase = b"correct horse battery"
    Vault(folder / "home", passphrase, 15).write("identity", b"a secret")
    salt = folder / "home" / "vault.salt"

    def unlock(data: bytes) -> object:
        salt.write_bytes(data)
        return Vault(folder / "home", passphrase, 15).read("identity")

    header = salt.read_bytes()
    yield Kind("vault header", 150, [header], unlock, (TrustError,), only(header))
    trust = folder / "trust.toml"
    Trust("east", ("ab" * 32, "cd" * 32), {"north": "12" * 32, "südwest": "34" * 32}).write(trust)
    text = trust.read_bytes()

    def load(data: bytes) -> object:
        trust.write_bytes(data)
        return Trust.load(trust)

    yield Kind("trust file", 4000, [text], load, (TrustError,))


def all_kinds(folder: Path, seed: str) -> dict[str, Count]:
    """Hammer every kind; files go to `folder`."""
    return {kind.name: hammer(kind, seed) for kind in kinds(folder)}
