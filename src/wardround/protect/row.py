"""An update as one row of numbers, of which all travel or those at chosen places."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from wardround.core.update import Tensors


@dataclass(frozen=True)
class Row:
    """Tensors in the order of their names, end to end.

    Attributes:
        shapes: tensor -> shape, sorted by name.
        places: int64, ascending: which numbers of the row travel; ``None`` for all.
    """

    shapes: Mapping[str, tuple[int, ...]]
    places: np.ndarray | None = None

    @classmethod
    def of(cls, tensors: Tensors, places: np.ndarray | None = None) -> Row:
        """Return the row for tensors of these names and shapes."""
        return cls({name: tensors[name].shape for name in sorted(tensors)}, places)

    @property
    def length(self) -> int:
        """Numbers in the row, whether they travel or not."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def num_values(self) -> int:
        """Numbers that travel."""
        return self.length if self.places is None else len(self.places)

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """Tensor -> how many of its numbers travel."""
        return {name: stop - start for name, start, stop in self._bounds}

    def chosen(self, tensors: Tensors, dtype: type[np.floating]) -> Iterator[tuple[str, np.ndarray]]:
        """Yield each tensor's name with those of its numbers that travel, as one-dimensional `dtype`."""
        begin = 0
        for name, start, stop in self._bounds:
            flat = np.asarray(tensors[name], dtype).reshape(-1)
            if self.places is not None:
                place = self.places[start:stop] - begin
                begin += flat.size
                flat = flat[place]
            yield name, flat

    def values(self, tensors: Tensors, dtype: type[np.floating]) -> np.ndarray:
        """Return the numbers that travel, ``(num_values,)``."""
        return np.concatenate([flat for _, flat in self.chosen(tensors, dtype)] or [np.empty(0, dtype)])

    def tensors(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Put ``(num_values,)`` back into tensors of the same dtype; what did not travel is zero."""
        row = values
        if self.places is not None:
            row = np.zeros(self.length, values.dtype)
            row[self.places] = values
        tensors, start = {}, 0
        for name, shape in self.shapes.items():
            end = start + math.prod(shape)
            tensors[name] = row[start:end].reshape(shape)
            start = end
        return tensors

    @cached_property
    def _bounds(self) -> tuple[tuple[str, int, int], ...]:
        """Tensor, and where its numbers begin and end among those that travel."""
        ends = np.cumsum([math.prod(shape) for shape in self.shapes.values()], dtype=np.int64)
        if self.places is not None:
            ends = np.searchsorted(self.places, ends)
        borders = [0, *ends.tolist()]
        return tuple(zip(self.shapes, borders[:-1], borders[1:], strict=True))
