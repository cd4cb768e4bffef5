"""Trust sites less the more alike their updates are over the whole run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wardround.checker import Combiner, View
from wardround.core.geometry import cosines, products
from wardround.core.update import Tensors
from wardround.screen.base import Case, Judgement, Verdict


@dataclass(frozen=True)
class FoolsGold:
    """Colluders send updates that are more alike than honest sites' (Fung et al. 2020, arXiv:1808.04866, algorithm 1).

    The sums of each site's updates over the run are compared by their angles, and those that point the same way lose
    weight. All coordinates count; the paper may weigh those of the output layer more. The coordinator keeps one sum a
    site, each as long as the model. One attacker alone looks like nobody and keeps its weight; sites with alike images
    look like colluders.
    """

    @property
    def combiner(self) -> Combiner:
        """It needs each update, and a mean that weighs by trust."""
        return Combiner("foolsgold", View.EACH, gives_trust=True)

    def judge(self, case: Case) -> Judgement:
        """Weigh by the angles; see `Screen.judge`."""
        memory = dict(case.memory)
        sums: list[Tensors] = []
        for update in case.updates:
            said = {f"{update.site}/{name}": value for name, value in update.tensors.items()}
            memory |= {key: memory[key] + value if key in memory else value for key, value in said.items()}
            sums.append({name: memory[f"{update.site}/{name}"] for name in update.tensors})
        trust, alike = _weights(cosines(products(sums)))
        return Judgement(
            {
                site: Verdict(float(weight), _reason(weight, likest), {"likest cosine": float(likest)})
                for site, weight, likest in zip(case.sites, trust, alike, strict=True)
            },
            memory=memory,
        )


def _reason(weight: float, likest: float) -> str:
    return f"its updates point where another site's do (cosine {likest:.3f})" if weight < 1 else ""


def _weights(cosine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of the sites, and for each the largest cosine with another."""
    count = len(cosine)
    if count < 2:
        return np.ones(count), np.zeros(count)
    alike = cosine - 2 * np.eye(count)  # nobody is compared with itself
    likest = alike.max(axis=1)
    ratio = np.divide(likest[:, None], likest[None, :], out=np.ones_like(alike), where=likest[None, :] > 0)
    pardoned = np.where(likest[:, None] < likest[None, :], alike * ratio, alike)
    weight = np.clip(1 - pardoned.max(axis=1), 0, 1)
    if not weight.max():
        return np.ones(count), likest  # all point the same way: no reason to prefer any
    weight = np.minimum(weight / weight.max(), 0.99)
    return np.clip(np.log(np.maximum(weight, 1e-12) / (1 - weight)) + 0.5, 0, 1), likest
