"""What each rule around a claim of (epsilon, delta) prevents."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tiny
from observer import CLIPPED, SIGMA, allowed, told_apart

from wardround.aggregate import Median
from wardround.algorithms import Training
from wardround.checker import Mixture, Unit, View, check
from wardround.checker.contract import Noise
from wardround.checker.mixture import Masking, Work
from wardround.core.context import RoundContext
from wardround.core.update import Update
from wardround.errors import PlanError
from wardround.privacy import Gaussian, epsilon_of
from wardround.privacy.words import Words
from wardround.protect.clip import Clip
from wardround.protect.int8 import Int8, from_codes, to_codes
from wardround.protect.noise import AddNoise, NoiseScale, with_gaussian
from wardround.protect.outgoing import outgoing
from wardround.protect.pipeline import Homomorphic, Masks, Pipeline, Stage
from wardround.protect.quantise import Quantise
from wardround.protect.sparsify import RandomK
from wardround.screen import Case, Norms

SHARES = AddNoise("discrete_gaussian")
CENTRAL = AddNoise(at="coordinator")
TRAINED = Work("dpsgd", bounds_records=True)
OWN = replace(TRAINED, noise=Noise(View.EACH, Unit.RECORD))
SCALE = NoiseScale(SIGMA, CLIPPED, 1.0, True, True)


def mixture(*stages: Stage, unit: Unit = Unit.SITE, work: Work | None = None, bisects: bool = False) -> Mixture:
    """A mixture that claims (epsilon, delta) for `unit`, whose noise is made for it; masks name a threshold of 2."""
    links = tuple(
        replace(
            link, contract=replace(link.contract, noise=link.contract.noise and replace(link.contract.noise, unit=unit))
        )
        for link in Pipeline(stages).links
    )
    masking = Masking(2, 2, 255, bisects) if any(isinstance(stage, Masks) for stage in stages) else None
    return Mixture(links, work=work or Work(), weight_total=64, masking=masking, claims_privacy=True, claimed_unit=unit)


def refuses(rule: str, broken: Mixture, instead: Mixture) -> None:
    with pytest.raises(PlanError) as refused:
        check(broken)
    assert refused.value.rule == rule
    check(instead)


def test_noise_without_claim() -> None:
    """Nobody said how much: none is added, and what leaves is the update itself."""
    sound = mixture(Clip(1.0), AddNoise())
    refuses("noise-without-claim", replace(sound, claims_privacy=False, claimed_unit=None), sound)
    change = {"net/a": np.array([0.3, 0.4], np.float32)}
    silent = outgoing(Pipeline((Clip(1.0), AddNoise())), change, {}, tiny.context())
    np.testing.assert_array_equal(silent.tensors["net/a"], change["net/a"])
    assert silent.events == ()


def test_other_unit() -> None:
    """Noise that hides one record of norm 1 does not hide a site whose records add up to 20."""
    sound = mixture(work=OWN, unit=Unit.RECORD)
    refuses("other-unit", replace(sound, claimed_unit=Unit.SITE), sound)
    assert told_apart(lambda there, rng: there * CLIPPED + SIGMA * rng.normal()) < allowed(CLIPPED, SIGMA)
    assert told_apart(lambda there, rng: there * 20 * CLIPPED + SIGMA * rng.normal()) > 0.99


def test_noise_twice() -> None:
    """Twice the variance is paid for, and the claim counts on half of it."""
    refuses("noise-twice", mixture(AddNoise(), unit=Unit.RECORD, work=OWN), mixture(unit=Unit.RECORD, work=OWN))
    rng = np.random.default_rng(0)
    paid = SIGMA * rng.normal(size=40_000) + SIGMA * rng.normal(size=40_000)
    assert paid.std() == pytest.approx(SIGMA * 2**0.5, rel=0.02)
    assert epsilon_of({Gaussian(SIGMA, 1.0): 1}, 1e-5) > 1.3 * epsilon_of({Gaussian(SIGMA * 2**0.5, 1.0): 1}, 1e-5)


def test_opener_knows_noise() -> None:
    """Every site draws its own: the models differ; and each knows what it drew, and takes it off."""
    masks, packed = Masks(threshold=2), Homomorphic()
    refuses(
        "opener-knows-noise",
        mixture(Clip(1.0), CENTRAL, Quantise(), masks, packed),
        mixture(Clip(1.0), CENTRAL, Quantise(), masks),
    )
    total = {"net/a": np.linspace(-1, 1, 50)}
    east, west = (with_gaussian(total, SCALE, Words())[0]["net/a"] for _ in range(2))
    assert np.abs(east - west).max() > SIGMA / 2
    words = Words(7)
    known = SCALE.multiplier * SCALE.sensitivity * words.normal(50)
    np.testing.assert_allclose(with_gaussian(total, SCALE, Words(7))[0]["net/a"] - known, total["net/a"], atol=1e-12)


def shares_told_apart(made_for: int, summed: int) -> float:
    share = SIGMA / made_for**0.5
    return told_apart(lambda there, rng: there * CLIPPED + float(share * rng.normal(size=summed).sum()))


def test_shares_without_threshold() -> None:
    """Shares made for sixteen sites, of which four are left in the sum, are half the noise."""
    sound = mixture(Clip(1.0), Quantise(), SHARES, Masks(threshold=2))
    refuses("shares-without-threshold", replace(sound, masking=Masking(0, 2, 255)), sound)
    assert shares_told_apart(16, 16) < allowed(CLIPPED, SIGMA) < shares_told_apart(16, 1)
    assert shares_told_apart(4, 4) < allowed(CLIPPED, SIGMA)


def test_shares_bisected() -> None:
    """Half of a sum, and half of that, carries ever less noise beside one site's update."""
    stages = (Clip(1.0), Quantise(), SHARES, Masks(threshold=2))
    refuses("shares-bisected", mixture(*stages, bisects=True), mixture(*stages))
    seen = [shares_told_apart(16, summed) for summed in (16, 4, 2)]
    assert seen == sorted(seen)
    assert seen[-1] > allowed(CLIPPED, SIGMA)


def test_shares_without_range() -> None:
    """Beyond the range everything is cut to it: what is summed is no longer the update, with noise or without."""
    stages = (Quantise(), SHARES, Masks(threshold=2))
    refuses(
        "shares-without-range",
        mixture(*stages, unit=Unit.RECORD, work=TRAINED),
        mixture(Clip(1.0), *stages, unit=Unit.RECORD, work=TRAINED),
    )
    grid = Quantise(8).grid({"net/a": np.full(200, 0.5, np.float32)})
    update = np.random.default_rng(0).normal(0, 20, 200)
    values, cut = grid.encode({"net/a": update}, np.random.default_rng(0))
    assert cut > 0.95
    assert np.linalg.norm(grid.decode(values)["net/a"] - update) > 0.9 * np.linalg.norm(update)


def test_noise_of_no_sum() -> None:
    """One short update lowers the median norm: a screen leaves out twenty others, and the sum moves six bounds."""
    sound = mixture(Clip(1.0), CENTRAL)
    refuses("noise-of-no-sum", replace(sound, screens=(Norms().combiner,)), sound)
    refuses("noise-of-no-sum", replace(sound, aggregator=Median().combiner), sound)
    sizes = [0.1] * 20 + [0.31] * 20

    def total(there: bool, screened: bool) -> float:
        updates = [Update(f"s{i}", 0, {"x": np.array([size])}, 1) for i, size in enumerate(sizes + [0.1] * there)]
        verdicts = Norms(3.0).judge(Case(updates, tiny.context())).verdicts if screened else {}
        kept = [update for update in updates if update.site not in verdicts or verdicts[update.site].trust]
        return float(sum(update.tensors["x"][0] for update in kept))

    moved = {screened: abs(total(True, screened) - total(False, screened)) for screened in (True, False)}
    assert moved[False] < CLIPPED
    assert moved[True] > 6 * CLIPPED
    assert told_apart(lambda there, rng: there * moved[True] + SIGMA * rng.normal()) > allowed(CLIPPED, SIGMA) + 0.2


def test_codes_before_noise() -> None:
    """One coordinate that grows by 1 makes the step of all others coarser: the update moves by more than the one."""
    refuses("codes-before-noise", mixture(Clip(1.0), CENTRAL, Int8()), mixture(Clip(1.0), AddNoise(), Int8()))
    rest = np.full(20_000, 0.004, np.float32)

    def read(largest: float) -> np.ndarray:
        row = np.append(rest, np.float32(largest))
        codes, steps = to_codes([row], np.random.default_rng(0))
        return from_codes(codes, steps, [row.size])

    assert np.linalg.norm(read(2.0) - read(1.0)) > 1.2
    exact = [np.append(rest, value) for value in (2.0, 1.0)]
    assert np.linalg.norm(exact[0] - exact[1]) == pytest.approx(1.0)


def test_feedback_before_noise() -> None:
    """A record that was drawn in one round only is still in what leaves in the next."""
    fed, unfed = RandomK(0.5), RandomK(0.5, feedback=False)
    refuses(
        "feedback-before-noise",
        mixture(fed, AddNoise(), unit=Unit.RECORD, work=TRAINED),
        mixture(AddNoise(), fed, unit=Unit.RECORD, work=TRAINED),
    )

    def second_round(stage: RandomK, drawn: bool) -> np.ndarray:
        nothing = {"net/a": np.zeros(64, np.float32)}
        record = {"net/a": np.full(64, float(drawn), np.float32)}
        first = outgoing(Pipeline((stage,)), record, {}, RoundContext(1, 0, 2, (), 0, "east"))
        return outgoing(
            Pipeline((stage,)), nothing, dict(first.residual), RoundContext(1, 1, 2, (), 0, "east")
        ).tensors["net/a"]

    assert np.linalg.norm(second_round(fed, True) - second_round(fed, False)) > 2
    assert np.linalg.norm(second_round(unfed, True) - second_round(unfed, False)) == 0


def test_steps_by_count() -> None:
    """One image more and a site takes a step more, which its events tell everybody."""
    own = replace(TRAINED, noise=Noise(View.EACH, Unit.RECORD))
    sound = mixture(unit=Unit.RECORD, work=own)
    refuses("steps-by-count", replace(sound, work=replace(own, counts_records=True)), sound)
    passes, constant = Training(epochs=1.0, batch_size=32), Training(steps=3, batch_size=32)
    assert passes.num_steps(80) != passes.num_steps(81)
    assert constant.num_steps(80) == constant.num_steps(81)


def test_votes_bare() -> None:
    """Noise hides an update of norm 1, and beside it lie its 400 signs, which are 20 bounds long."""
    stages, votes = (Clip(CLIPPED), AddNoise()), Work("and_mask", votes=True)
    refuses("votes-bare", mixture(*stages, work=votes), mixture(*stages))
    refuses("votes-bare", mixture(unit=Unit.RECORD, work=replace(OWN, votes=True)), mixture(unit=Unit.RECORD, work=OWN))
    change = {"net/a": np.full(400, 0.3, np.float32)}
    sent = Clip(CLIPPED).encode({**change, "vote/net/a": np.sign(change["net/a"])}, tiny.context())
    norms = {name: float(np.linalg.norm(value)) for name, value in sent.items()}
    assert told_apart(lambda there, rng: there * norms["net/a"] + SIGMA * rng.normal()) < allowed(CLIPPED, SIGMA)
    assert told_apart(lambda there, rng: there * norms["vote/net/a"] + SIGMA * rng.normal()) > 0.99
