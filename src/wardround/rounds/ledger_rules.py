"""The ``[ledger]`` table of a plan."""

from __future__ import annotations

from dataclasses import dataclass

from wardround.errors import PlanError

COSIGNERS = ("auto", "sites", "nobody")


@dataclass(frozen=True)
class LedgerRules:
    """Who signs the ledger of a run, and what it says of images.

    Every run has a ledger. Without signatures of sites it shows only that it was not damaged since.

    Attributes:
        cosign: who signs each round's checkpoint beside the coordinator: ``sites``, ``nobody``, or ``auto``: the sites
            wherever the plan's protections give them keys anyway.
        outlasting_every: rounds between two checkpoints that the sites also sign with ML-DSA-65, which quantum
            computers do not forge; the last one always. 0 signs only the last.
        data_use: whether each site that signs keeps a private list of the images that it used, and logs its root.
    """

    cosign: str = "auto"
    outlasting_every: int = 10
    data_use: bool = True

    def __post_init__(self) -> None:
        if self.cosign not in COSIGNERS:
            raise PlanError(f"ledger cosign = {self.cosign!r} is not one of {', '.join(COSIGNERS)}")
        if self.outlasting_every < 0:
            raise PlanError(f"ledger outlasting_every = {self.outlasting_every} is negative: 0 signs the last one only")

    def outlasts(self, round_index: int) -> bool:
        """Whether the checkpoint after round `round_index` is also signed with ML-DSA-65."""
        return bool(self.outlasting_every) and (round_index + 1) % self.outlasting_every == 0
