"""What the losses that sites reported say of an attacker, and what calibrated FedDetect makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from arms import ATTACKER

from wardround.core.context import RoundContext
from wardround.core.update import Tensors, Update
from wardround.screen.base import Case
from wardround.screen.feddetect import CalibratedFedDetect
from wardround.study.folder import RunFolder


def told(run: Path) -> dict[str, Any]:
    """Return how often the attacker's mean loss was the highest of its round, and whom FedDetect would flag.

    The screen shortens updates as ``clip_norms`` does, and acts on losses alone: where it flags nobody in the losses of
    a run under ``clip_norms``, its own run would be that run.
    """
    highest: list[bool] = []
    flagged: dict[str, list[bool]] = {"honest": [], "attacker": []}
    memory: Tensors = {}
    screen, rounds = CalibratedFedDetect(), list(RunFolder(run).records())
    for record in rounds:
        losses = {site: said["loss"] for site, said in record.accepted.items()}
        highest.append(max(losses, key=lambda site: losses[site]) == ATTACKER)
        ctx = RoundContext(0, record.round, len(rounds), tuple(losses), len(losses))
        judgement = screen.judge(Case(_updates(losses, record.round), ctx, memory))
        memory = judgement.memory
        for site, verdict in judgement.verdicts.items():
            flagged["attacker" if site == ATTACKER else "honest"].append(verdict.trust < 1)
    shares = {f"{who}_would_be_flagged": float(np.mean(values)) for who, values in flagged.items()}
    return {"attacker_loss_highest": float(np.mean(highest)), **shares}


def _updates(losses: Mapping[str, float], index: int) -> list[Update]:
    return [Update(site, index, {"net/any": np.ones(1)}, 1, {"loss": loss}) for site, loss in losses.items()]
