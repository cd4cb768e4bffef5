"""Ciphertexts that a coordinator adds and cannot read: BFV on packed words, CKKS on real numbers as a reference.

Sites share one key; encryption is symmetric, so that half of a fresh ciphertext is a seed. Frames have one legal length
and nothing in them is a choice of the sender but the numbers:

```text
upload frame, per chunk   seed: 64 bytes | residues of c0: for each data prime, `degree` numbers of ceil(bits / 8) bytes
sum frame, per chunk      residues of c0 | residues of c1
```

Numbers are little-endian and below their prime, which is checked here before anything is done with them. SEAL encrypts,
draws polynomials from seeds and adds those up. What upload frames hold of the first polynomial is added in numpy, and a
sum under one prime is opened in numpy, so that SEAL never sees what the coordinator sent; sums under two primes, and
those of CKKS, are opened by SEAL. A site that opens frames learns nothing about the key from the result that it did not
have; it must not tell results to whoever made the frame, because a made-up frame can be built to open to the key.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wardround.errors import PlanError, RunError, WireError
from wardround.protect.lattice_parameters import BFV, LARGEST_REAL, SEED_BYTES, LatticeParameters
from wardround.protect.negacyclic import WordOpener
from wardround.protect.residues import ResidueSum, check_length, narrow_residues, read_residues
from wardround.protect.seal_bytes import MemoryFile, native_errors, ring

_KEY_MAGIC = b"WRLK"
_KEY_VERSION = b"\x01"
_BLOCK_CHUNKS = 16
"""Chunks that are opened at once: enough to make numpy's calls cheap, few enough to stay in the cache."""


@dataclass(frozen=True, eq=False)
class LatticeKey:
    """The secret polynomial that the sites of a run share.

    Written as ``"WRLK" | version: u8 | digest of the parameters: 32 bytes | two bits per coefficient`` (0, 1, and 2 for
    -1; the first coefficient in the lowest bits).

    Attributes:
        parameters: what the key is for.
        secret: int8 ``(degree,)`` of -1, 0 and 1.
    """

    parameters: LatticeParameters
    secret: np.ndarray = field(repr=False)

    @classmethod
    def new(cls, parameters: LatticeParameters) -> LatticeKey:
        """Draw a key: every coefficient uniform in {-1, 0, 1}, from the operating system."""
        digits = np.empty(0, np.uint8)
        while digits.size < parameters.degree:
            drawn = np.frombuffer(secrets.token_bytes(2 * parameters.degree), np.uint8)
            # 252 = 84 * 3: bytes above it would favour a remainder.
            digits = np.concatenate([digits, drawn[drawn < 252] % 3])
        return cls(parameters, digits[: parameters.degree].astype(np.int8) - 1)

    def to_bytes(self) -> bytes:
        """Write the key; the bytes are as secret as it is."""
        digits = (self.secret % 3).astype(np.uint8).reshape(-1, 4)
        packed = digits @ np.array([1, 4, 16, 64], np.uint8)
        return _KEY_MAGIC + _KEY_VERSION + self.parameters.digest + packed.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes, parameters: LatticeParameters) -> LatticeKey:
        """Read a key that another site made.

        Raises:
            WireError: the bytes are no key, or one for other parameters.
        """
        prefix = _KEY_MAGIC + _KEY_VERSION + parameters.digest
        expected = len(prefix) + parameters.degree // 4
        if len(data) != expected:
            raise WireError(f"an encryption key of {len(data)} bytes should have {expected}")
        if data[:5] != prefix[:5]:
            raise WireError("the bytes of an encryption key do not start as one of this version does")
        if data[: len(prefix)] != prefix:
            raise WireError("an encryption key was made for other lattice parameters than this plan's")
        packed = np.frombuffer(data, np.uint8, offset=len(prefix))
        digits = (packed[:, None] >> np.array([0, 2, 4, 6], np.uint8)) & 3
        if int(digits.max()) == 3:
            raise WireError("an encryption key holds a coefficient that is not -1, 0 or 1")
        secret = digits.reshape(-1).astype(np.int8)
        return cls(parameters, np.where(secret == 2, np.int8(-1), secret))


class Sealer:
    """Encrypts uploads and opens sums, at a site.

    Args:
        parameters: of the plan.
        key: the run's key, made for the same parameters.

    Raises:
        PlanError: the key is for other parameters.
    """

    def __init__(self, parameters: LatticeParameters, key: LatticeKey) -> None:
        if key.parameters != parameters:
            raise PlanError("the encryption key was made for other lattice parameters than this plan's")
        self._parameters = parameters
        self._ring = ring(parameters)
        secret_key = self._ring.secret_key(key.secret)
        self._encryptor = self._ring.seal.Encryptor(self._ring.context, secret_key)
        self._decryptor = self._ring.seal.Decryptor(self._ring.context, secret_key)
        self._opener = WordOpener(parameters, key.secret) if WordOpener.serves(parameters) else None

    def encrypt(self, values: np.ndarray) -> bytes:
        """Encrypt whole chunks.

        Args:
            values: ``(chunks * values_per_chunk,)``: uint64 words below t under BFV, float64 numbers under CKKS.

        Returns:
            An upload frame of ``chunks * upload_chunk_bytes``; a different one each time.

        Raises:
            ValueError: the values do not fill chunks, or are out of range.
        """
        rows = _rows(self._parameters, values)
        with MemoryFile() as file:
            return b"".join(piece for row in rows for piece in self._encrypt_chunk(file, row))

    def open(self, frame: bytes, chunks: int) -> np.ndarray:
        """Decrypt a sum.

        Under one prime no byte of the frame reaches SEAL; see `WordOpener`.

        Args:
            frame: a sum frame from the coordinator.
            chunks: how many chunks it must have.

        Returns:
            ``(chunks * values_per_chunk,)``: uint64 words below t under BFV, float64 numbers under CKKS.

        Raises:
            WireError: the frame has another length, a residue is not below its prime, or a chunk is not encrypted.
            RunError: this machine computes less exactly than it should.
        """
        parameters, start = self._parameters, 0
        opened = np.empty(chunks * parameters.values_per_chunk, np.uint64 if parameters.scheme == BFV else np.float64)
        for block in self.open_blocks(frame, chunks):
            opened[start : start + len(block)] = block
            start += len(block)
        return opened

    def open_blocks(self, frame: bytes, chunks: int) -> Iterator[np.ndarray]:
        """Decrypt a sum, some chunks at a time; see `open`.

        Yields:
            What `open` returns, in pieces of whole chunks.
        """
        check_length(frame, chunks, self._parameters.sum_chunk_bytes)
        for start in range(0, chunks, _BLOCK_CHUNKS):
            block = range(start, min(chunks, start + _BLOCK_CHUNKS))
            residues = read_residues(frame, self._parameters, block, 2, 0)
            if not residues[:, len(self._parameters.data_primes) :].any(axis=(1, 2)).all():
                raise WireError("a sum frame has a chunk whose second polynomial is zero: it is not encrypted")
            opened = self._opener.open(residues) if self._opener is not None else self._open_by_seal(residues)
            yield opened.reshape(-1)

    def _open_by_seal(self, residues: np.ndarray) -> np.ndarray:
        opened = []
        with native_errors("open a sum frame"), MemoryFile() as file:
            for chunk in residues:
                plain = self._ring.seal.Plaintext()
                self._decryptor.decrypt(self._ring.load_full(file, chunk), plain)
                opened.append(self._ring.read_plain(file, plain))
        return np.array(opened)

    def _encrypt_chunk(self, file: MemoryFile, values: np.ndarray) -> tuple[bytes, ...]:
        plain = self._ring.load_plain(file, values)
        residues, seed = self._ring.read_seeded(file, self._encryptor.encrypt_symmetric(plain))
        return seed, *narrow_residues(residues, self._parameters)


class RunningSum:
    """Adds uploads as they come, at the coordinator, which has no key.

    The first polynomials, which frames hold, are added in numpy; the second ones, of which frames hold seeds, in SEAL.
    Memory is that of one and a half ciphertexts per chunk (SEAL's have a first polynomial too, zero here), whatever the
    number of uploads.

    Args:
        parameters: of the plan.
        chunks: chunks of every upload.
    """

    def __init__(self, parameters: LatticeParameters, chunks: int) -> None:
        self.total_weight = 0
        self._parameters = parameters
        self._chunks = chunks
        self._ring = ring(parameters)
        self._first = ResidueSum(parameters, chunks)
        self._seconds: list[Any] = []
        self._subtractions = 0
        self._damaged = False

    def add(self, frame: bytes, weight: int = 1) -> None:
        """Add an upload `weight` times.

        A frame is checked as a whole before anything is added, so a bad one leaves the sum as it was.

        Args:
            frame: an upload frame from a site.
            weight: integer; 0 checks the frame and leaves it out.

        Raises:
            WireError: the frame has another length, or a residue is not below its prime.
            PlanError: the weight is negative, or the weights would exceed `weight_total`.
        """
        self._check()
        parameters = self._parameters
        if weight < 0 or self.total_weight + weight > parameters.weight_total:
            raise PlanError(
                f"a weight of {weight} after {self.total_weight} is negative or exceeds weight_total = "
                f"{parameters.weight_total}, beyond which a sum could open wrong: raise weight_total in the plan"
            )
        check_length(frame, self._chunks, parameters.upload_chunk_bytes)
        residues = read_residues(frame, parameters, range(self._chunks), 1, SEED_BYTES)
        if weight == 0:
            return
        self._damaged = True  # until all chunks are added: half an upload must not be taken for a sum
        self._first.add(residues, weight)
        with native_errors("add an upload"), MemoryFile() as file:
            load, multiply = self._ring.seed_loader(file), self._ring.multiplier(weight)
            for index in range(self._chunks):
                start = index * parameters.upload_chunk_bytes
                self._add_second(index, multiply(load(frame[start : start + SEED_BYTES])))
        self._damaged = False
        self.total_weight += weight

    def subtract_plain(self, words: np.ndarray) -> None:
        """Take words away from the sum modulo t, as masks are.

        Args:
            words: uint64 ``(chunks * degree,)`` below t.

        Raises:
            PlanError: the scheme has no words, or there were `weight_total` subtractions already: add masks first.
            ValueError: the words do not fill the chunks, or nothing was added yet.
        """
        self._check()
        parameters = self._parameters
        if parameters.scheme != BFV:
            raise PlanError("words can only be taken from a BFV sum: choose the packed scheme")
        if self._subtractions == parameters.weight_total:
            raise PlanError(f"more than {parameters.weight_total} subtractions could open wrong: add the masks first")
        rows = _rows(parameters, words)
        if len(rows) != len(self._seconds):
            raise ValueError(f"{len(rows)} chunks of words cannot be taken from a sum of {len(self._seconds)}")
        self._damaged = True
        self._first.subtract_words(rows)
        self._damaged = False
        self._subtractions += 1

    def frame(self) -> bytes:
        """Return the sum frame, ``chunks * sum_chunk_bytes`` long.

        Raises:
            ValueError: nothing was added yet.
        """
        self._check()
        if not self._seconds:
            raise ValueError("nothing was added to the sum")
        half = self._parameters.degree * len(self._parameters.data_primes)
        pieces: list[bytes] = []
        with MemoryFile() as file:
            for first, second in zip(self._first.read(), self._seconds, strict=True):
                pieces += narrow_residues(first, self._parameters)
                pieces += narrow_residues(self._ring.read_full(file, second)[half:], self._parameters)
        return b"".join(pieces)

    def _check(self) -> None:
        if self._damaged:
            raise RunError("an addition to the running sum was cut short, so the sum is lost: start the round again")

    def _add_second(self, index: int, upload: Any) -> None:
        if index == len(self._seconds):
            self._seconds.append(upload)
        else:
            self._ring.evaluator.add_inplace(self._seconds[index], upload)


def _rows(parameters: LatticeParameters, values: np.ndarray) -> np.ndarray:
    """Return values of this process as checked chunks, one per row."""
    if values.ndim != 1 or values.size % parameters.values_per_chunk:
        raise ValueError(f"values of shape {values.shape} do not fill chunks of {parameters.values_per_chunk}")
    if parameters.scheme == BFV:
        fits = values.dtype == np.uint64 and int(values.max(initial=0)) >> parameters.message_bits == 0
    else:
        fits = values.dtype == np.float64 and bool(np.all(np.abs(values) <= LARGEST_REAL))
    if not fits:
        raise ValueError(f"values to encrypt are of another type or larger than the {parameters.scheme} scheme holds")
    return np.ascontiguousarray(values).reshape(-1, parameters.values_per_chunk)
