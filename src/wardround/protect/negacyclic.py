"""Opening BFV sums without SEAL: one product of polynomials by complex Fourier transforms, then integers only.

**What is computed.** A sum (c0, c1) modulo a prime q of B <= 60 bits opens to round(t x / q) mod t, where t = 2^k and
x = c0 + c1 s modulo X^N + 1 and q; s is the secret, with coefficients -1, 0 and 1. Each coefficient of c1 is cut into
two digits of at most h = ceil(B / 2) <= 30 bits, and each digit polynomial is multiplied by s over the integers.

**The product.** Write N = 2 M, M = 2^n. A real polynomial a modulo X^N + 1 is the complex one a_j + i a_(j+M) modulo
X^M - i, and X = w Y with w = exp(i pi / N) turns that into Y^M - 1: multiply coefficient j by w^j, transform, multiply
the spectra, transform back, divide by w^j. All of it is float64 and the result an integer, so it is rounded.

**The error**, after Percival 2003 (Math. Comp. 72, 387-395) and Brent, Percival, Zimmermann 2007 (Math. Comp. 76,
1469-1481). Let u = 2^-53. Adding two complex numbers costs a relative error of at most u, multiplying two at most
5^(1/2) u. Let every root of unity in a table be right to 8 u: numpy's transform (pocketfft) makes each by one product
of two that are right to 3 u, and w^j is a sine and a cosine, each within 4 units in the last place, of an angle below 2
that is right to 2 u. A transform of length M in passes of radix 2, 4 or 8 has n levels of additions, and before each
level a number meets at most one root (inside a pass an eighth root of unity, which costs less). Therefore

- on the way there every level is 2^(1/2) times a unitary map and multiplies the error, in the 2-norm, by what one
  addition and one product by a root cost; the multiplication by w^j is one such product more;
- the absolute values in the product of two spectra A and S sum to at most ||A|| ||S|| = M ||a|| ||s||
  (Cauchy-Schwarz), and those of its error to that times the relative error so far;
- on the way back a coefficient is 1 / M times the sum of those M numbers, each of which meets at most n additions and
  n + 1 products by roots, the last one by w^-j.

Collecting the factors, no coefficient is off by

    ||a|| ||s|| ((1 + u)^(3 n) (1 + 5^(1/2) u)^(3 n + 4) (1 + 8 u)^(3 n + 3) - 1)

or more. Digits below 2^h give ||a|| <= N^(1/2) 2^h, and ||s|| <= N^(1/2). With N = 4096, n = 11 and h = 30 that is
2^42 (33 + 37 * 5^(1/2) + 36 * 8) u < 0.198, whatever c1 and s are; `product_error_bound` computes it. What is rounded
therefore lies less than 1/4 from an integer, and that integer is right. A number that lies further off means that numpy
or the machine does not do what is said above: it raises, and is not rounded.

**The rest** is arithmetic on 64-bit integers; see `WordOpener`.
"""

from __future__ import annotations

import math

import numpy as np

from wardround.errors import RunError
from wardround.protect.lattice_parameters import BFV, LatticeParameters

MOST_DISTANCE = 0.25
"""From an integer, of what is rounded to it."""
_MOST_DEGREE = 4096
_LEAST_BITS, _MOST_BITS = 40, 60
_MOST_GAP_BITS = 20
_UNIT = 2.0**-53
_ROOT_ERROR = 8 * _UNIT


def product_error_bound(degree: int, digit_bits: int) -> float:
    """Return how far a coefficient of a product may be off before it is rounded; the proof heads this file.

    Args:
        degree: of the ring, N.
        digit_bits: bits of the coefficients that the secret is multiplied by, h.
    """
    levels = int(math.log2(degree // 2))
    factors = 3 * levels * math.log1p(_UNIT)
    factors += (3 * levels + 4) * math.log1p(math.sqrt(5) * _UNIT)
    factors += (3 * levels + 3) * math.log1p(_ROOT_ERROR)
    return degree * 2.0**digit_bits * math.expm1(factors)


class SecretProduct:
    """Multiplies polynomials with small coefficients by a secret one, modulo X^N + 1 and exactly.

    Args:
        secret: int8 ``(degree,)`` of -1, 0 and 1.
    """

    def __init__(self, secret: np.ndarray) -> None:
        self._half = secret.size // 2
        self._twist = np.exp(1j * np.pi * np.arange(self._half) / secret.size)
        self._untwist = self._twist.conj()
        folded = secret[: self._half] + 1j * secret[self._half :]
        # A transform back divides by the length; here the spectrum of the secret is divided, which is exact.
        self._spectrum = np.fft.fft(folded * self._twist) / self._half

    def times(self, digits: np.ndarray) -> np.ndarray:
        """Multiply each row by the secret.

        Args:
            digits: int64 ``(rows, degree)``, in [0, 2^h) with `product_error_bound` below 1/4.

        Returns:
            int64 ``(rows, degree)``.

        Raises:
            RunError: a coefficient is not close to an integer, against the proof.
        """
        rows, half = len(digits), self._half
        numbers = np.empty((rows, half), np.complex128)
        numbers.real, numbers.imag = digits[:, :half], digits[:, half:]
        numbers *= self._twist
        np.fft.fft(numbers, out=numbers)
        numbers *= self._spectrum
        np.fft.ifft(numbers, norm="forward", out=numbers)
        numbers *= self._untwist
        flat = numbers.view(np.float64)
        near = np.rint(flat)
        flat -= near
        # Written so that "not a number" is refused as well.
        if not (flat.max(initial=0.0) <= MOST_DISTANCE and flat.min(initial=0.0) >= -MOST_DISTANCE):
            raise RunError(
                "a product by the secret key is less exact than numpy's Fourier transforms are proved to make it: "
                "install another numpy, or check this machine"
            )
        product = np.empty((rows, 2, half), np.int64)
        np.copyto(product, near.reshape(rows, half, 2).swapaxes(1, 2), casting="unsafe")
        return product.reshape(rows, 2 * half)


class WordOpener:
    """Opens chunks of a BFV sum under one prime q = 2^B - d, in integers behind the product by the secret.

    1. c1 s = low + 2^h high. With high = a 2^(B-h) + b, 0 <= b < 2^(B-h), and 2^B = d (mod q), 2^h high = a d + 2^h b
       (mod q). So x = c0 + low + a d + 2^h b is right modulo q, and -q < x < 3 q. It is not reduced further, because q
       more in x is t more in round(t x / q).
    2. round(t x / q) = floor((t x + (q - 1) / 2) / q): q is odd, so nothing lies half-way. With p = floor(x / 2^(B-k))
       and 0 <= f < 1, t x / q = (p + f) (1 + d / q). Let e = p + floor(floor(p / 2^20) d / 2^(B-20)). It is not above
       (t x + (q - 1) / 2) / q and less than 4 below: as d < 2^20 and B >= 40, f, both floors and the half add up to
       less than 3.7, and d / q in place of d / 2^B changes p d / q by less than 1/5. What is missing in e is
       (t x + (q - 1) / 2 - e q) // q, where the dividend lies in [0, 4 q) and so is right when computed modulo 2^64.

    SEAL returns the same as long as the noise is within the bound that `lattice_parameters` proves (and up to 2^-58 of
    the distance to the next word): both round the same number.

    Args:
        parameters: with `serves`.
        secret: int8 ``(degree,)`` of -1, 0 and 1.
    """

    def __init__(self, parameters: LatticeParameters, secret: np.ndarray) -> None:
        (self._prime,) = parameters.data_primes
        self._bits = self._prime.bit_length()
        self._gap = 2**self._bits - self._prime
        self._digit_bits = (self._bits + 1) // 2
        self._plain_bits = parameters.message_bits
        self._product = SecretProduct(secret)

    @staticmethod
    def serves(parameters: LatticeParameters) -> bool:
        """Whether these parameters are among those that the proofs above are for."""
        if parameters.scheme != BFV or len(parameters.data_primes) != 1 or parameters.degree > _MOST_DEGREE:
            return False
        bits = parameters.data_modulus.bit_length()
        close = (2**bits - parameters.data_modulus).bit_length() <= _MOST_GAP_BITS
        return close and _LEAST_BITS <= bits <= _MOST_BITS

    def open(self, residues: np.ndarray) -> np.ndarray:
        """Decrypt chunks.

        Args:
            residues: uint64 ``(chunks, 2, degree)`` below q: c0 and c1.

        Returns:
            uint64 ``(chunks, degree)`` below t.

        Raises:
            RunError: see `SecretProduct.times`.
        """
        return self._rounded(self._phases(residues.view(np.int64)))

    def _phases(self, residues: np.ndarray) -> np.ndarray:
        """Return x of step 1 for int64 residues."""
        chunks, _, degree = residues.shape
        bits, digit_bits = self._bits, self._digit_bits
        digits = np.empty((chunks, 2, degree), np.int64)
        np.bitwise_and(residues[:, 1], (1 << digit_bits) - 1, out=digits[:, 0])
        np.right_shift(residues[:, 1], digit_bits, out=digits[:, 1])
        product = self._product.times(digits.reshape(2 * chunks, degree)).reshape(digits.shape)
        low, high = product[:, 0], product[:, 1]
        phases = high >> (bits - digit_bits)
        phases *= self._gap
        phases += low
        phases += residues[:, 0]
        high &= (1 << (bits - digit_bits)) - 1
        high <<= digit_bits
        phases += high
        return phases

    def _rounded(self, phases: np.ndarray) -> np.ndarray:
        """Return round(t x / q) mod t of step 2 for int64 phases."""
        bits, plain_bits = self._bits, self._plain_bits
        quotients = phases >> (bits - plain_bits)
        upper = quotients >> _MOST_GAP_BITS
        upper *= self._gap
        upper >>= bits - _MOST_GAP_BITS
        quotients += upper
        rest = phases.view(np.uint64) << np.uint64(plain_bits)
        rest -= quotients.view(np.uint64) * np.uint64(self._prime)
        rest += np.uint64(self._prime // 2)
        rest //= np.uint64(self._prime)
        words = quotients.view(np.uint64)
        words += rest
        words &= np.uint64((1 << plain_bits) - 1)
        return words
