"""Numbers modulo SEAL's primes in numpy: on the wire, and added up with weights.

Residues are uint64 ``(chunks, columns, degree)``: a column is one polynomial modulo one prime, as frames and SEAL hold
them. Everything here is exact: a product is split so that no intermediate reaches 2^64.
"""

from __future__ import annotations

import numpy as np

from wardround.errors import WireError
from wardround.protect.lattice_parameters import LatticeParameters
from wardround.protect.packing import narrow


def read_residues(
    frame: bytes, parameters: LatticeParameters, chunks: range, polynomials: int, skip_bytes: int
) -> np.ndarray:
    """Read and check some chunks of a frame, whose length was checked (see `check_length`).

    Args:
        frame: bytes from another party.
        parameters: decide the primes and their bytes.
        chunks: which ones.
        polynomials: in each chunk.
        skip_bytes: before the residues of each chunk.

    Returns:
        uint64 ``(chunks, polynomials * primes, degree)``.

    Raises:
        WireError: a residue is not below its prime.
    """
    chunk_bytes, degree = skip_bytes + polynomials * parameters.polynomial_bytes, parameters.degree
    columns = list(zip(parameters.data_primes, parameters.residue_bytes, strict=True)) * polynomials
    residues = np.empty((len(chunks), len(columns), degree), "<u8")
    start = chunks.start * chunk_bytes + skip_bytes
    for column, (prime, width) in enumerate(columns):
        words = residues[:, column]
        # Eight bytes at a time, of which the upper ones belong to the next residue. The last have no eight bytes left.
        most = degree + -(8 - width) // width
        wide = np.ndarray((len(chunks), most), "<u8", frame, start, (chunk_bytes, width))
        np.bitwise_and(wide, np.uint64(2 ** (8 * width) - 1), out=words[:, :most])
        words[:, most:] = 0
        shape, end = (len(chunks), degree - most), start + most * width
        ends = np.ndarray(shape, f"V{width}", residues, 8 * (column * degree + most), (residues.strides[0], 8))
        ends[...] = np.ndarray(shape, f"V{width}", frame, end, (chunk_bytes, width))
        if int(words.max(initial=0)) >= prime:
            raise WireError("a frame holds a residue that is not below its prime")
        start += degree * width
    return residues


def check_length(frame: bytes, chunks: int, chunk_bytes: int) -> None:
    """Refuse a frame that does not have its one legal length.

    Raises:
        WireError: it has another.
    """
    if len(frame) != chunks * chunk_bytes:
        raise WireError(f"a frame of {len(frame)} bytes of ciphertexts should have {chunks * chunk_bytes}")


def narrow_residues(residues: np.ndarray, parameters: LatticeParameters) -> list[bytes]:
    """Write the residues of one polynomial ``(primes * degree,)``, each prime's in as many bytes as it needs."""
    rows = residues.reshape(-1, parameters.degree)
    return [narrow(row, width) for row, width in zip(rows, parameters.residue_bytes, strict=True)]


def reduced(words: np.ndarray, prime: int) -> np.ndarray:
    """Return uint64 words modulo a prime; a division by a constant and a product are faster than a remainder."""
    return np.asarray(words - words // np.uint64(prime) * np.uint64(prime))


def times(residues: np.ndarray, factor: int, prime: int) -> np.ndarray:
    """Multiply residues by an integer, modulo their prime.

    Horner's rule over digits of the factor: with b bits in the prime and 63 - b in a digit, a residue times a digit and
    a residue shifted by a digit are both below 2^63.

    Args:
        residues: uint64 below `prime`.
        factor: at least 0, however large.
        prime: of at most 62 bits.

    Returns:
        uint64 below `prime`.
    """
    step = 63 - prime.bit_length()
    places = range(-(-factor.bit_length() // step) * step - step, -1, -step)
    total = np.zeros_like(residues)
    for place in places:
        digit = np.uint64(factor >> place & (1 << step) - 1)
        total = reduced((total << np.uint64(step)) + residues * digit, prime)
    return total


def scaled(words: np.ndarray, parameters: LatticeParameters) -> np.ndarray:
    """Write plaintext words m as SEAL adds them to a ciphertext: round(m q / t), halves up, modulo each prime.

    With t = 2^k and q = Q t + r this is m Q + f, where f = (m r + t / 2) >> k. Both m and r are below t and are cut in
    halves of a = ceil(k / 2) bits, whose products stay below 2^60 for k <= 59.

    Args:
        words: uint64 ``(degree,)`` below t.
        parameters: of BFV.

    Returns:
        uint64 ``(primes, degree)``, each below its prime.
    """
    bits = parameters.message_bits
    whole, rest = divmod(parameters.data_modulus, 2**bits)
    half = (bits + 1) // 2
    rest_high, rest_low = np.uint64(rest >> half), np.uint64(rest & (1 << half) - 1)
    high, low = words >> np.uint64(half), words & np.uint64((1 << half) - 1)
    carry = (low * rest_low + np.uint64(1 << bits - 1)) >> np.uint64(half)
    middle = (high * rest_low + low * rest_high + carry) >> np.uint64(bits - half)
    fraction = ((high * rest_high) << np.uint64(2 * half - bits)) + middle
    if len(parameters.data_primes) == 1:  # m Q + f is at most q (t - 1) / t + 1 / 2
        return np.asarray(words * np.uint64(whole) + fraction)[None]
    rows = [reduced(times(reduced(words, p), whole % p, p) + fraction, p) for p in parameters.data_primes]
    return np.stack(rows)


class ResidueSum:
    """A running sum of residues, reduced only before a word could overflow.

    Args:
        parameters: decide the primes.
        chunks: of every summand.
    """

    def __init__(self, parameters: LatticeParameters, chunks: int) -> None:
        self._parameters = parameters
        self._primes = parameters.data_primes
        self._sums = np.zeros((chunks, len(self._primes), parameters.degree), np.uint64)
        self._bounds = [0] * len(self._primes)

    def add(self, residues: np.ndarray, weight: int) -> None:
        """Add residues ``(chunks, primes, degree)``, each below its prime, times a positive integer."""
        for column, prime in enumerate(self._primes):
            fits = weight * prime < 2**63
            self._make_room(column, weight * prime if fits else prime)
            for index, row in enumerate(residues[:, column]):
                self._sums[index, column] += row * np.uint64(weight) if fits else times(row, weight, prime)

    def subtract_words(self, rows: np.ndarray) -> None:
        """Take plaintext words ``(chunks, degree)`` below t away, scaled as SEAL does."""
        for column, prime in enumerate(self._primes):
            self._make_room(column, prime)
        minuend = np.array(self._primes, np.uint64)[:, None]
        for index, row in enumerate(rows):
            self._sums[index] += minuend - scaled(row, self._parameters)

    def read(self) -> np.ndarray:
        """Return the sum: uint64 ``(chunks, primes, degree)``, each below its prime; not to be written to."""
        for column in range(len(self._primes)):
            self._reduce(column)
        return self._sums

    def _make_room(self, column: int, added: int) -> None:
        """Note that words grow by at most `added` < 2^63, and reduce them first if the result might reach 2^64."""
        if self._bounds[column] + added >= 2**64:
            self._reduce(column)
        self._bounds[column] += added

    def _reduce(self, column: int) -> None:
        prime = self._primes[column]
        for index, row in enumerate(self._sums[:, column]):
            self._sums[index, column] = reduced(row, prime)
        self._bounds[column] = prime
