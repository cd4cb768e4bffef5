"""Which lattice encrypts an update: sizes, security, and how much a sum may hold.

**Noise.** Let q be the product of the data primes, t = 2^k the plaintext modulus, s the secret. A fresh symmetric BFV
ciphertext (Fan, Vercauteren 2012, eprint 2012/144) of words m is a pair (c0, c1) with, in every coefficient,

    c0 + c1 s = round(m q / t) + e   (mod q),    |e| <= 21,

because SEAL draws e from a centred binomial distribution of 21 + 21 bits. Rounding moves m q / t by at most 1/2. Adding
ciphertexts with integer weights w_i that sum to at most W, and subtracting up to W plaintexts (masks), each of which
is scaled and rounded once more, therefore gives

    c0 + c1 s = M q / t + v   (mod q),    |v| <= (21 + 1/2) W + 1/2 W = 22 W,

where M is the exact sum over the integers. Writing M = (M mod t) + t K moves the right side by K q = 0 (mod q), so
plaintexts may wrap around t, as masks do. SEAL decrypts in residues (Bajard et al. 2016, eprint 2016/510, section 3):
with a 61-bit prime g and n data primes it finds M mod t whenever g t |v| / q + n < g / 2, that is

    |v| < q / (2 t) (1 - 2 n / g),

and 2 n / g < 2^-58 for n <= 2. `noise_capacity` is the largest W for which 22 W is below that: a bound, not an
estimate, that holds whatever the sites encrypt and however the noise falls. It says nothing about ciphertexts of a site
that does not follow the protocol; what they can do is spoil the sum, which the opener's tests must see.

**Security.** Levels are those of the Homomorphic Encryption Standard (Albrecht et al. 2018, tables 1 and 2, secret
ternary), for the product of *all* primes. SEAL reserves the last of several primes for key switching, which is not used
here: no ciphertext has it, and counting it errs on the safe side.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass

from wardround.core.codec import canonical_json
from wardround.errors import PlanError
from wardround.protect.packing import CHUNK_WORDS, Layout

BFV, CKKS = "bfv", "ckks"
SEED_BYTES = 64
LARGEST_ERROR = 21
"""Largest coefficient of the error that SEAL adds to a ciphertext."""
MOST_PLAIN_BITS = 59
MOST_FIELDS = 8
MOST_CKKS_WEIGHT = 2**20
LARGEST_REAL = 2.0**20
"""Largest absolute value of a real number under CKKS."""

_CLASSICAL = {
    128: {1024: 27, 2048: 54, 4096: 109, 8192: 218, 16384: 438, 32768: 881},
    192: {1024: 19, 2048: 37, 4096: 75, 8192: 152, 16384: 305, 32768: 611},
    256: {1024: 14, 2048: 29, 4096: 58, 8192: 118, 16384: 237, 32768: 476},
}
_QUANTUM = {
    128: {1024: 25, 2048: 51, 4096: 101, 8192: 202, 16384: 411, 32768: 827},
    192: {1024: 17, 2048: 35, 4096: 70, 8192: 141, 16384: 284, 32768: 571},
    256: {1024: 13, 2048: 27, 4096: 54, 8192: 109, 16384: 220, 32768: 443},
}
LEAST_SECURITY_BITS = 128

# The primes that SEAL itself would choose: below 2^bits and 1 modulo twice the degree.
_PRIME_20 = 1032193
_PRIME_32 = 4294828033
_PRIMES_40 = (1099511390209, 1099511480321)
_PRIME_48 = 281474976694273
_PRIME_56 = 72057594037641217
_PRIME_60 = 1152921504606830593

PRIME_SETS: tuple[tuple[int, ...], ...] = (
    (_PRIMES_40[1],),
    (_PRIME_48,),
    (_PRIME_56,),
    (_PRIME_60,),
    (_PRIME_32, _PRIMES_40[1], _PRIME_20),
    (*_PRIMES_40, _PRIME_20),
)
"""What `choose` chooses from, all at degree 4096; the last of several primes is the reserved one."""

CKKS_DEGREE = 8192
CKKS_PRIMES = (1152921504606748673, 1099510890497, 1099511480321, 1152921504606830593)
"""The published setting: 60, 40, 40 and 60 bits."""
CKKS_SCALE_BITS = 40


@dataclass(frozen=True)
class LatticeParameters:
    """One parameter set, refused when it is not secure or cannot hold what it is for.

    Attributes:
        scheme: ``bfv`` (words, exact) or ``ckks`` (real numbers, approximate).
        degree: coefficients of a polynomial, a power of two.
        primes: coefficient moduli, the reserved one last if there are several.
        weight_total: largest sum of integer weights (``W``) of one running sum.
        message_bits: ``log2`` of the plaintext modulus t under BFV, of the scale under CKKS.
    """

    scheme: str
    degree: int
    primes: tuple[int, ...]
    weight_total: int
    message_bits: int

    def __post_init__(self) -> None:
        if self.scheme not in (BFV, CKKS):
            raise PlanError(f"lattice scheme = {self.scheme!r} is neither {BFV} nor {CKKS}")
        if min(self.classical_bits, self.quantum_bits) < LEAST_SECURITY_BITS:
            raise PlanError(
                f"a modulus of {self.total_bits} bits at degree {self.degree} has less than {LEAST_SECURITY_BITS} bits "
                "of security: use fewer or smaller primes, or a higher degree"
            )
        if not 1 <= self.weight_total <= self.capacity:
            raise PlanError(
                f"weight_total = {self.weight_total} is outside 1 to {self.capacity}, beyond which the noise of a sum "
                "could make it wrong: lower weight_total or the bits per value"
            )

    @property
    def data_primes(self) -> tuple[int, ...]:
        """The primes that a ciphertext is stored under."""
        return self.primes[:-1] or self.primes

    @property
    def data_modulus(self) -> int:
        """Product of the data primes, q."""
        return math.prod(self.data_primes)

    @property
    def total_bits(self) -> int:
        """Bits of the product of all primes, which security is counted for."""
        return math.prod(self.primes).bit_length()

    @property
    def classical_bits(self) -> int:
        """Security against the best known classical attacks, as tabled: 128, 192, 256, or 0 for less."""
        return _security(_CLASSICAL, self.degree, self.total_bits)

    @property
    def quantum_bits(self) -> int:
        """Security against the best known quantum attacks, as tabled: 128, 192, 256, or 0 for less."""
        return _security(_QUANTUM, self.degree, self.total_bits)

    @property
    def capacity(self) -> int:
        """Largest sum of integer weights that opens right."""
        if self.scheme == CKKS:
            return MOST_CKKS_WEIGHT
        return noise_capacity(self.data_modulus, self.message_bits)

    @property
    def values_per_chunk(self) -> int:
        """What one ciphertext holds: words under BFV, real numbers under CKKS."""
        return self.degree if self.scheme == BFV else self.degree // 2

    @property
    def residue_bytes(self) -> tuple[int, ...]:
        """Bytes of one residue on the wire, for each data prime."""
        return tuple((prime.bit_length() + 7) // 8 for prime in self.data_primes)

    @property
    def polynomial_bytes(self) -> int:
        """Bytes of one polynomial on the wire."""
        return self.degree * sum(self.residue_bytes)

    @property
    def upload_chunk_bytes(self) -> int:
        """Bytes of a fresh ciphertext on the wire: one polynomial, and the seed of the other."""
        return SEED_BYTES + self.polynomial_bytes

    @property
    def sum_chunk_bytes(self) -> int:
        """Bytes of a summed ciphertext on the wire: two polynomials."""
        return 2 * self.polynomial_bytes

    @property
    def largest_error(self) -> float:
        """Bound on the error of each number in a CKKS sum of weight 1; for others, times the sum of weights.

        Encoding rounds every coefficient by at most 1/2 and encryption adds at most 21. Decoding is a sum of all
        `degree` coefficients times numbers of modulus 1, divided by the scale. What float64 loses in between, while
        numbers stay below `LARGEST_REAL`, is covered by the 1/2 that is left.
        """
        return 0.0 if self.scheme == BFV else self.degree * (LARGEST_ERROR + 1) / 2.0**self.message_bits

    @property
    def digest(self) -> bytes:
        """SHA-256 that binds a key to its parameters."""
        return hashlib.sha256(canonical_json(asdict(self))).digest()

    def bytes_per_value(self, layout: Layout) -> float:
        """Bytes that one packed value of an upload takes, apart from what the last chunk leaves empty."""
        return self.upload_chunk_bytes / layout.values_per_chunk


def noise_capacity(modulus: int, plain_bits: int) -> int:
    """Return the largest sum of weights W for which every sum opens right; the proof heads this file.

    Args:
        modulus: product of the data primes, q.
        plain_bits: ``log2`` of the plaintext modulus t.

    Returns:
        The largest W with ``22 W < q / (2 t) (1 - 2^-58)``; 0 if there is none or SEAL does not take t.
    """
    if not 2 <= plain_bits <= MOST_PLAIN_BITS:
        return 0
    margin = modulus * (2**58 - 1)
    return (margin - 1) // (2 * (LARGEST_ERROR + 1) << (plain_bits + 58))


def published_ckks(weight_total: int) -> LatticeParameters:
    """Return the setting that is published for federated learning with TenSEAL: a reference, not a recommendation.

    Raises:
        PlanError: `weight_total` is out of range.
    """
    return LatticeParameters(CKKS, CKKS_DEGREE, CKKS_PRIMES, weight_total, CKKS_SCALE_BITS)


def choose(bits: int, weight_total: int) -> tuple[LatticeParameters, Layout]:
    """Return the BFV parameters and the layout with the fewest bytes per value that hold a sum exactly.

    Args:
        bits: of one value, sign included.
        weight_total: largest sum of integer weights (``W``).

    Raises:
        PlanError: no set holds that much; the sentence says what the largest W is.
    """
    options = [
        _option(primes, bits, weight_total, fields)
        for primes in PRIME_SETS
        for fields in range(1, MOST_FIELDS + 1)
        if 1 <= weight_total <= largest_weight(primes, bits, fields)
    ]
    if not options:
        most = max(largest_weight(primes, bits, 1) for primes in PRIME_SETS)
        raise PlanError(
            f"no lattice holds sums of {bits}-bit values with weight_total = {weight_total}: use 1 to {most}, "
            "or fewer bits"
        )
    return min(options, key=lambda option: (option[0].bytes_per_value(option[1]), option[0].total_bits))


def table(bits: int) -> list[tuple[LatticeParameters, Layout]]:
    """Return every set that `choose` can choose from for values of `bits` bits, each with the largest W it holds."""
    return [
        _option(primes, bits, most, fields)
        for primes in PRIME_SETS
        for fields in range(1, MOST_FIELDS + 1)
        if (most := largest_weight(primes, bits, fields))
    ]


def largest_weight(primes: tuple[int, ...], bits: int, fields: int) -> int:
    """Return the largest W that these primes hold with so many fields of `bits`-bit values; 0 if none.

    A larger W makes fields wider and the room for noise smaller, so every W below the returned one fits too.
    """
    modulus, most = math.prod(primes[:-1] or primes), 0
    for extra in range(MOST_PLAIN_BITS // fields - bits + 1):
        weight = min(2**extra, noise_capacity(modulus, fields * (bits + extra)))
        most = max(most, weight)
    return most


def _option(primes: tuple[int, ...], bits: int, weight_total: int, fields: int) -> tuple[LatticeParameters, Layout]:
    layout = Layout(bits, weight_total, fields)
    return LatticeParameters(BFV, CHUNK_WORDS, primes, weight_total, layout.word_bits), layout


def _security(levels: dict[int, dict[int, int]], degree: int, bits: int) -> int:
    return max((level for level, most in levels.items() if bits <= most.get(degree, 0)), default=0)
