"""Federated algorithms, each a small spec that composes local work, a server step and what stays personal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from wardround.algorithms.agreement import AndMask, FedGma
from wardround.algorithms.base import Algorithm, LocalResult, LocalWork, ServerStep
from wardround.algorithms.ditto import Ditto
from wardround.algorithms.dpsgd import CalibratedDpSgd, DpSgd
from wardround.algorithms.fedgan import FedGan
from wardround.algorithms.fedprox import Proximal
from wardround.algorithms.fedrep import FedRep
from wardround.algorithms.fedsr import FedSr
from wardround.algorithms.irm import Irm
from wardround.algorithms.local_sgd import LocalSgd
from wardround.algorithms.logit_adjusted import LogitAdjusted
from wardround.algorithms.personal import everything, norms, personal
from wardround.algorithms.scaffold import ControlVariates, WithVariates
from wardround.algorithms.split import DcSfl, Interleaved, SplitFedV1, SplitFedV2, SplitFedV3, SplitLearning
from wardround.algorithms.training import Training
from wardround.algorithms.vrex import VRex
from wardround.checker import Work
from wardround.errors import PlanError


class AlgorithmSpec(Protocol):
    """A choice a plan makes in ``[algorithm]``."""

    @property
    def work(self) -> Work:
        """What the checker must know of it."""
        ...

    def compose(self, training: Training, server: ServerStep) -> Algorithm:
        """Put the algorithm together from the plan's local training and server step."""
        ...


@dataclass(frozen=True)
class FedAvg:
    """Federated averaging (McMahan et al. 2017, arXiv:1602.05629).

    Attributes:
        personal: what stays at the sites: ``nothing``, ``norms``, ``head``, ``norms+head``.
    """

    personal: str = "nothing"

    def __post_init__(self) -> None:
        personal(self.personal)

    @property
    def work(self) -> Work:
        """Updates and nothing else."""
        return Work("fedavg")

    def compose(self, training: Training, server: ServerStep) -> Algorithm:
        """Plain local training, plain mean."""
        return Algorithm(LocalSgd(training), server, personal(self.personal))


@dataclass(frozen=True)
class FedProx:
    """FedAvg with a pull towards the broadcast weights (Li et al. 2020, arXiv:1812.06127).

    Attributes:
        mu: strength of the pull, > 0.
        personal: as in `FedAvg`.
    """

    mu: float = 0.01
    personal: str = "nothing"

    def __post_init__(self) -> None:
        personal(self.personal)
        if not 0 < self.mu < math.inf:
            raise PlanError(f"algorithm mu = {self.mu} is not positive: without the pull, choose fedavg")

    @property
    def work(self) -> Work:
        """Updates and nothing else."""
        return Work("fedprox")

    def compose(self, training: Training, server: ServerStep) -> Algorithm:
        """Local training with a `Proximal` correction."""
        return Algorithm(LocalSgd(training, (Proximal(self.mu),)), server, personal(self.personal))


@dataclass(frozen=True)
class FedBn:
    """FedAvg whose normalisation layers stay at the sites (Li et al. 2021, arXiv:2102.07623)."""

    @property
    def work(self) -> Work:
        """Updates and nothing else."""
        return Work("fedbn")

    def compose(self, training: Training, server: ServerStep) -> Algorithm:
        """Plain local training; norms are personal."""
        return Algorithm(LocalSgd(training), server, norms)


@dataclass(frozen=True)
class Scaffold:
    """FedAvg with control variates (Karimireddy et al. 2020, arXiv:1910.06378).

    Attributes:
        personal: as in `FedAvg`.
    """

    personal: str = "nothing"

    def __post_init__(self) -> None:
        personal(self.personal)

    @property
    def work(self) -> Work:
        """The server keeps the mean of what the sites keep."""
        return Work("scaffold", mirrored=True)

    def compose(self, training: Training, server: ServerStep) -> Algorithm:
        """Local training with `ControlVariates`; the server keeps their mean."""
        return Algorithm(LocalSgd(training, (ControlVariates(),)), WithVariates(server), personal(self.personal))


@dataclass(frozen=True)
class Central:
    """A yardstick, not a federation: all images are pooled and trained on in one place."""

    @property
    def work(self) -> Work:
        """Nothing leaves the one place."""
        return Work("central", pooled=True)

    def compose(self, training: Training, server: ServerStep) -> Algorithm:
        """Plain training on the pooled images."""
        return Algorithm(LocalSgd(training), server, pooled=True)


@dataclass(frozen=True)
class Local:
    """A yardstick: every site trains alone and nothing is shared."""

    @property
    def work(self) -> Work:
        """Nothing leaves a site."""
        return Work("local", shares=False)

    def compose(self, training: Training, server: ServerStep) -> Algorithm:
        """Plain training; everything is personal."""
        return Algorithm(LocalSgd(training), server, everything)


ALGORITHMS: dict[str, type[AlgorithmSpec]] = {
    "fedavg": FedAvg,
    "fedprox": FedProx,
    "fedbn": FedBn,
    "scaffold": Scaffold,
    "dpsgd": DpSgd,
    "and_mask": AndMask,
    "fedgma": FedGma,
    "fedsr": FedSr,
    "irm": Irm,
    "vrex": VRex,
    "logit_adjusted": LogitAdjusted,
    "ditto": Ditto,
    "fedrep": FedRep,
    "fedgan": FedGan,
    "central": Central,
    "local": Local,
    "split_learning": SplitLearning,
    "splitfed_v1": SplitFedV1,
    "splitfed_v2": SplitFedV2,
    "splitfed_v3": SplitFedV3,
    "dcsfl": DcSfl,
    "interleaved": Interleaved,
}
"""Names a plan may use in ``[algorithm] name = …``."""

__all__ = [
    "ALGORITHMS",
    "Algorithm",
    "AlgorithmSpec",
    "AndMask",
    "CalibratedDpSgd",
    "Central",
    "DcSfl",
    "Ditto",
    "DpSgd",
    "FedAvg",
    "FedBn",
    "FedGan",
    "FedGma",
    "FedProx",
    "FedRep",
    "FedSr",
    "Interleaved",
    "Irm",
    "Local",
    "LocalResult",
    "LocalSgd",
    "LocalWork",
    "LogitAdjusted",
    "Scaffold",
    "ServerStep",
    "SplitFedV1",
    "SplitFedV2",
    "SplitFedV3",
    "SplitLearning",
    "Training",
    "VRex",
]
