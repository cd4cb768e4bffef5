"""Which stages make sense together, in which order, and who opens what they make."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from wardround.errors import PlanError
from wardround.protect.clip import Clip, norm_of
from wardround.protect.pipeline import STAGES, Homomorphic, Masks, Pipeline, Stage
from wardround.protect.quantise import Grid, Quantise, RealGrid

CLIP, QUANTISE, MASKS, PACKED, CKKS = Clip(), Quantise(), Masks(), Homomorphic(), Homomorphic("ckks")

GOOD: dict[str, tuple[Stage, ...]] = {
    "nothing": (),
    "clip": (CLIP,),
    "quantise": (QUANTISE,),
    "clip, quantise": (CLIP, QUANTISE),
    "masks": (CLIP, QUANTISE, MASKS),
    "packed": (CLIP, QUANTISE, PACKED),
    "packed and masked": (CLIP, QUANTISE, MASKS, PACKED),
    "packed and masked without a clip": (QUANTISE, MASKS, PACKED),
    "ckks": (CLIP, CKKS),
    "ckks alone": (CKKS,),
}

BAD: dict[str, tuple[tuple[Stage, ...], str]] = {
    "twice": ((CLIP, CLIP), "out of order or come twice"),
    "clip after quantise": ((QUANTISE, CLIP), "out of order or come twice"),
    "masks after encryption": ((QUANTISE, PACKED, MASKS), "clipped, quantised, masked and encrypted, in this order"),
    "quantise after masks": ((MASKS, QUANTISE), "out of order or come twice"),
    "two schemes": ((QUANTISE, PACKED, CKKS), "out of order or come twice"),
    "masks of real numbers": ((CLIP, MASKS), "masks hide integers, not real numbers.*: quantise before"),
    "packed real numbers": ((CLIP, PACKED), "packed scheme encrypts integers: put a quantise stage before it"),
    "ckks of integers": ((QUANTISE, CKKS), "ckks encrypts real numbers: remove the quantise stage"),
    "ckks under masks": ((MASKS, CKKS), "quantise before"),
}


@pytest.mark.parametrize("stages", GOOD.values(), ids=GOOD)
def test_these_are_taken(stages: tuple[Stage, ...]) -> None:
    Pipeline(stages).check()


@pytest.mark.parametrize(("stages", "sentence"), BAD.values(), ids=BAD)
def test_these_are_refused_by_a_sentence(stages: tuple[Stage, ...], sentence: str) -> None:
    with pytest.raises(PlanError, match=sentence):
        Pipeline(stages).check()


def test_every_other_mixture_is_refused() -> None:
    """Of all rows of up to four stages, exactly those pass that the table below the rules says."""
    kinds = (CLIP, QUANTISE, MASKS, PACKED, CKKS)
    passed = set()
    for size in range(5):
        for stages in itertools.permutations(kinds, size):
            try:
                Pipeline(stages).check()
            except PlanError:
                continue
            passed.add(stages)
    clipped = {(), (QUANTISE,), (QUANTISE, MASKS), (QUANTISE, PACKED), (QUANTISE, MASKS, PACKED), (CKKS,)}
    assert passed == clipped | {(CLIP, *stages) for stages in clipped}


@pytest.mark.parametrize(
    ("stages", "open_at", "at_sites"),
    [
        ((), "auto", False),
        ((), "coordinator", False),
        ((CLIP, QUANTISE, MASKS), "auto", False),
        ((CLIP, QUANTISE, MASKS), "coordinator", False),
        ((QUANTISE, PACKED), "auto", True),
        ((QUANTISE, PACKED), "sites", True),
        ((QUANTISE, MASKS, PACKED), "auto", True),
        ((CKKS,), "auto", True),
        ((CKKS,), "sites", True),
    ],
)
def test_who_opens(stages: tuple[Stage, ...], open_at: str, at_sites: bool) -> None:
    pipeline = Pipeline(stages, open_at)
    pipeline.check()
    assert pipeline.opens_at_sites == at_sites


@pytest.mark.parametrize("stages", [(QUANTISE, PACKED), (QUANTISE, MASKS, PACKED), (CKKS,)])
def test_a_coordinator_never_opens_what_is_encrypted(stages: tuple[Stage, ...]) -> None:
    with pytest.raises(PlanError, match=r'has no key to an encrypted sum.*: open_at = "sites"'):
        Pipeline(stages, "coordinator").check()


@pytest.mark.parametrize("stages", [(), (CLIP,), (QUANTISE,), (QUANTISE, MASKS)])
def test_sites_open_only_what_is_encrypted(stages: tuple[Stage, ...]) -> None:
    with pytest.raises(PlanError, match="without encryption the coordinator reads the sum whoever opens it"):
        Pipeline(stages, "sites").check()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Pipeline((), "nobody"), "open_at = 'nobody' is not one of auto, sites, coordinator"),
        (lambda: Homomorphic("paillier"), "scheme = 'paillier' is not one of packed, ckks"),
        (lambda: Masks(threshold=-1), "masks threshold = -1 is negative: 0 chooses one"),
        (lambda: Masks(least_sites=1), "least_sites = 1 is below 2: a sum over one site is its update"),
    ],
)
def test_settings_that_mean_nothing_are_refused(make: Any, sentence: str) -> None:
    with pytest.raises(PlanError, match=sentence):
        make()


@pytest.mark.parametrize(
    ("stages", "sums_frames", "needs_keys", "ckks"),
    [
        ((), False, False, False),
        ((CLIP,), False, False, False),
        ((QUANTISE,), True, False, False),
        ((QUANTISE, MASKS), True, True, False),
        ((QUANTISE, PACKED), True, True, False),
        ((CKKS,), True, True, True),
    ],
)
def test_what_follows_from_the_stages(
    stages: tuple[Stage, ...], sums_frames: bool, needs_keys: bool, ckks: bool
) -> None:
    pipeline = Pipeline(stages)
    assert (pipeline.sums_frames, pipeline.needs_keys, pipeline.ckks) == (sums_frames, needs_keys, ckks)
    found = [pipeline.clip, pipeline.quantise, pipeline.masks, pipeline.homomorphic]
    assert tuple(stage for stage in found if stage is not None) == stages


def test_names_stand_in_the_order_of_the_stages() -> None:
    assert list(STAGES) == ["clip", "quantise", "masks", "homomorphic"]
    Pipeline(tuple(kind() for kind in STAGES.values())).check()


def test_a_stage_that_is_not_there_changes_nothing() -> None:
    change = {"net/a": np.full(4, 50.0, np.float32)}
    assert Pipeline(()).clipped(change) is change
    assert norm_of(Pipeline((CLIP,)).clipped(change)) == pytest.approx(10.0)
    assert isinstance(Pipeline((QUANTISE,)).grid(change), Grid)
    assert isinstance(Pipeline((CKKS,)).grid(change), RealGrid)
