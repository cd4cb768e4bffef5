"""Arrays in and out of Microsoft SEAL (4.x, as `tenseal.sealapi` brings it).

`sealapi` offers no buffers: objects come and go through `save(path)` and `load(path)`. The paths here are files in
memory, and this module writes SEAL's own format with every field but the numbers fixed, so that no header, count or
flag of another party reaches SEAL's parser:

```text
block       0xA15E: u16 | 16: u8 | 4: u8 | 3: u8 | compression: u8 | 0: u16 | bytes of the block: u64 | payload
array       block of (count: u64 | words: u64 ...)
plaintext   block of (parms id: 32 bytes | count: u64 | scale: f64 | array)
ciphertext  block of (parms id: 32 bytes | NTT form: u8 | size: u64 | degree: u64 | primes: u64 | scale: f64 | 1: u64 |
                      array | for a seeded one: block of (generator: u8 | seed: 64 bytes))
```

What SEAL saves is compressed with zstd. Only that is ever decompressed: nothing that came over the wire.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import TracebackType
from typing import Any

import numpy as np

from wardround.errors import PlanError, RunError, WireError
from wardround.protect.lattice_parameters import BFV, SEED_BYTES, LatticeParameters

_BLOCK = struct.Struct("<HBBBBHQ")
_MAGIC, _MAJOR, _MINOR = 0xA15E, 4, 3
_NOT_COMPRESSED, _ZSTD = 0, 2
_COUNT = struct.Struct("<Q")
_ARRAY_START = _BLOCK.size + _COUNT.size
_PARMS_ID_BYTES = 32
_PLAIN = struct.Struct("<Qd")
_PLAIN_WORDS = _PARMS_ID_BYTES + _PLAIN.size + _ARRAY_START
_CIPHER = struct.Struct("<BQQQdQ")
_CIPHER_WORDS = _PARMS_ID_BYTES + _CIPHER.size + _ARRAY_START
_BLAKE2XB = b"\x01"
_NTT_PLAIN_MODULUS = 4


class MemoryFile:
    """A file that lies in memory only and vanishes when it is closed: plaintexts and keys pass through it."""

    def __init__(self) -> None:
        if not hasattr(os, "memfd_create"):
            raise PlanError("encryption needs files in memory, which only Linux has: remove the homomorphic stage")
        import zstandard

        self._file = os.memfd_create("wardround")
        self._path = f"/proc/self/fd/{self._file}"
        self._unzip = zstandard.ZstdDecompressor()

    def __enter__(self) -> MemoryFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def write(self, *pieces: bytes | memoryview) -> str:
        """Put the pieces at the start of the file and return its path. What lies behind is left, and not read."""
        os.pwritev(self._file, pieces, 0)
        return self._path

    def write_at(self, offset: int, data: bytes) -> str:
        """Replace a piece of what `write` wrote, and return the path."""
        os.pwrite(self._file, data, offset)
        return self._path

    def save(self, thing: Any) -> bytes:
        """Save a SEAL object, which truncates the file, and return the payload of its block."""
        thing.save(self._path)
        saved = os.pread(self._file, os.fstat(self._file).st_size, 0)
        magic, header_bytes, major, _, compression, _, size = _BLOCK.unpack_from(saved)
        if (magic, header_bytes, major, size) != (_MAGIC, _BLOCK.size, _MAJOR, len(saved)):
            raise _unknown_seal()
        if compression == _ZSTD:
            return self._unzip.decompressobj().decompress(saved[_BLOCK.size :])
        if compression == _NOT_COMPRESSED:
            return saved[_BLOCK.size :]
        raise _unknown_seal()


@contextmanager
def native_errors(what: str) -> Iterator[None]:
    """Turn whatever SEAL throws into a `WireError` that says `what` was being done."""
    try:
        yield
    except (ValueError, RuntimeError, IndexError, OverflowError) as error:
        raise WireError(f"SEAL refuses to {what}: {str(error)[:200]}") from None


class Ring:
    """SEAL's context for one parameter set, with numpy arrays on its outside.

    Residues are uint64 ``(primes * degree,)`` per polynomial, prime after prime, as SEAL holds them.
    """

    def __init__(self, parameters: LatticeParameters) -> None:
        from tenseal import sealapi

        self.parameters = parameters
        self.seal: Any = sealapi
        self.context = _context(sealapi, parameters)
        self.evaluator = sealapi.Evaluator(self.context)
        self._bfv = parameters.scheme == BFV
        self._encoder = None if self._bfv else sealapi.CKKSEncoder(self.context)
        self._scale = 1.0 if self._bfv else 2.0**parameters.message_bits
        self._polynomial_words = parameters.degree * len(parameters.data_primes)
        seed_block = _block_header(len(_BLAKE2XB) + SEED_BYTES) + _BLAKE2XB
        self._seeded = self._cipher_prefix(self._polynomial_words, len(seed_block) + SEED_BYTES), seed_block
        self._full = self._cipher_prefix(2 * self._polynomial_words, 0)

    def load_plain(self, file: MemoryFile, values: np.ndarray) -> Any:
        """Return a SEAL plaintext of one chunk: words below t under BFV, real numbers under CKKS."""
        plain = self.seal.Plaintext()
        if self._encoder is None:
            plain.load(self.context, file.write(*_plain_pieces(bytes(_PARMS_ID_BYTES), values)))
        else:
            self._encoder.encode(values.tolist(), self._scale, plain)
        return plain

    def read_plain(self, file: MemoryFile, plain: Any) -> np.ndarray:
        """Return one chunk of a decrypted plaintext: uint64 words, or float64 numbers."""
        if self._encoder is not None:
            return np.array(self._encoder.decode_double(plain), np.float64)
        found = file.save(plain)[_PLAIN_WORDS:]
        # SEAL leaves out the highest coefficients that are zero.
        words = np.zeros(self.parameters.degree, np.uint64)
        words[: len(found) // 8] = np.frombuffer(found, "<u8")
        return words

    def seed_loader(self, file: MemoryFile) -> Callable[[bytes], Any]:
        """Return a function that makes a ciphertext from a seed: first polynomial zero, second drawn from it by SEAL.

        The file is the function's own, as long as it is called.
        """
        prefix, seed_block = self._seeded
        zeros = bytes(8 * self._polynomial_words)
        file.write(prefix, zeros, seed_block, bytes(SEED_BYTES))
        offset = len(prefix) + len(zeros) + len(seed_block)
        return lambda seed: self._load(file.write_at(offset, seed))

    def load_full(self, file: MemoryFile, residues: np.ndarray) -> Any:
        """Return a SEAL ciphertext of two checked polynomials, one after the other."""
        return self._load(file.write(self._full, residues.data))

    def read_seeded(self, file: MemoryFile, cipher: Any) -> tuple[np.ndarray, bytes]:
        """Return the polynomial and the seed of a fresh symmetric ciphertext."""
        found = file.save(cipher)[_CIPHER_WORDS:]
        size = 8 * self._polynomial_words
        if len(found) != size + _BLOCK.size + 1 + SEED_BYTES or found[-SEED_BYTES - 1 : -SEED_BYTES] != _BLAKE2XB:
            raise _unknown_seal()
        return np.frombuffer(found, "<u8", self._polynomial_words), found[-SEED_BYTES:]

    def read_full(self, file: MemoryFile, cipher: Any) -> np.ndarray:
        """Return both polynomials of a ciphertext, one after the other."""
        found = file.save(cipher)[_CIPHER_WORDS:]
        if len(found) != 16 * self._polynomial_words:
            raise _unknown_seal()
        return np.frombuffer(found, "<u8")

    def multiplier(self, weight: int) -> Callable[[Any], Any]:
        """Return a function that multiplies a ciphertext by a positive integer; what it is given may change."""
        if weight == 1:
            return lambda cipher: cipher
        if self._encoder is None and 2 * weight >= 2**self.parameters.message_bits:
            # Plaintexts from t / 2 on stand for negative numbers.
            return lambda cipher: self._doubled(cipher, weight)
        if self._encoder is None:
            constant = self.seal.Plaintext(f"{weight:X}")
        else:
            constant = self.seal.Plaintext()
            self._encoder.encode(weight, 1.0, constant)

        def multiply(cipher: Any) -> Any:
            self.evaluator.multiply_plain_inplace(cipher, constant)
            return cipher

        return multiply

    def secret_key(self, secret: np.ndarray) -> Any:
        """Return SEAL's key for a secret polynomial.

        SEAL holds it as number-theoretic transforms, which depend on the primes alone: they come from a BFV context
        made for that, and are given this context's name.

        Args:
            secret: int8 ``(degree,)`` of -1, 0 and 1.
        """
        seal, degree, primes = self.seal, self.parameters.degree, self.parameters.primes
        context = _seal_context(seal, seal.SCHEME_TYPE.BFV, degree, primes, _NTT_PLAIN_MODULUS)
        plain, key = seal.Plaintext(), seal.SecretKey()
        with MemoryFile() as file:
            words = (secret % _NTT_PLAIN_MODULUS).astype(np.uint64)
            plain.load(context, file.write(*_plain_pieces(bytes(_PARMS_ID_BYTES), words)))
            seal.Evaluator(context).transform_to_ntt_inplace(plain, context.key_parms_id())
            transformed = np.frombuffer(file.save(plain)[_PLAIN_WORDS:], "<u8")
            key.load(self.context, file.write(*_plain_pieces(_parms_id(self.context.key_parms_id()), transformed)))
        return key

    def _doubled(self, cipher: Any, weight: int) -> Any:
        """Multiply by doubling for each further bit of the weight, and adding where the bit is set."""
        total = cipher
        for bit in bin(weight)[3:]:
            doubled = self.seal.Ciphertext()
            self.evaluator.add(total, total, doubled)
            if bit == "1":
                self.evaluator.add_inplace(doubled, cipher)
            total = doubled
        return total

    def _cipher_prefix(self, words: int, seed_bytes: int) -> bytes:
        """Return all of a ciphertext's block up to its words, for a ciphertext with so many of them."""
        parameters = self.parameters
        meta = _parms_id(self.context.first_parms_id()) + _CIPHER.pack(
            not self._bfv, 2, parameters.degree, len(parameters.data_primes), self._scale, 1
        )
        array = _block_header(_COUNT.size + 8 * words) + _COUNT.pack(words)
        return _block_header(len(meta) + len(array) + 8 * words + seed_bytes) + meta + array

    def _load(self, path: str) -> Any:
        cipher = self.seal.Ciphertext()
        cipher.load(self.context, path)
        return cipher


@lru_cache(maxsize=8)
def ring(parameters: LatticeParameters) -> Ring:
    """Return the ring of these parameters; building one takes some hundredths of a second."""
    return Ring(parameters)


def _context(seal: Any, parameters: LatticeParameters) -> Any:
    bfv = parameters.scheme == BFV
    scheme = seal.SCHEME_TYPE.BFV if bfv else seal.SCHEME_TYPE.CKKS
    plain_modulus = 2**parameters.message_bits if bfv else 0
    return _seal_context(seal, scheme, parameters.degree, parameters.primes, plain_modulus)


def _seal_context(seal: Any, scheme: Any, degree: int, primes: tuple[int, ...], plain_modulus: int) -> Any:
    # The random generator is never set: SEAL's own takes a new seed from the operating system for each ciphertext.
    settings = seal.EncryptionParameters(scheme)
    settings.set_poly_modulus_degree(degree)
    settings.set_coeff_modulus([seal.Modulus(prime) for prime in primes])
    if plain_modulus:
        settings.set_plain_modulus(plain_modulus)
    context = seal.SEALContext(settings, True, seal.SEC_LEVEL_TYPE.TC128)
    if not context.parameters_set():
        raise PlanError(f"SEAL refuses the lattice parameters: {context.parameters_error_message()}")
    return context


def _block_header(payload_bytes: int) -> bytes:
    return _BLOCK.pack(_MAGIC, _BLOCK.size, _MAJOR, _MINOR, _NOT_COMPRESSED, 0, _BLOCK.size + payload_bytes)


def _plain_pieces(parms_id: bytes, words: np.ndarray) -> tuple[bytes, memoryview]:
    array = _block_header(_COUNT.size + words.nbytes) + _COUNT.pack(words.size)
    meta = parms_id + _PLAIN.pack(words.size, 1.0)
    return _block_header(len(meta) + len(array) + words.nbytes) + meta + array, words.data


def _parms_id(words: list[int]) -> bytes:
    return struct.pack("<4Q", *words)


def _unknown_seal() -> RunError:
    return RunError("this TenSEAL saves in a format that is not known here: install tenseal 0.3.18")
