"""What a malicious site trains on and sends is what its attack says, from the round on that it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from rigged import run

from wardround.algorithms import LocalResult
from wardround.attacks.poison import POISONS, LabelFlip, Lie, Noise, NormBound, Scale, SignFlip, Trigger
from wardround.attacks.poison.updates import Spoiler, length
from wardround.core.update import Tensors
from wardround.data.images import LabelledImages
from wardround.errors import PlanError
from wardround.study.spec import from_json, to_json

EAST = ("east",)
CHANGE: Tensors = {"net/a": np.array([3.0, -4.0], np.float32), "vote/a": np.array([1.0, -1.0], np.float32)}
HONEST = LocalResult({"net/a": np.array([1.0, 0.0], np.float32)}, {}, 0.3, 2, last_loss=0.2)
POISONED = LocalResult(CHANGE, {}, 0.9, 2, last_loss=0.8)


def sent(attack: Spoiler) -> LocalResult:
    return attack.spoiled(POISONED, HONEST, tiny.context(site="east"))


def test_labels_are_flipped_and_the_images_of_the_site_stay() -> None:
    clean = tiny.images(12)
    flipped = LabelFlip(sites=EAST, source="light", target="dark").poisoned(clean, np.random.default_rng(0))
    assert flipped.labels.tolist() == [0] * 12
    assert clean.labels.tolist() == [0, 1] * 6
    assert flipped.pixels is clean.pixels


def test_a_share_of_them_is_flipped_where_the_plan_says_so() -> None:
    attack = LabelFlip(sites=EAST, target="dark", share=0.5)
    assert attack.poisoned(tiny.images(12), np.random.default_rng(0)).labels.sum() == 3


def test_a_trigger_is_where_it_should_be_and_nowhere_else() -> None:
    clean = tiny.images(12)
    before = clean.pixels.copy()
    attack = Trigger(sites=EAST, target="dark", size_px=2, margin_px=1, share=0.5)
    marked = attack.poisoned(clean, np.random.default_rng(0))
    changed = (marked.batch(slice(None)) != clean.batch(slice(None))).any(axis=3)
    assert changed.any(axis=(1, 2)).sum() == 3
    assert {tuple(place) for place in np.argwhere(changed.any(axis=0))} == {(5, 5), (5, 6), (6, 5), (6, 6)}
    assert (marked.labels[changed.any(axis=(1, 2))] == 0).all()
    np.testing.assert_array_equal(clean.pixels, before)


def test_its_trial_marks_every_image_of_another_class() -> None:
    trial = Trigger(sites=EAST, target="dark", size_px=2).trial(tiny.images(12))
    assert (len(trial.images), trial.target) == (6, 0)
    assert (trial.images.batch(slice(None))[:, 5:7, 5:7] == 255).all()


def test_updates_are_scaled_turned_and_replaced_and_votes_stay() -> None:
    np.testing.assert_allclose(sent(Scale(sites=EAST, times=3)).change["net/a"], [9, -12])
    np.testing.assert_allclose(sent(SignFlip(sites=EAST)).change["net/a"], [-3, 4])
    noise = sent(Noise(sites=EAST, times=2)).change
    assert 0 < length(noise) < 40
    for attack in (Scale(sites=EAST), SignFlip(sites=EAST), Noise(sites=EAST)):
        np.testing.assert_array_equal(sent(attack).change["vote/a"], CHANGE["vote/a"])


def test_noise_has_the_length_that_it_says() -> None:
    result = LocalResult({"net/a": np.ones(10_000, np.float32)}, {}, 0.1, 1)
    made = Noise(sites=EAST, times=2).spoiled(result, None, tiny.context(site="east"))
    assert length(made.change) == pytest.approx(200, rel=0.05)


def test_a_bounded_update_is_as_long_as_an_honest_one() -> None:
    bounded = sent(NormBound(sites=EAST, times=2))
    assert length(bounded.change) == pytest.approx(2)
    assert length(sent(NormBound(sites=EAST, times=9)).change) == pytest.approx(5)


def test_a_liar_reports_the_losses_of_an_honest_site_and_sends_its_own_update() -> None:
    lied = sent(Lie(sites=EAST))
    assert (lied.loss, lied.last_loss) == (0.3, 0.2)
    assert lied.change is POISONED.change


def attacked(**attack: Any) -> Any:
    return {"sites": ["north"], **attack}


def results(folder: Path, *attacks: dict[str, Any]) -> list[dict[str, Any]]:
    _, journal, _ = run(tiny.plan(attack=list(attacks), rounds=2), folder)
    return [dict(record.accepted) for record in journal.records]


def test_in_a_run_only_the_malicious_site_changes_and_only_from_its_round_on(tmp_path: Path) -> None:
    honest = results(tmp_path / "honest")
    late = results(tmp_path / "late", attacked(kind="scale", times=3.0, from_round=1))
    for name in tiny.NAMES:
        assert late[0][name]["digest"] == honest[0][name]["digest"]
        assert (late[1][name]["digest"] == honest[1][name]["digest"]) == (name != "north")


def test_attacks_add_up_in_their_order(tmp_path: Path) -> None:
    """A flip raises the training loss; the lie after it tells the honest one, and the update is still the flipped."""
    honest = results(tmp_path / "honest")
    flip = attacked(kind="label_flip", source="light", target="dark")
    flipped = results(tmp_path / "flipped", flip)
    lied = results(tmp_path / "lied", flip, attacked(kind="lie"))
    assert flipped[0]["north"]["loss"] != honest[0]["north"]["loss"]
    assert lied[0]["north"]["loss"] == honest[0]["north"]["loss"]
    assert lied[0]["north"]["last_loss"] == honest[0]["north"]["last_loss"]
    assert lied[0]["north"]["digest"] == flipped[0]["north"]["digest"]


def test_a_plan_with_attacks_comes_back_from_text_and_without_them_is_the_plan_that_it_was() -> None:
    plan = tiny.plan(attack=[attacked(kind="trigger", target="dark"), attacked(kind="lie")])
    assert from_json(to_json(plan)) == plan
    assert plan.digest() != tiny.plan().digest()
    assert tiny.plan(attack=[]).digest() == tiny.plan().digest()


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"kind": "scale", "sites": []}, "each malicious site once"),
        ({"kind": "scale", "sites": ["a", "a"]}, "each malicious site once"),
        ({"kind": "scale", "sites": ["a"], "times": 0.0}, "attack times"),
        ({"kind": "lie", "sites": ["a"], "from_round": -1}, "from_round"),
        ({"kind": "label_flip", "sites": ["a"], "target": "dark", "share": 0.0}, "attack share"),
        ({"kind": "label_flip", "sites": ["a"], "target": "dark", "source": "dark"}, "to itself"),
        ({"kind": "trigger", "sites": ["a"], "target": "dark", "size_px": 0}, "size_px"),
        ({"kind": "trigger", "sites": ["a"]}, "target"),
        ({"kind": "scael", "sites": ["a"]}, "did you mean 'scale'"),
    ],
)
def test_what_is_no_attack_is_refused(table: dict[str, Any], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        tiny.plan(attack=[table])


def test_images_that_an_attack_does_not_fit_are_refused() -> None:
    with pytest.raises(PlanError, match="names the class 'grey', but the images show dark, light"):
        LabelFlip(sites=EAST, target="grey").check(tiny.images())
    with pytest.raises(PlanError, match="does not fit images of"):
        Trigger(sites=EAST, target="dark", size_px=8).check(tiny.images())


@pytest.mark.parametrize("images", [tiny.masked(), tiny.degraded()])
def test_labels_that_nobody_learns_are_not_attacked(images: LabelledImages) -> None:
    with pytest.raises(PlanError, match="on labels, which this task does not learn"):
        LabelFlip(sites=EAST, target="dark").check(images)
    with pytest.raises(PlanError, match="on labels, which this task does not learn"):
        Trigger(sites=EAST, target="dark").check(images)
    Scale(sites=EAST).check(images)


def test_hospitals_are_not_attacked() -> None:
    plan = tiny.plan(attack=[attacked(kind="lie")])
    plan.check()
    with pytest.raises(PlanError, match=r"lie: malicious sites are played in a simulation.*attacked-hospitals"):
        plan.check(deployed=True)


def test_every_kind_has_its_registered_name() -> None:
    for name, kind in POISONS.items():
        assert kind.name == name
