"""What a cut network asks of the parties: who may hold which role, and what passes by the protections."""

from __future__ import annotations

from collections.abc import Sequence

from wardround.checker.mixture import Mixture
from wardround.checker.rule import Rule


def _both_roles(mixture: Mixture) -> Sequence[str]:
    return ['body_host = "apart"'] if mixture.body_host == "apart" and mixture.deployed else []


def _uncovered(mixture: Mixture) -> Sequence[str]:
    return [f"{mixture.work.name} with a claim"] if mixture.work.splits and mixture.claims_privacy else []


def _relayed(mixture: Mixture) -> Sequence[str]:
    judges = [judge.name for judge in mixture.judges if judge.name != "mean"]
    names = [link.name for link in mixture.stages] + judges
    return [f"{mixture.work.name} with {', '.join(names)}"] if mixture.work.relays and names else []


def _unsent(mixture: Mixture) -> Sequence[str]:
    names = [link.name for link in mixture.stages] + [screen.name for screen in mixture.screens]
    return [f"{mixture.work.name} with {', '.join(names)}"] if not mixture.work.updates and names else []


def _seeded_noise(mixture: Mixture) -> Sequence[str]:
    return ["noise_sd in [split]"] if mixture.noisy_cut and mixture.deployed else []


CUTS = (
    Rule(
        "both-roles",
        "in a deployment the coordinator's process serves the body, so that one party knows the head and sees what it "
        "makes of images, from which they can be rebuilt",
        'say body_host = "coordinator" in [split], if that party may',
        _both_roles,
    ),
    Rule(
        "split-uncovered",
        "activations and gradients leave the sites without noise, and the claim would not cover them",
        "remove [privacy], or train the network as a whole",
        _uncovered,
    ),
    Rule(
        "seeded-cut-noise",
        "noise at the cut comes from the plan's seed, which the body host knows, and could take it off again",
        "cut deeper, or decorrelate; noise_sd is for simulations",
        _seeded_noise,
    ),
    Rule(
        "relay-combines-nothing",
        "head and tail go from site to site in the clear, so that nothing of it would be protected, judged or averaged",
        "choose splitfed_v2, whose heads and tails are averaged, or remove it",
        _relayed,
    ),
    Rule(
        "unsent-protected",
        "heads and tails stay at their sites, so there is no update that could be protected or judged",
        "choose splitfed_v1, or remove it",
        _unsent,
    ),
)
