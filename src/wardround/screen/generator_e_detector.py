"""Look at what each site's generator makes, and weigh whether it keeps moving where real images do not vary."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wardround.checker import Combiner, View
from wardround.core.update import Tensors, Update
from wardround.errors import PlanError
from wardround.screen.base import Case, Judgement, Probe, Verdict
from wardround.screen.clipping import shortened
from wardround.screen.evidence import CEILING, alarm, is_left_out, weighed

FloatArray = NDArray[np.float64]
_WAY, _LOG, _OUT = "way", "log", "out"


@dataclass(frozen=True)
class GeneratorEDetector:
    """Leave a site out whose generator keeps moving the same way, where real images do not vary.

    For generators of images. Updates are looked at shortened to the median norm of the round. The coordinator makes
    images with each site's generator, of the same noise and classes for all, and takes the mean image of each class.
    What it differs by from the median of the sites is the site's *shift* d of this round; lengths and angles of shifts
    are Mahalanobis's, in units of how much real images of the coordinator's own vary, so that a change of light or
    colour is short, and a mark that no real image has is long. Whether the site goes on where it went before decides:

        step = <d, A> / (|A| median |d| of the sites)
        z = (step - median step of the sites - allowance) / fluctuation
        evidence <- max(evidence, 1) exp(bet z - bet^2 / 2)
        A <- fade A + d                               the shifts of the rounds so far

    What training adds by chance points elsewhere in the next round, or back; a poisoner goes on, for the others undo
    what it did. So do hospitals whose images differ, hence the median. A site is left out once its evidence is
    ``1 / false_alarms`` or more, until it is 1 or less, and is measured all the while. If what the step of an honest
    site is above the median has, given all rounds before, a mean of at most `allowance`, and tails no heavier than
    normal ones of deviation `fluctuation`, its first false alarm takes ``1 / false_alarms`` rounds in the mean or more;
    see `screen.evidence`. Fewer than half of the sites may attack; how many is not asked, and nothing that sites report
    is believed.

    A site whose generator makes images that are no numbers is left out at once.

    What leaves the mean image of a class as it is, such as a mark in another place on every image, is not seen; nor,
    among unlike hospitals, is one that pushes no harder than they pull apart.

    Attributes:
        false_alarms: for each site and round, in (0, 1).
        allowance: what an honest site's step is above the median of the sites in the mean, in median lengths of a
            shift; unlike hospitals need more.
        fluctuation: standard deviation of that from round to round; > 0.
        bet: weight of one deviation, > 0.
        fade: what a round leaves of the shifts before it, in [0, 1].
        images: made of each class with each generator, at least 2.
        shorten: whether updates are also handed on shortened. Without, a rule that knows the odd by their length, such
            as `nearest_neighbour_mixing`, can come after; alone, that is no defence until somebody is accused.
    """

    false_alarms: float = 0.001
    allowance: float = 0.4
    fluctuation: float = 0.2
    bet: float = 2.0
    fade: float = 0.8
    images: int = 32
    shorten: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.false_alarms < 1 or not 0 < self.bet < math.inf:
            raise PlanError("generator_e_detector needs false_alarms in (0, 1) and a bet above 0")
        if not 0 <= self.allowance < math.inf or not 0 < self.fluctuation < math.inf:
            raise PlanError("generator_e_detector needs an allowance of 0 or more and a fluctuation above 0")
        if not 0 <= self.fade <= 1 or self.images < 2:
            raise PlanError("generator_e_detector needs a fade in [0, 1] and 2 images of each class or more")

    @property
    def combiner(self) -> Combiner:
        """It needs each update, of three sites at least, and images of the coordinator's own."""
        return Combiner("generator_e_detector", View.EACH, least_updates=3, asks_probe=True)

    def judge(self, case: Case) -> Judgement:
        """Make images, compare and weigh; see `Screen.judge`.

        Raises:
            ValueError: there is no probe, which the checker refuses.
        """
        clips, looked_at = shortened(case.updates)
        if not looked_at:
            return Judgement({}, memory=case.memory)
        handed_on = looked_at if self.shorten else None
        means = self._means(case, looked_at)
        # Statistics of normalisation can be sent that leave no number finite, in the median neither.
        sound = [place for place, mean in enumerate(means) if np.isfinite(mean).all()]
        verdicts: dict[str, Verdict] = {
            site: Verdict(0.0, "its generator makes images that are no numbers")
            for place, site in enumerate(case.sites)
            if place not in sound
        }
        if sound:
            found, memory = self._judged(case, means, clips, sound)
            return Judgement(verdicts | found, handed_on, memory)
        return Judgement(verdicts, handed_on, case.memory)

    def _judged(
        self, case: Case, means: FloatArray, clips: Mapping[str, Verdict], sound: Sequence[int]
    ) -> tuple[dict[str, Verdict], Tensors]:
        """Return a verdict on each site whose images are numbers, and what to remember."""
        sites = [case.sites[place] for place in sound]
        walk = self._walk(case, means[sound], sites)
        verdicts, memory = {}, dict(case.memory)
        for place, site in enumerate(sites):
            log, out = self._weighed(case, site, walk.excess[place])
            memory |= {
                _key(site, _WAY): walk.ways[place].astype(np.float32),
                _key(site, _LOG): np.array(log, np.float64),
                _key(site, _OUT): np.array(float(out), np.float64),
            }
            verdicts[site] = self._verdict(log, out, walk, place, clips[site])
        return verdicts, memory

    def _means(self, case: Case, updates: Sequence[Update]) -> FloatArray:
        """Return float64 ``(K, C, F)``: the mean image of each class that each site's generator makes."""
        made = [_probe(case).made(update.tensors, self.images) for update in updates]
        return np.array([[one.of(label).mean(axis=0) for label in np.unique(one.labels)] for one in made], np.float64)

    def _walk(self, case: Case, means: FloatArray, sites: Sequence[str]) -> _Walk:
        """Return where the sites' images move in this round, and how far they go on where they went before."""
        whitening = _probe(case).real().whitening
        shifts = means - np.median(means, axis=0)
        ways = np.array([case.memory.get(_key(site, _WAY), np.zeros_like(shifts[0])) for site in sites])
        whitened = whitening.applied(shifts)
        sizes = _root(shifts, whitened)
        far = _root(ways, whitening.applied(ways)) * float(np.median(sizes))
        along = np.einsum("kcf,kcf->k", ways, whitened)
        steps = np.divide(along, far, out=np.full(len(far), np.nan), where=far > 0)
        middle = float(np.median(steps[far > 0])) if (far > 0).any() else 0.0
        return _Walk(self.fade * ways + shifts, steps - middle, sizes)

    def _weighed(self, case: Case, site: str, excess: float) -> tuple[float, bool]:
        """Return the logarithm of the evidence against a site after this round, and whether it is left out."""
        before, was = (float(case.memory.get(_key(site, what), np.zeros(()))) for what in (_LOG, _OUT))
        if math.isnan(excess):  # in its first round a site has no way to go on with
            return before, bool(was)
        log = weighed(before, (excess - self.allowance) / self.fluctuation, self.bet)
        log = min(log, CEILING * alarm(self.false_alarms))
        return log, is_left_out(log, bool(was), self.false_alarms)

    def _verdict(self, log: float, out: bool, walk: _Walk, place: int, length: Verdict) -> Verdict:
        excess = float(walk.excess[place])
        evidence = {**length.evidence, "log evidence": log, "shift": float(walk.sizes[place])}
        if not math.isnan(excess):
            evidence["excess step"] = excess
        if not out:
            return Verdict(1.0, length.reason if self.shorten else "", evidence)
        reason = (
            f"the evidence that its images keep moving where real ones do not vary is {math.exp(log):.3g} to 1 "
            f"(step now {excess:.2f} above the median)"
        )
        return Verdict(0.0, reason, evidence)


@dataclass(frozen=True, eq=False)
class _Walk:
    """Where the images of K sites move.

    Attributes:
        ways: float64 ``(K, C, F)``, the shifts of all rounds, faded.
        excess: float64 ``(K,)``, each step less the median one; NaN where a site has no shift of earlier rounds.
        sizes: float64 ``(K,)``, lengths of this round's shifts.
    """

    ways: FloatArray
    excess: FloatArray
    sizes: FloatArray


def _root(vectors: FloatArray, whitened: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(np.maximum(np.einsum("kcf,kcf->k", vectors, whitened), 0.0)))


def _probe(case: Case) -> Probe:
    if case.probe is None:
        raise ValueError("generator_e_detector needs images of the coordinator's own")
    return case.probe


def _key(site: str, what: str) -> str:
    return f"{site}/{what}"
