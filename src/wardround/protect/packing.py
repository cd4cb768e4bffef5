"""Several integers in one word, so that adding words adds all of them at once, exactly.

A value ``v`` of `bits` bits, sign included, is shifted to ``v + 2^(bits-1) >= 0`` and written into a field that is
``ceil(log2 W)`` bits wider. Whatever values are added with integer weights that sum to at most ``W``, a field then
stays below ``W * 2^bits <= 2^field_bits``: nothing carries into the next field, and the word stays below ``t =
2^(fields * field_bits)``. Sums of words are therefore sums of values, modulo t, which is what masks and the plaintexts
of BFV are added by.

Words lie in chunks of `CHUNK_WORDS`; in a chunk the first field of all words comes first, then the second, so that
every step works on neighbouring memory. What is left over in the last chunk is filled with zeros, shifted like others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wardround.errors import PlanError, WireError

CHUNK_WORDS = 4096
"""Words in a chunk: one per coefficient of the lattice that encrypts it."""

MOST_BITS = 32
MOST_WORD_BITS = 64


@dataclass(frozen=True)
class Layout:
    """Where values lie in words.

    Attributes:
        bits: of one value, sign included; values lie in ``[-largest, largest]``.
        weight_total: largest sum of integer weights (``W``) that a field can hold.
        fields: values in one word.
    """

    bits: int
    weight_total: int
    fields: int

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= MOST_BITS:
            raise PlanError(f"bits = {self.bits} of a packed value is outside 2 to {MOST_BITS}")
        if self.weight_total < 1 or self.fields < 1:
            raise PlanError(
                f"weight_total = {self.weight_total} and {self.fields} fields per word must both be at least 1"
            )
        if self.word_bits > MOST_WORD_BITS:
            raise PlanError(
                f"{self.fields} values of {self.bits} bits with weight_total = {self.weight_total} need a word of "
                f"{self.word_bits} bits, more than {MOST_WORD_BITS}: lower weight_total, bits or the fields per word"
            )

    @property
    def largest(self) -> int:
        """The largest absolute value."""
        return int(2 ** (self.bits - 1)) - 1

    @property
    def field_bits(self) -> int:
        """Bits of a field: those of a value, and room for the weights."""
        return self.bits + (self.weight_total - 1).bit_length()

    @property
    def word_bits(self) -> int:
        """Bits of a word; words are added modulo ``2^word_bits``."""
        return self.fields * self.field_bits

    @property
    def word_bytes(self) -> int:
        """Bytes of a word on the wire when it is not encrypted."""
        return (self.word_bits + 7) // 8

    @property
    def values_per_chunk(self) -> int:
        """Values in a chunk."""
        return self.fields * CHUNK_WORDS

    @property
    def modulus(self) -> int:
        """What words are added by, ``t``."""
        return int(2**self.word_bits)

    def num_chunks(self, count: int) -> int:
        """Return how many chunks hold `count` values."""
        return -(-count // self.values_per_chunk)

    def pack(self, values: np.ndarray, weight: int = 1) -> np.ndarray:
        """Write values into words, each times `weight`.

        Args:
            values: int64 ``(count,)`` in ``[-largest, largest]``.
            weight: what the site counts for, when the coordinator cannot multiply.

        Returns:
            uint64 ``(chunks * CHUNK_WORDS,)``, each below ``modulus``.

        Raises:
            PlanError: `weight` is not in 1 to `weight_total`.
            ValueError: a value does not fit.
        """
        self._check_weight(weight)
        low, high = values.min(initial=0), values.max(initial=0)
        if low < -self.largest or high > self.largest:
            raise ValueError(f"values from {low} to {high} do not fit in {self.bits} bits")
        chunks, whole = self.num_chunks(values.size), values.size // self.values_per_chunk
        words = np.empty((chunks, CHUNK_WORDS), np.uint64)
        unsigned = np.ascontiguousarray(values, np.int64).view(np.uint64)
        rows = unsigned[: whole * self.values_per_chunk].reshape(whole, self.fields, CHUNK_WORDS)
        for row, out in zip(rows, words, strict=False):
            self._pack_chunk(row, weight, out)
        if chunks > whole:
            last = np.zeros(self.values_per_chunk, np.uint64)
            last[: values.size - whole * self.values_per_chunk] = unsigned[whole * self.values_per_chunk :]
            self._pack_chunk(last.reshape(self.fields, CHUNK_WORDS), weight, words[-1])
        return words.reshape(-1)

    def unpack_sum(self, words: np.ndarray, total_weight: int, count: int) -> np.ndarray:
        """Read a sum of packed words back as sums of values.

        Args:
            words: uint64 ``(chunks * CHUNK_WORDS,)`` modulo t.
            total_weight: sum of the weights of all that was added.
            count: values in each update.

        Returns:
            int64 ``(count,)``, each in ``[-total_weight * largest, total_weight * largest]``.

        Raises:
            PlanError: `total_weight` is not in 1 to `weight_total`.
            WireError: a field holds what no sum of values with these weights can be; so does, almost surely, a sum
                whose masks were not all removed.
            ValueError: there are not as many words as `count` values need.
        """
        self._check_weight(total_weight)
        chunks = self.num_chunks(count)
        if words.shape != (chunks * CHUNK_WORDS,):
            raise ValueError(f"{words.size} words are not the {chunks * CHUNK_WORDS} that {count} values need")
        sums = np.empty((chunks, self.fields, CHUNK_WORDS), np.uint64)
        mask = np.uint64(2**self.field_bits - 1)
        low, high = total_weight, total_weight * (2**self.bits - 1)
        for row, out in zip(words.reshape(chunks, CHUNK_WORDS), sums, strict=True):
            for field in range(self.fields):
                np.right_shift(row, np.uint64(field * self.field_bits), out=out[field])
            np.bitwise_and(out, mask, out=out)
            if int(out.min()) < low or int(out.max()) > high:
                raise WireError(f"the opened sum holds values that weights of {total_weight} in total cannot add up to")
            np.subtract(out, np.uint64(total_weight << (self.bits - 1)), out=out)
        flat = sums.reshape(-1)
        # Every site fills up with zeros. Where weights fill their fields, this is what shows that masks are still on.
        if flat[count:].any():
            raise WireError("the opened sum holds values behind its end, where every update has zeros")
        return flat[:count].view(np.int64)

    def add_mod(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return the sum of two arrays of words modulo t."""
        return np.asarray((left + right) & self._word_mask)

    def subtract_mod(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return the difference of two arrays of words modulo t."""
        return np.asarray((left - right) & self._word_mask)

    def to_bytes(self, words: np.ndarray) -> bytes:
        """Write words in `word_bytes` bytes each, the lowest byte first.

        Raises:
            ValueError: a word is not below t.
        """
        if int(words.max(initial=0)) >= self.modulus:
            raise ValueError(f"a word needs more than {self.word_bits} bits")
        return narrow(words, self.word_bytes)

    def from_bytes(self, data: bytes, count: int) -> np.ndarray:
        """Read the words of an update from another party.

        Args:
            data: what `to_bytes` wrote.
            count: values in the update, which decides how many words there must be.

        Returns:
            uint64 ``(chunks * CHUNK_WORDS,)``.

        Raises:
            WireError: the length is not the one legal length, or a word is not below t.
        """
        expected = self.num_chunks(count) * CHUNK_WORDS * self.word_bytes
        if len(data) != expected:
            raise WireError(f"a frame of {len(data)} bytes of words should have {expected}")
        words = widen(data, self.word_bytes)
        if int(words.max(initial=0)) >= self.modulus:
            raise WireError(f"a frame holds a word of more than {self.word_bits} bits")
        return words

    @property
    def _word_mask(self) -> np.uint64:
        return np.uint64(self.modulus - 1)

    def _check_weight(self, weight: int) -> None:
        if not 1 <= weight <= self.weight_total:
            raise PlanError(
                f"a weight of {weight} is outside 1 to weight_total = {self.weight_total}, beyond which sums would "
                "not be exact: raise weight_total in the plan"
            )

    def _pack_chunk(self, rows: np.ndarray, weight: int, out: np.ndarray) -> None:
        """Pack values ``(fields, CHUNK_WORDS)``; negative ones wrap around on the way to a word that is exact."""
        out[...] = rows[-1]
        for row in rows[-2::-1]:
            np.left_shift(out, np.uint64(self.field_bits), out=out)
            out += row
        shifts = sum(1 << (field * self.field_bits + self.bits - 1) for field in range(self.fields))
        out += np.uint64(shifts)
        out *= np.uint64(weight)


def choose_plain(bits: int, weight_total: int) -> Layout:
    """Return the layout with the fewest bytes per value for words that are masked and not encrypted.

    Args:
        bits: of one value, sign included.
        weight_total: largest sum of integer weights.

    Raises:
        PlanError: not even one value fits into a word.
    """
    single = Layout(bits, weight_total, 1)
    layouts = [Layout(bits, weight_total, fields) for fields in range(1, MOST_WORD_BITS // single.field_bits + 1)]
    return min(layouts, key=lambda layout: (layout.word_bytes / layout.fields, -layout.fields))


def narrow(words: np.ndarray, width: int) -> bytes:
    """Write uint64 words in `width` bytes each, the lowest byte first; the bytes above must be zero."""
    words = np.ascontiguousarray(words, "<u8")
    return np.ndarray(words.size, f"V{width}", words, 0, 8).tobytes()


def widen(data: bytes, width: int) -> np.ndarray:
    """Read uint64 words of `width` bytes each, the lowest byte first."""
    words = np.zeros(len(data) // width, "<u8")
    np.ndarray(words.size, f"V{width}", words, 0, 8)[:] = np.frombuffer(data, f"V{width}")
    return words
