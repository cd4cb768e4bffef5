"""What travels instead of an update: frames, which are summed as they are, part by part."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from wardround.errors import PlanError
from wardround.protect.lattice import RunningSum, Sealer
from wardround.protect.lattice_parameters import LatticeParameters, choose, published_ckks
from wardround.protect.packing import CHUNK_WORDS, Layout, choose_plain
from wardround.protect.pipeline import Pipeline

PART_CHUNKS = 512
_BLOCK_WORDS = 16 * CHUNK_WORDS


class FrameSum(Protocol):
    """The one running sum that a coordinator holds of a part, whatever the number of sites."""

    def add(self, frame: bytes, weight: int = 1) -> None:
        """Add a site's frame, times a weight.

        Raises:
            WireError: the frame does not have the one legal length, or a number in it is out of range.
        """
        ...

    def subtract_plain(self, words: np.ndarray) -> None:
        """Take masks off: uint64 words, modulo the layout's modulus."""
        ...

    def frame(self) -> bytes:
        """Return the sum as a frame."""
        ...


@dataclass(frozen=True)
class Scheme:
    """How integers (or, for ckks, real numbers) become frames.

    Attributes:
        layout: how integers share words; ``None`` for ckks.
        lattice: parameters of the encryption; ``None`` where words travel as they are, or masked.
        weight_total: largest sum of weights.
    """

    layout: Layout | None
    lattice: LatticeParameters | None
    weight_total: int

    @classmethod
    def of(cls, pipeline: Pipeline, weight_total: int) -> Scheme:
        """Choose the cheapest parameters for a pipeline.

        Args:
            pipeline: with a quantise stage or ckks.
            weight_total: largest sum of the integer weights of a round.

        Raises:
            PlanError: no parameters hold that many bits and that weight.
        """
        if pipeline.ckks:
            return cls(None, published_ckks(weight_total), weight_total)
        if pipeline.quantise is None:
            raise PlanError("there is no quantise stage, so there is nothing that could be summed as a frame")
        if pipeline.homomorphic:
            lattice, layout = choose(pipeline.quantise.bits, weight_total)
            return cls(layout, lattice, weight_total)
        return cls(choose_plain(pipeline.quantise.bits, weight_total), None, weight_total)

    @property
    def chunk_values(self) -> int:
        """Values in one chunk."""
        return self.layout.values_per_chunk if self.layout is not None else self._lattice.values_per_chunk

    @property
    def word_bits(self) -> int:
        """Bits of a word; masks are added modulo ``2^word_bits``."""
        return self._layout.word_bits

    @property
    def part_values(self) -> int:
        """Values in a full part."""
        return int(PART_CHUNKS * self.chunk_values)

    def parts(self, num_values: int) -> list[slice]:
        """Return which values each part holds."""
        return [
            slice(start, min(num_values, start + self.part_values)) for start in range(0, num_values, self.part_values)
        ]

    def words_before(self, part: slice) -> int:
        """Return the number of words before a part; masks count from there."""
        return int(part.start // self.chunk_values * CHUNK_WORDS)

    def num_words(self, part: slice) -> int:
        """Return the number of words of a part, padding included."""
        return self._chunks(part) * CHUNK_WORDS

    def frame_bytes(self, part: slice) -> int:
        """Return the one legal length of a site's frame for a part."""
        if self.lattice is not None:
            return self._chunks(part) * self.lattice.upload_chunk_bytes
        return self.num_words(part) * self._layout.word_bytes

    def upload_bytes(self, num_values: int) -> int:
        """Return the bytes of all of a site's frames for an update."""
        return sum(self.frame_bytes(part) for part in self.parts(num_values))

    def words(self, values: np.ndarray, weight: int) -> np.ndarray:
        """Turn a part's values into what is masked and encrypted; ckks only fills the last chunk with zeros.

        Args:
            values: int64, or float64 for ckks.
            weight: that the site applies itself; 1 where the coordinator does.
        """
        if self.layout is not None:
            return self.layout.pack(values, weight)
        return np.pad(values, (0, -values.size % self.chunk_values))

    def masked(self, words: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Add a mask to words."""
        return self._layout.add_mod(words, mask)

    def seal(self, words: np.ndarray, sealer: Sealer | None) -> bytes:
        """Write words as a frame."""
        return sealer.encrypt(words) if sealer is not None else self._layout.to_bytes(words)

    def running_sum(self, part: slice) -> FrameSum:
        """Return an empty sum for a part."""
        if self.lattice is not None:
            return RunningSum(self.lattice, self._chunks(part))
        return WordSum(self._layout, part.stop - part.start)

    def opened(self, frame: bytes, part: slice, total_weight: int, sealer: Sealer | None) -> np.ndarray:
        """Read a sum: int64, or float64 for ckks.

        Raises:
            WireError: the frame is not one of this scheme.
        """
        values = self.empty(part.stop - part.start)
        self.open_into(values, frame, part, total_weight, sealer)
        return values

    def open_into(
        self, values: np.ndarray, frame: bytes, part: slice, total_weight: int, sealer: Sealer | None
    ) -> None:
        """Read the sum of a part into its place: block by block, so that nothing but the result leaves the cache.

        Raises:
            WireError: the frame is not one of this scheme; `values` may have been changed.
        """
        start = 0
        for block in self._blocks(frame, part, sealer):
            if self.layout is None:
                found = block[: len(values) - start]
            else:
                count = min(len(values) - start, len(block) // CHUNK_WORDS * self.chunk_values)
                found = self.layout.unpack_sum(block, total_weight, count)
            values[start : start + len(found)] = found
            start += len(found)

    def empty(self, count: int) -> np.ndarray:
        """Return room for `count` values of a sum: int64, or float64 for ckks."""
        return np.empty(count, np.float64 if self.layout is None else np.int64)

    def _blocks(self, frame: bytes, part: slice, sealer: Sealer | None) -> Iterator[np.ndarray]:
        """Yield what the sum of a part holds, some whole chunks at a time."""
        if self.lattice is not None:
            if sealer is None:
                raise PlanError("an encrypted sum cannot be opened without its key")
            yield from sealer.open_blocks(frame, self._chunks(part))
        else:
            words = self._layout.from_bytes(frame, part.stop - part.start)
            yield from (words[start : start + _BLOCK_WORDS] for start in range(0, len(words), _BLOCK_WORDS))

    def _chunks(self, part: slice) -> int:
        chunks: int = math.ceil((part.stop - part.start) / self.chunk_values)
        return chunks

    @property
    def _layout(self) -> Layout:
        if self.layout is None:
            raise PlanError("ckks has no words")
        return self.layout

    @property
    def _lattice(self) -> LatticeParameters:
        if self.lattice is None:
            raise PlanError("these frames are not encrypted")
        return self.lattice


class WordSum:
    """A sum of frames whose words are not encrypted, modulo the layout's modulus."""

    def __init__(self, layout: Layout, count: int) -> None:
        """Start a sum of updates of `count` values."""
        self._layout = layout
        self._count = count
        self._sum = np.zeros(layout.num_chunks(count) * CHUNK_WORDS, np.uint64)
        self._weight = 0

    def add(self, frame: bytes, weight: int = 1) -> None:
        """Add a frame; see `FrameSum.add`."""
        words = self._layout.from_bytes(frame, self._count)
        if weight < 0 or self._weight + weight > self._layout.weight_total:
            raise PlanError(f"the weights sum to more than weight_total = {self._layout.weight_total}: raise it")
        self._weight += weight
        # uint64 wraps at 2^64, a multiple of the modulus.
        self._sum = self._layout.add_mod(self._sum, words * np.uint64(weight))

    def subtract_plain(self, words: np.ndarray) -> None:
        """Take masks off; see `FrameSum.subtract_plain`."""
        self._sum = self._layout.subtract_mod(self._sum, words)

    def frame(self) -> bytes:
        """Return the sum as a frame."""
        return self._layout.to_bytes(self._sum)
