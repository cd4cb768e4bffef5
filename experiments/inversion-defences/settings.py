"""Which defences are compared, at which strengths, and on which plans."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from wardround.algorithms.defences import (
    Ats,
    Censor,
    Defence,
    GaussianImages,
    GaussianUpdate,
    MatchedNoise,
    Pruning,
    Shadow,
    Soteria,
)
from wardround.data.catalogue import MedMnist
from wardround.data.sites import Iid
from wardround.rounds.plan import Plan
from wardround.study.spec import load

HERE = Path(__file__).parent
VICTIM = load(HERE.parent / "inversion-attacks" / "victim.toml")
HAM, PNEUMONIA = "HAM10000", "PneumoniaMNIST"


def _pneumonia(plan: Plan) -> Plan:
    return dataclasses.replace(plan, data=dataclasses.replace(plan.data, source=MedMnist(), sites=Iid(4)))


TRAINED = {HAM: load(HERE / "training.toml"), PNEUMONIA: _pneumonia(load(HERE / "training.toml"))}
"""What is trained to see what a defence costs, by data set."""
GREY = _pneumonia(VICTIM)

RMS = 0.1
"""The one energy at which all noises on images are compared: 20 dB after pixels were cut off."""
GRID = (0.03, 0.05, 0.07)
MOST_COST = 0.01
CHOSEN = 0.03
"""The largest strength of the grid whose mean cost in F1 is below `MOST_COST` on validation images (stage `choice`)."""
STRENGTHS = (0.03, 0.05, 0.1, 0.2)
EXPONENTS = (0.5, 0.75, 1.0)
SHARES = (0.2, 0.4, 0.6, 0.8)
"""Of the head's inputs whose gradient Soteria takes away."""
PROBES = 2
"""Of Soteria's estimate, fewer than its default: each costs two forward passes a step."""

GAUSSIAN, OURS, CENSOR = "Gaussian", "ours", "CENSOR"
SHUFFLED, ANTI = "ours, shuffled", "ours, anti-targeted"
POLICIES = HERE / "policies.json"


def noises(rms: float = RMS) -> dict[str, Defence]:
    """Return the defences that put noise on images, by name, at one energy."""
    return {
        GAUSSIAN: GaussianImages(rms=rms, randomness="seed"),
        OURS: MatchedNoise(rms=rms, randomness="seed"),
        SHUFFLED: MatchedNoise(rms=rms, aim="shuffled", randomness="seed"),
        ANTI: MatchedNoise(rms=rms, aim="anti", randomness="seed"),
        "shadow, released": Shadow(form="released", rms=rms),
        "shadow, intended": Shadow(form="intended", rms=rms),
        "shadow, intended, shuffled": Shadow(form="intended", rms=rms, aim="shuffled"),
        "shadow, intended, anti-targeted": Shadow(form="intended", rms=rms, aim="anti"),
    }


def on_updates() -> dict[str, Defence]:
    """Return the defences that touch gradients or the update, at the setting at which they are compared."""
    return {
        "Gaussian on the update": GaussianUpdate(share=1.0, randomness="seed"),
        "pruning, 90%": Pruning(share=0.9),
        CENSOR: Censor(randomness="seed"),
        **soteria((0.8,)),
    }


def soteria(shares: tuple[float, ...]) -> dict[str, Defence]:
    """Return Soteria at several strengths, by name."""
    return {f"Soteria, {share:.0%}": Soteria(share=share, probes=PROBES) for share in shares}


def ats(data: str) -> Ats:
    """Return ATS with the policies that stage `policies` found on this data set's validation images."""
    return Ats(policies=json.loads(POLICIES.read_text())[data], randomness="seed")


def defended(plan: Plan, defence: Defence | None) -> Plan:
    """Return a plan with another defence."""
    return dataclasses.replace(plan, defence=defence)
