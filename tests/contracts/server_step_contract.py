"""What every `ServerStep` must do."""

from __future__ import annotations

import numpy as np

from wardround.algorithms import ServerStep
from wardround.core.codec import Message, decode, encode
from wardround.core.context import RoundContext
from wardround.core.update import Tensors

WEIGHTS: Tensors = {
    "net/w": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3),
    "net/scale": np.array(2.0, np.float32),
    "stat/mean": np.array([0.5, 1.5], np.float32),
}
COHORT = ("a", "b")


def copied(tensors: Tensors) -> dict[str, np.ndarray]:
    return {name: value.copy() for name, value in tensors.items()}


def same(left: Tensors, right: Tensors) -> bool:
    return left.keys() == right.keys() and all(
        value.dtype == right[name].dtype
        and value.shape == right[name].shape
        and value.tobytes() == right[name].tobytes()
        for name, value in left.items()
    )


class ServerStepContract:
    """Join with one line: ``class TestMine(ServerStepContract): step = Mine()``."""

    step: ServerStep

    def mean(self, seed: int = 0) -> dict[str, np.ndarray]:
        """A mean update: one change for everything that was broadcast."""
        rng = np.random.default_rng(seed)
        broadcast = self.step.broadcast(self.step.start(WEIGHTS))
        return {n: np.asarray(rng.normal(0, 0.1, v.shape), np.float32) for n, v in broadcast.items()}

    def context(self, index: int) -> RoundContext:
        return RoundContext(1, index, 9, COHORT, 3)

    def after(self, rounds: int) -> Tensors:
        state = self.step.start(WEIGHTS)
        for index in range(rounds):
            state = self.step.apply(state, self.mean(index), self.context(index))
        return state

    def test_it_starts_from_the_weights(self) -> None:
        state = self.step.start(WEIGHTS)
        assert same(self.step.model(state), WEIGHTS)
        assert same({n: v for n, v in self.step.broadcast(state).items() if n in WEIGHTS}, WEIGHTS)

    def test_names_shapes_and_dtypes_stay(self) -> None:
        start, later = self.step.start(WEIGHTS), self.after(3)
        assert later.keys() == start.keys()
        for name, value in start.items():
            assert isinstance(later[name], np.ndarray), name
            assert (later[name].dtype, later[name].shape) == (np.float32, value.shape), name
        assert self.step.model(later).keys() == WEIGHTS.keys()

    def test_inputs_are_not_changed(self) -> None:
        state, mean = self.after(2), self.mean(2)
        kept_state, kept_mean = copied(state), copied(mean)
        self.step.apply(state, mean, self.context(2))
        assert same(state, kept_state)
        assert same(mean, kept_mean)

    def test_nothing_is_kept_inside(self) -> None:
        first = self.after(3)
        self.step.apply(self.step.start(WEIGHTS), self.mean(8), self.context(0))
        assert same(self.after(3), first)

    def test_the_state_survives_a_checkpoint(self) -> None:
        state = self.after(2)
        reread = decode(encode(Message({}, state))).tensors
        assert same(reread, state)
        mean = self.mean(2)
        assert same(self.step.apply(reread, mean, self.context(2)), self.step.apply(state, mean, self.context(2)))

    def test_weights_move_with_the_mean(self) -> None:
        state = self.step.start(WEIGHTS)
        mean = {name: np.ones_like(value) for name, value in self.mean().items()}
        moved = self.step.broadcast(self.step.apply(state, mean, self.context(0)))
        for name, before in WEIGHTS.items():
            assert (moved[name] > before).all(), name

    def test_a_mean_of_nothing_leaves_fresh_weights_where_they_are(self) -> None:
        zero = {name: np.zeros_like(value) for name, value in self.mean().items()}
        state = self.step.apply(self.step.start(WEIGHTS), zero, self.context(0))
        for name, value in WEIGHTS.items():
            np.testing.assert_allclose(self.step.model(state)[name], value, rtol=1e-6)
