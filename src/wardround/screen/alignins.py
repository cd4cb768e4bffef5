"""Look at the direction of each update twice: against the model, and sign by sign against the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wardround.checker import Combiner, View
from wardround.core.geometry import BLOCK_VALUES, blocks, clipped, norm
from wardround.core.update import Tensors, Update
from wardround.errors import PlanError
from wardround.screen.base import Case, Judgement, Verdict


@dataclass(frozen=True)
class AlignIns:
    """Leave out updates whose direction is unlike the others' (Xu et al. 2025, AlignIns, CVPR; arXiv:2503.07978).

    Two numbers are taken of each update: its cosine with the model that was broadcast (TDA), and the share of its
    largest coordinates whose sign is that of most sites (MPSA). A site stays if both are near the others' medians, in
    standard deviations of the round; updates are then shortened to the median norm of those that stay.

    Attributes:
        sparsity: share of an update's coordinates, the largest, whose signs count; in (0, 1].
        direction: largest distance of a TDA from the median, in standard deviations (the paper's lambda_c).
        sign: the same for MPSA (lambda_s).
    """

    sparsity: float = 0.3
    direction: float = 1.0
    sign: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.sparsity <= 1 or self.direction <= 0 or self.sign <= 0:
            raise PlanError("alignins needs sparsity in (0, 1], and direction and sign above 0")

    @property
    def combiner(self) -> Combiner:
        """It needs each update, of three sites at least."""
        return Combiner("alignins", View.EACH, least_updates=3, takes_groups=True)

    def judge(self, case: Case) -> Judgement:
        """Compare directions; see `Screen.judge`."""
        if not case.updates:
            return Judgement({})
        lengths = [norm(update.tensors) for update in case.updates]
        far = {
            "direction": _deviations(self._against_model(case, lengths)),
            "sign": _deviations(self._signs(case.updates)),
        }
        allowed = {"direction": self.direction, "sign": self.sign}
        verdicts = {}
        for place, site in enumerate(case.sites):
            evidence = {name: float(values[place]) for name, values in far.items()}
            worst = [name for name, value in evidence.items() if value >= allowed[name]]
            reason = "; ".join(f"its {n} is {evidence[n]:.2f} deviations from the others'" for n in worst)
            verdicts[site] = Verdict(float(not worst), reason, evidence)
        staying = [length for length, site in zip(lengths, case.sites, strict=True) if verdicts[site].trust]
        most = float(np.median(staying or lengths))
        if not staying:
            verdicts = {site: Verdict(evidence=said.evidence) for site, said in verdicts.items()}
        return Judgement(verdicts, [clipped(u, length, most) for u, length in zip(case.updates, lengths, strict=True)])

    def _against_model(self, case: Case, lengths: list[float]) -> np.ndarray:
        model = norm(case.weights)
        inner = [
            sum(float(block[0] @ block[1]) for block in blocks([{n: case.weights[n] for n in u.tensors}, u.tensors]))
            for u in case.updates
        ]
        return np.array([x / (model * far) if model * far else 0.0 for x, far in zip(inner, lengths, strict=True)])

    def _signs(self, updates: Sequence[Update]) -> np.ndarray:
        least = [_least_of_largest(update.tensors, self.sparsity) for update in updates]
        agreeing, counted = np.zeros(len(updates)), np.zeros(len(updates))
        for name in sorted(updates[0].tensors):
            rows = [update.tensors[name].reshape(-1) for update in updates]
            for start in range(0, rows[0].size, BLOCK_VALUES):
                block = np.stack([row[start : start + BLOCK_VALUES] for row in rows])
                signs = np.sign(block)
                large = np.abs(block) >= np.array(least)[:, None]
                agreeing += (large & (signs == np.sign(signs.sum(axis=0)))).sum(axis=1)
                counted += large.sum(axis=1)
        return agreeing / np.maximum(counted, 1)


def _least_of_largest(tensors: Tensors, share: float) -> float:
    values = np.concatenate([np.abs(value).reshape(-1) for value in tensors.values()])
    place = max(0, values.size - max(1, round(share * values.size)))
    return float(np.partition(values, place)[place])


def _deviations(values: np.ndarray) -> np.ndarray:
    """Return how far each value is from the median, in standard deviations of all; 0 where all are alike."""
    spread = float(np.std(values))
    return np.abs(values - np.median(values)) / spread if spread else np.zeros_like(values)
