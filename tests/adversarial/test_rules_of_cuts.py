"""What each rule about cut networks prevents; every test first sees the rule refuse the plan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cut_sites
import numpy as np
import pytest
import tiny
import torch
from skimage.data import astronaut

from wardround.attacks.cut.inversion import OptimisationAttack, from_nothing, likeness, mean_image
from wardround.attacks.cut.observation import CutObservation
from wardround.checker import Mixture, check
from wardround.core.codec import Message, decode, encode
from wardround.core.update import Tensors
from wardround.errors import PlanError
from wardround.rounds.digests import digest_of
from wardround.rounds.split.asks import Ask, Wire, is_ask
from wardround.rounds.split.forms import FORMS
from wardround.rounds.split.guard import CutGuard
from wardround.tasks.inputs import to_input
from wardround.tasks.models.cut import cut
from wardround.tasks.models.halves import probe
from wardround.tasks.models.unet import UNet

Lift = Callable[..., None]


def test_both_roles() -> None:
    """Who is sent the activations and knows the head rebuilds the images; without the head the same attack fails."""
    plan = cut_sites.plan("splitfed_v1")
    with pytest.raises(PlanError, match=r'body_host = "apart": .* \(rule both-roles\)'):
        plan.check(deployed=True)
    check(Mixture(work=plan.mixture().work, body_host="coordinator", deployed=True))
    torch.manual_seed(1)
    theirs, other = (cut(UNet((32, 32)).build(3, 1).eval(), 1) for _ in range(2))
    patches = np.stack(
        [astronaut()[y : y + 96 : 3, x : x + 96 : 3] for y, x in ((0, 160), (90, 180), (300, 40), (150, 300))]
    )
    images = to_input(patches)
    wire = Wire(FORMS["float32"], *probe(theirs, 3))
    with torch.no_grad():
        frame = encode(wire.ask(Ask.FORWARD, theirs.head(images[:1])[0]))
    seen = CutObservation.of_frames([frame], wire)
    attack, start = OptimisationAttack(steps=150, smoothness=0.003), from_nothing(1, (3, 32, 32))
    found = {
        who: likeness(images[:1], attack.run(seen, lambda x, head=split.head: head(x)[0], start)).ssim
        for who, split in (("both roles", theirs), ("body host", other))
    }
    floor = likeness(images[:1], mean_image(images[:1], images[1:])).ssim
    assert found["both roles"] > 0.5, found
    assert found["body host"] < floor + 0.1, (found, floor)


def test_split_uncovered(tmp_path: Path, lift: Lift) -> None:
    """However much noise the claim asks for: the first activations of every site are those of a plan without it."""
    claim = {"unit": "site", "delta": 1e-3, "noise_multiplier": 50.0, "randomness": "seed"}
    stages = [tiny.CLIP, {"stage": "noise"}]
    private = cut_sites.plan("splitfed_v1", rounds=1, aggregator=tiny.UNIFORM, protect=stages, privacy=claim)
    lift("split-uncovered", private)
    clear = cut_sites.plan("splitfed_v1", rounds=1, aggregator=tiny.UNIFORM)
    sent = [_first_asks(plan, tmp_path / str(index)) for index, plan in enumerate((private, clear))]
    assert sent[0].keys() == sent[1].keys() == set(tiny.NAMES)
    assert {site: digest_of(value) for site, value in sent[0].items()} == {
        site: digest_of(value) for site, value in sent[1].items()
    }


def _first_asks(plan: Any, folder: Path) -> dict[str, Tensors]:
    _, _, seen = cut_sites.run(plan, folder)
    asks: dict[str, Tensors] = {}
    for op, party, frame in seen.wire:
        message = decode(frame)
        if op == "train" and party != "coordinator":
            assert is_ask(Message(message.fields["answer"]))
            asks.setdefault(party, message.tensors)
    return asks


def test_seeded_cut_noise() -> None:
    """Whoever knows the seed draws the same noise, and takes it off."""
    plan = cut_sites.plan("splitfed_v1", {"body_host": "coordinator", "noise_sd": 2.0})
    with pytest.raises(PlanError, match=r"noise_sd in \[split\]: .* \(rule seeded-cut-noise\)"):
        plan.check(deployed=True)
    plan.check()
    activation, images = torch.rand(2, 4, 8, 8), torch.zeros(2, 1, 8, 8)
    guard = CutGuard(2.0, 0.0)
    torch.manual_seed(tiny.context(0, "north").entropy("torch"))
    sent = guard.protect(activation, images)
    torch.manual_seed(tiny.context(0, "north").entropy("torch"))
    drawn = torch.randn_like(activation)
    spread = float(sent.std() / torch.sqrt(1 + torch.tensor(4.0)))  # as far as the body host can tell
    guessed = sent - 2.0 * spread * drawn
    assert float((sent - activation).abs().mean()) > 10 * float((guessed - activation).abs().mean())


def test_relay_combines_nothing(tmp_path: Path, lift: Lift) -> None:
    """A screen that throws out a site fifty times too loud lets it pass when the weights are relayed."""

    def loud(op: str, site: str, answer: Message) -> Message:
        if site != "north" or op != "go_on" or is_ask(answer) or not answer.tensors:
            return answer
        return Message(answer.fields, {name: np.asarray(50 * value) for name, value in answer.tensors.items()})

    screen = [{"name": "norms"}]
    judged = cut_sites.plan("splitfed_v2", rounds=1, screen=screen)
    assert "north" in cut_sites.run(judged, tmp_path / "a", loud)[1].records[0].failed
    relayed = cut_sites.plan("split_learning", rounds=1, screen=screen)
    lift("relay-combines-nothing", relayed)
    assert "north" in cut_sites.run(relayed, tmp_path / "b", loud)[1].records[0].accepted


def test_unsent_protected(tmp_path: Path, lift: Lift) -> None:
    """A clip to a millionth changes no bit of what is learned, because there is nothing that it clips."""
    clipped = cut_sites.plan("splitfed_v3", protect=[{"stage": "clip", "norm": 1e-6}])
    lift("unsent-protected", clipped)
    results = [
        cut_sites.run(plan, tmp_path / name)[0] for name, plan in (("a", clipped), ("b", cut_sites.plan("splitfed_v3")))
    ]
    assert len({digest_of(result.weights) for result in results}) == 1
