"""What leaves a site, and that nothing is lost of what does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny

from wardround.core.context import RoundContext
from wardround.core.update import Tensors, of_group
from wardround.errors import SiteError
from wardround.protect.clip import Clip, norm_of
from wardround.protect.int8 import Int8
from wardround.protect.noise import AddNoise, NoiseScale
from wardround.protect.outgoing import RESIDUAL, incoming, outgoing
from wardround.protect.pipeline import Pipeline, Stage
from wardround.protect.quantise import Quantise
from wardround.protect.sparsify import RandomK, Threshold, TopK

ROUNDS = 40
FED: dict[str, tuple[Stage, ...]] = {
    "threshold": (Threshold(0.5),),
    "topk": (TopK(0.1),),
    "randomk": (RandomK(0.1),),
    "int8": (Int8(),),
    "topk, int8": (TopK(0.1), Int8()),
    "randomk, int8": (RandomK(0.1), Int8()),
    "randomk for a sum": (RandomK(0.1), Quantise()),
}


def change_of(index: int) -> Tensors:
    rng = np.random.default_rng(index)
    return {"net/a": rng.normal(size=(6, 5)).astype(np.float32), "net/b": rng.normal(size=20).astype(np.float32)}


def context(index: int) -> RoundContext:
    return RoundContext(1, index, ROUNDS, tiny.NAMES, 3, "east")


def sent(stages: tuple[Stage, ...], change: Tensors, memory: Tensors, index: int) -> tuple[Tensors, dict[str, Any]]:
    """What the other side reads of an update, and the next memory."""
    pipeline = Pipeline(stages)
    leaving = outgoing(pipeline, change, memory, context(index))
    compact = pipeline.compact(change, context(index))
    return leaving.tensors if compact is None else incoming(compact, leaving.wire), dict(leaving.residual)


@pytest.mark.parametrize("stages", FED.values(), ids=FED)
def test_what_was_sent_and_what_is_left_are_all_there_was(stages: tuple[Stage, ...]) -> None:
    """Over many rounds nothing is lost but float32's last bits."""
    memory: dict[str, Any] = {}
    total = {name: np.zeros_like(value, np.float64) for name, value in change_of(0).items()}
    for index in range(ROUNDS):
        change = change_of(index)
        read, memory = sent(stages, change, memory, index)
        for name, value in change.items():
            total[name] += value
            total[name] -= read[name]
    left = of_group(memory, RESIDUAL)
    for name, value in total.items():
        np.testing.assert_allclose(left[name], value, atol=1e-4)
    assert 0 < norm_of(left) < 3 * norm_of(change_of(0)) / 0.1


UNFED: dict[str, tuple[Stage, ...]] = {
    "nothing": (),
    "clip": (Clip(1.0),),
    "published threshold": (Threshold(0.5, feedback=False),),
    "topk": (TopK(0.1, feedback=False), Int8(feedback=False)),
}


@pytest.mark.parametrize("stages", UNFED.values(), ids=UNFED)
def test_without_feedback_nothing_is_kept(stages: tuple[Stage, ...]) -> None:
    assert sent(stages, change_of(0), {}, 0)[1] == {}


def test_only_the_stages_that_feed_back_do() -> None:
    """Top-k's rest is kept; what int8 rounds is not."""
    change = change_of(0)
    pipeline = Pipeline((TopK(0.1), Int8(feedback=False)))
    leaving = outgoing(pipeline, change, {}, context(0))
    for name, value in of_group(leaving.residual, RESIDUAL).items():
        np.testing.assert_allclose(value, change[name] - leaving.tensors[name], atol=1e-6)


@pytest.mark.parametrize("stages", [(TopK(0.5), Clip(0.7)), (Clip(0.7), TopK(0.5)), (RandomK(0.5), Clip(0.7))])
def test_a_clip_bounds_update_and_residual_together_wherever_it_stands(stages: tuple[Stage, ...]) -> None:
    memory: dict[str, Any] = {}
    for index in range(5):
        read, memory = sent(stages, change_of(index), memory, index)
        assert norm_of(read) <= 0.7 * (1 + 1e-6)


def test_what_the_clip_cuts_off_is_not_kept() -> None:
    assert norm_of(of_group(sent((Clip(0.7), TopK(1.0)), change_of(0), {}, 0)[1], RESIDUAL)) == 0.0


def test_a_round_that_is_asked_for_again_gives_the_same_bytes() -> None:
    pipeline = Pipeline((TopK(0.2), Int8()))
    memory = sent(pipeline.stages, change_of(0), {}, 0)[1]
    first, again = (outgoing(pipeline, change_of(1), memory, context(1)) for _ in range(2))
    assert first.wire["update"].tobytes() == again.wire["update"].tobytes()
    assert all(value.tobytes() == again.residual[name].tobytes() for name, value in first.residual.items())
    without = outgoing(pipeline, change_of(1), {}, context(1))
    assert first.wire["update"].tobytes() != without.wire["update"].tobytes()


def test_noise_that_does_not_travel_is_no_residual() -> None:
    """Noise lies on all coordinates and random-k sends a tenth: the rest is not fed back as if it were an update."""
    scale = NoiseScale(1.0, 1.0, 1.0, True, True)
    pipeline = Pipeline((RandomK(0.1), Clip(1.0), AddNoise(), Int8()))
    nothing = {"net/a": np.zeros(500, np.float32)}
    leaving = outgoing(pipeline, nothing, {}, context(0), scale)
    left = of_group(leaving.residual, RESIDUAL)["net/a"]
    assert np.count_nonzero(left) <= 50
    assert np.count_nonzero(leaving.tensors["net/a"]) == 500


def test_other_memories_are_left_alone() -> None:
    change = change_of(0)
    leaving = outgoing(Pipeline((TopK(0.2),)), change, {"variate/net/a": np.ones(30)}, context(0))
    assert set(leaving.residual) == {"residual/net/a", "residual/net/b"}


def test_an_update_that_is_not_finite_does_not_leave() -> None:
    for stages in ((), (TopK(0.5),), (Int8(),)):
        with pytest.raises(SiteError, match="not finite"):
            outgoing(Pipeline(stages), {"net/a": np.array([1.0, np.inf], np.float32)}, {}, context(0))
