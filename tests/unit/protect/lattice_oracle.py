"""Ciphertexts of one chunk in plain integers: what tests of the lattice compare with."""

from __future__ import annotations

import numpy as np

from wardround.protect.lattice import LatticeKey
from wardround.protect.lattice_parameters import LatticeParameters
from wardround.protect.packing import narrow, widen

N = 4096


def polynomial(parameters: LatticeParameters, data: bytes) -> list[int]:
    """Read a polynomial's residues and join them over the primes."""
    q, total, start = parameters.data_modulus, np.zeros(N, object), 0
    for prime, width in zip(parameters.data_primes, parameters.residue_bytes, strict=True):
        residues = widen(data[start : start + N * width], width).astype(object)
        rest = q // prime
        total += residues * (rest * pow(rest, -1, prime))
        start += N * width
    return [int(value) % q for value in total]


def residues_of(parameters: LatticeParameters, coefficients: list[int]) -> bytes:
    """Undo `polynomial`."""
    rows = zip(parameters.data_primes, parameters.residue_bytes, strict=True)
    return b"".join(
        narrow(np.array([value % prime for value in coefficients], np.uint64), width) for prime, width in rows
    )


def times_secret(coefficients: list[int], secret: np.ndarray, modulus: int) -> list[int]:
    """Multiply modulo X^N + 1 and the modulus, as one product of two long integers (Kronecker's substitution)."""
    slot = 16  # bytes: a sum of 4096 coefficients of up to 80 bits fits
    left = int.from_bytes(b"".join(value.to_bytes(slot, "little") for value in coefficients), "little")
    product = np.zeros(N, object)
    for sign in (1, -1):
        right = int.from_bytes(b"".join(int(s == sign).to_bytes(slot, "little") for s in secret), "little")
        digits = (left * right).to_bytes(2 * N * slot, "little")
        whole = [int.from_bytes(digits[i : i + slot], "little") for i in range(0, 2 * N * slot, slot)]
        product += sign * (np.array(whole[:N], object) - np.array(whole[N:], object))
    return [int(value) % modulus for value in product]


def phase(key: LatticeKey, frame: bytes) -> list[int]:
    """Return c0 + c1 s modulo q for a sum frame of one chunk."""
    parameters = key.parameters
    half = parameters.polynomial_bytes
    c0, c1 = polynomial(parameters, frame[:half]), polynomial(parameters, frame[half:])
    product = times_secret(c1, key.secret, parameters.data_modulus)
    return [(a + b) % parameters.data_modulus for a, b in zip(c0, product, strict=True)]
