"""ATS: its library, its draw, its search, and the attacker who takes policies back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from contracts.defence_contract import TASK, DefenceContract, images
from torch import nn

from wardround.algorithms.defences import Ats, GaussianImages
from wardround.algorithms.defences.ats import MOST_TRANSFORMS, applied, read_policies, written
from wardround.algorithms.defences.policy_search import STEPS, candidates, searched
from wardround.algorithms.defences.secret import KEY
from wardround.algorithms.defences.transforms import TRANSFORMS
from wardround.attacks.inversion.knowing import undoing
from wardround.errors import PlanError
from wardround.tasks.inputs import HIGHEST, LOWEST

AT = DefenceContract()
LOSSY = ("solarise", "posterise", "stretch", "smooth", "sharpen")
BATCH = AT.batch(tuple(range(10)))


def rms(change: torch.Tensor) -> float:
    """Return the root mean square within the middle, which no transform moves out of sight."""
    edge = change.shape[-1] // 4
    return float(change[..., edge:-edge, edge:-edge].pow(2).mean().sqrt())


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda one: one.name)
def test_a_transform_changes_images_within_their_range_and_is_taken_back(transform) -> None:  # type: ignore[no-untyped-def]
    true = BATCH.inputs * 0.4  # no level is cut off
    changed = transform.apply(true)
    assert changed.shape == true.shape
    assert LOWEST <= changed.min() <= changed.max() <= HIGHEST
    moved = rms(changed - true)
    assert moved > 0.02
    if transform.name not in LOSSY and not transform.name.startswith("shift"):
        assert rms(transform.undo(changed) - true) < 0.35 * moved


def test_a_shift_is_taken_back_where_the_image_is_still_there() -> None:
    right = TRANSFORMS[0]
    assert right.name == "shift right"
    back = right.undo(right.apply(BATCH.inputs))
    torch.testing.assert_close(back[..., :11], BATCH.inputs[..., :11])
    assert not torch.allclose(back[..., 13:], BATCH.inputs[..., 13:], atol=0.1)


def test_names_of_the_library_are_different() -> None:
    assert len({one.name for one in TRANSFORMS}) == len(TRANSFORMS)


def test_policies_are_read_as_they_are_written() -> None:
    assert read_policies("3-1-7+4-2") == ((3, 1, 7), (4, 2))
    assert "+".join(map(written, read_policies("3-1-7+4-2"))) == "3-1-7+4-2"


@pytest.mark.parametrize("text", ["", "3-", "3-1-7-2", "99", "-1", "3+", "three"])
def test_what_is_no_policy_is_refused(text: str) -> None:
    with pytest.raises(PlanError, match="not like"):
        Ats(policies=text)


def test_each_image_and_round_draws_a_policy_of_its_own_and_only_those_of_the_plan() -> None:
    spec = Ats(policies="13+21+24", randomness="seed")
    fed = [spec.begin(AT.scene(index=index)).disguise(BATCH) for index in range(2)]
    options = torch.stack([applied(policy, BATCH.inputs) for policy in read_policies(spec.policies)])
    far = [(options - one).abs().amax((2, 3, 4)) for one in fed]
    chosen = [one.argmin(0).tolist() for one in far]
    for found, one in zip(chosen, fed, strict=True):
        assert torch.equal(torch.stack([options[at, place] for place, at in enumerate(found)]), one)
        assert len(set(found)) > 1
    assert chosen[0] != chosen[1]


def test_the_draw_of_the_operating_system_is_secret_and_remembered() -> None:
    spec = Ats(policies="13+21+24+14")
    kept = spec.begin(AT.scene()).keep()
    assert set(kept) == {KEY}
    again = [spec.begin(AT.scene(kept)).disguise(BATCH) for _ in range(2)]
    assert torch.equal(*again)


def test_an_attacker_who_knows_the_policy_takes_it_back() -> None:
    spec = Ats(policies="13-10", randomness="seed")
    true = BATCH.inputs[:1] * 0.5
    seen = ((spec.begin(AT.scene()).disguise(replace(BATCH, rows=(0,), inputs=true)) + 2) / 4)[0]
    clean_ups = undoing(spec)
    assert list(clean_ups) == ["undo 13-10"]
    found = clean_ups["undo 13-10"](seen.permute(1, 2, 0).numpy())
    middle = (slice(4, 12), slice(4, 12))
    unit = ((true + 2) / 4)[0].permute(1, 2, 0).numpy()
    shown = seen.permute(1, 2, 0).numpy()
    assert np.abs(found - unit)[middle].mean() < 0.02 < np.abs(shown - unit)[middle].mean()
    assert undoing(GaussianImages()) == {}


def test_candidates_are_different_and_short() -> None:
    found = candidates(40, 3)
    assert len(set(found)) == 40
    assert {len(one) for one in found} == set(range(1, MOST_TRANSFORMS + 1))
    assert found == candidates(40, 3) != candidates(40, 4)


def _slow_privacy(network: nn.Module, changed: torch.Tensor, labels: torch.Tensor, noise: torch.Tensor) -> float:
    def gradient(image: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        loss = nn.functional.cross_entropy(network(image[None]), label[None])
        return torch.cat([one.flatten() for one in torch.autograd.grad(loss, list(network.parameters()))])

    found = []
    for image, label, start in zip(changed, labels, noise, strict=True):
        end = gradient(image, label)
        for step in range(STEPS):
            share = step / STEPS
            one = gradient((1 - share) * start + share * image, label)
            found.append(float(one @ end / one.norm() / end.norm()))
    return float(np.mean(found))


def test_the_search_scores_privacy_as_a_slow_loop_does_and_keeps_the_least_of_the_upper_half() -> None:
    network, inputs, labels = TASK.build(0).train(), BATCH.inputs[:4], BATCH.targets[:4]
    policies = candidates(6, 1)
    kept = searched(policies, network, inputs, labels, 6, 5)
    assert network.training
    assert len(kept) == 3
    assert [one.privacy for one in kept] == sorted(one.privacy for one in kept)
    noise = torch.randn(inputs.shape, generator=torch.Generator().manual_seed(5))
    slow = _slow_privacy(network.eval(), applied(kept[0].policy, inputs), labels, noise)
    assert kept[0].privacy == pytest.approx(slow, abs=1e-4)


def test_images_that_all_look_alike_to_a_network_score_as_the_worst_accuracy() -> None:
    network, held = TASK.build(0), images()
    inputs = torch.from_numpy(held.batch(np.arange(4))).permute(0, 3, 1, 2).float() / 63.75 - 2
    alike = torch.cat([inputs[:1]] * 4) + torch.randn((4, 1, 1, 1)) * 1e-3
    labels = torch.from_numpy(held.labels[:4])
    one = searched([(13,)], network, inputs, labels, 1, 0)[0]
    other = searched([(13,)], network, alike, labels, 1, 0)[0]
    assert one.accuracy > 10 * other.accuracy
