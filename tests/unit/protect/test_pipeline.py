"""A pipeline: what its stages make of a plan, and which it refuses."""

from __future__ import annotations

import pytest

from wardround.checker import Mixture, check
from wardround.errors import PlanError
from wardround.protect.clip import Clip
from wardround.protect.pipeline import Homomorphic, Masks, Pipeline, Stage
from wardround.protect.quantise import Quantise

CKKS = Homomorphic("ckks")
GOOD: dict[str, tuple[tuple[Stage, ...], bool, bool, bool]] = {
    "nothing": ((), False, False, False),
    "clipped": ((Clip(),), False, False, False),
    "quantised": ((Quantise(),), True, False, False),
    "masked": ((Quantise(), Masks()), True, True, False),
    "packed": ((Clip(), Quantise(), Homomorphic()), True, True, True),
    "all": ((Clip(), Quantise(), Masks(), Homomorphic()), True, True, True),
    "ckks": ((Clip(), CKKS), True, True, True),
}


@pytest.mark.parametrize(("stages", "frames", "keys", "sites"), GOOD.values(), ids=GOOD)
def test_what_the_stages_mean(stages: tuple[Stage, ...], frames: bool, keys: bool, sites: bool) -> None:
    pipeline = Pipeline(stages)
    check(Mixture(pipeline.links, open_at=pipeline.open_at))
    assert (pipeline.sums_frames, pipeline.needs_keys, pipeline.opens_at_sites) == (frames, keys, sites)
    assert Pipeline(stages, "sites" if sites else "coordinator").opens_at_sites == sites


REFUSED: dict[str, tuple[Pipeline, str]] = {
    "masks over real numbers": (Pipeline((Masks(),)), "stay visible under masks .* put a quantise stage before"),
    "packed real numbers": (Pipeline((Homomorphic(),)), "put a quantise stage before"),
    "ckks of integers": (Pipeline((Quantise(), CKKS)), "remove the quantise stage"),
    "ckks under masks": (Pipeline((Quantise(), Masks(), CKKS)), "a mask that does not cancel"),
    "clipped after": (Pipeline((Quantise(), Clip())), "clip after quantise: it works on real numbers"),
    "masked after": (Pipeline((Quantise(), Homomorphic(), Masks())), "masks after homomorphic: a ciphertext"),
    "twice": (Pipeline((Quantise(), Quantise())), "quantise after quantise"),
    "clipped twice": (Pipeline((Clip(), Clip())), "clip and clip both bound the norm"),
    "the coordinator opens ciphertexts": (
        Pipeline((Quantise(), Homomorphic()), "coordinator"),
        "has no key to an encrypted sum",
    ),
    "sites open what is open": (Pipeline((Quantise(), Masks()), "sites"), "reads the sum whoever opens it"),
}


@pytest.mark.parametrize(("pipeline", "words"), REFUSED.values(), ids=REFUSED)
def test_what_protects_nothing_is_refused(pipeline: Pipeline, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        check(Mixture(pipeline.links, open_at=pipeline.open_at))


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(PlanError, match="threshold = -1"):
        Masks(-1)
    with pytest.raises(PlanError, match="least_sites = 1"):
        Masks(least_sites=1)
    with pytest.raises(PlanError, match="scheme = 'rsa'"):
        Homomorphic("rsa")
    with pytest.raises(PlanError, match="open_at = 'me'"):
        Pipeline((), "me")
