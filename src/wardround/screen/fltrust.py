"""Trust updates as far as they point where the coordinator's own training does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wardround.checker import Combiner, View
from wardround.core.geometry import norm, products, scaled
from wardround.screen.base import Case, Judgement, Verdict


@dataclass(frozen=True)
class FlTrust:
    """Weigh by the cosine with an update of the coordinator's own, and give all its norm (Cao et al. 2021, FLTrust).

    The coordinator trains on its own images as a site would (arXiv:2012.13995, algorithm 2). What points away from its
    update is left out. With ``weighting = "uniform"`` the mean is the paper's.
    """

    @property
    def combiner(self) -> Combiner:
        """It needs each update, images of the coordinator's own, and a mean that weighs by trust."""
        return Combiner("fltrust", View.EACH, gives_trust=True, asks_probe=True, takes_groups=True)

    def judge(self, case: Case) -> Judgement:
        """Weigh by the cosine with the coordinator's own update; see `Screen.judge`.

        Raises:
            ValueError: there is no probe, which the checker refuses.
        """
        if case.probe is None:
            raise ValueError("fltrust needs images of the coordinator's own")
        own = case.probe.taught()
        length = norm(own)
        verdicts, updates = {}, []
        for update in case.updates:
            gram = products([own, update.tensors])
            far = float(np.sqrt(gram[1, 1]))
            cosine = float(gram[0, 1] / (length * far)) if length and far else 0.0
            reason = "" if cosine > 0 else f"it points away from the coordinator's own update (cosine {cosine:.3f})"
            verdicts[update.site] = Verdict(max(0.0, min(1.0, cosine)), reason, {"cosine": cosine, "norm": far})
            updates.append(scaled(update, length / far) if far else update)
        return Judgement(verdicts, updates)
