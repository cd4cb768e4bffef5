"""One sum opened part by part: in any order, whole or not at all."""

from __future__ import annotations

import numpy as np
import pytest
import tiny

from wardround.errors import RunError, SiteError, WireError
from wardround.protect.lattice import LatticeKey, Sealer
from wardround.protect.pipeline import Homomorphic, Masks, Pipeline
from wardround.protect.quantise import Quantise
from wardround.protect.scheme import Scheme
from wardround.rounds import opening as module
from wardround.rounds.opening import Opening

SITES = ("east", "north")
WEIGHTS = (3, 5)
PIPELINES = {
    "packed": Pipeline((Quantise(16, 64), Homomorphic())),
    "masks alone": Pipeline((Quantise(16, 64), Masks())),
    "ckks": Pipeline((Homomorphic("ckks"),)),
}


class Sum:
    """Two updates, summed in three parts."""

    def __init__(self, name: str) -> None:
        pipeline = PIPELINES[name]
        self.scheme = Scheme.of(pipeline, 64)
        lattice = self.scheme.lattice
        self.sealer = Sealer(lattice, LatticeKey.new(lattice)) if lattice is not None else None
        sizes = {"net/a": self.scheme.part_values // 2, "net/b": 2 * self.scheme.part_values}
        weights = {name: np.ones(size, np.float32) for name, size in sizes.items()}
        self.grid = pipeline.grid(weights, tiny.context())
        rng = np.random.default_rng(0)
        change = {name: rng.uniform(-1e-3, 1e-3, size).astype(np.float32) for name, size in sizes.items()}
        values = [self.grid.encode(change, np.random.default_rng(seed))[0] for seed in range(2)]
        self.expected = sum(weight * row for weight, row in zip(WEIGHTS, values, strict=True))
        self.frames = [self.frame([row[part] for row in values], part) for part in self.parts]

    @property
    def parts(self) -> list[slice]:
        return self.scheme.parts(self.grid.num_values)

    def frame(self, rows: list[np.ndarray], part: slice) -> bytes:
        total = self.scheme.running_sum(part)
        for row, weight in zip(rows, WEIGHTS, strict=True):
            total.add(self.scheme.seal(self.scheme.words(row, 1), self.sealer), weight)
        return total.frame()

    def opening(self) -> Opening:
        return Opening(self.scheme, self.grid, SITES, sum(WEIGHTS))


SUMS: dict[str, Sum] = {}


@pytest.fixture(params=PIPELINES)
def made(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Sum:
    monkeypatch.setattr("wardround.protect.scheme.PART_CHUNKS", 2)
    if request.param not in SUMS:
        SUMS[request.param] = Sum(request.param)
    return SUMS[request.param]


def check(made: Sum, opening: Opening) -> None:
    total = opening.aggregate(None)
    exact = made.grid.decode(made.expected)
    assert (total.weight, total.sites) == (8.0, SITES)
    for name, tensor in total.tensors.items():
        if made.scheme.layout is None:
            assert float(np.max(np.abs(tensor - exact[name]))) < 1e-4
        else:
            assert np.array_equal(tensor, exact[name])


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 1, 0), (0, 0, 2, 1)])
def test_parts_open_in_any_order_and_again(made: Sum, order: tuple[int, ...]) -> None:
    opening = made.opening()
    assert opening.num_parts == 3
    for place, part in enumerate(order):
        assert opening.is_whole is (place >= 3 and len(set(order[:place])) == 3)
        opening.take(part, made.frames[part], made.sealer)
    assert opening.is_whole
    check(made, opening)


def test_a_part_that_comes_again_replaces_the_first(made: Sum) -> None:
    opening, part = made.opening(), made.parts[1]
    other = made.frame([np.zeros(part.stop - part.start, made.expected.dtype)] * 2, part)
    for number, frame in ((0, made.frames[0]), (1, other), (2, made.frames[2]), (1, made.frames[1])):
        opening.take(number, frame, made.sealer)
    check(made, opening)


def test_missing_parts_are_counted(made: Sum) -> None:
    opening = made.opening()
    for missing, part in ((3, 2), (2, 2), (2, 0)):
        with pytest.raises(SiteError, match=f"{missing} parts of the sum never came"):
            opening.aggregate(None)
        opening.take(part, made.frames[part], made.sealer)
    with pytest.raises(SiteError, match="1 parts of the sum never came"):
        opening.aggregate(None)


@pytest.mark.parametrize("part", [-1, 3, 2**40])
def test_a_part_that_is_none_is_refused(made: Sum, part: int) -> None:
    with pytest.raises(WireError, match="none of the 3 parts"):
        made.opening().take(part, made.frames[0], made.sealer)


def test_a_part_that_does_not_open_makes_the_round_void_even_if_it_comes_again(made: Sum) -> None:
    opening = made.opening()
    opening.take(0, made.frames[0][:-1], made.sealer)
    for part, frame in enumerate(made.frames):
        opening.take(part, frame, made.sealer)
    assert opening.is_whole
    with pytest.raises(SiteError, match="part 0 does not open"):
        opening.aggregate(None)


def test_a_part_that_could_not_be_opened_here_is_not_taken(made: Sum, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RunError("this machine is broken")

    opening = made.opening()
    for part in (0, 1):
        opening.take(part, made.frames[part], made.sealer)
    monkeypatch.setattr(module.Scheme, "open_into", broken)
    with pytest.raises(RunError, match="broken"):
        opening.take(2, made.frames[2], made.sealer)
    assert not opening.is_whole
