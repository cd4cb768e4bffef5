"""Leave one hospital out: each site once, nothing of those kept for later, and the same after a stop."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny

from wardround.data.catalogue import Slide
from wardround.errors import DataError, PlanError, RunFolderError
from wardround.rounds.listener import Silent
from wardround.study import leave_out as module
from wardround.study.folder import RunFolder
from wardround.study.leave_out import leave_out, turns_of, without
from wardround.study.run import train

SITES = ("north-east", "north-west", "south-east", "south-west")
LEFT = ("north-west", "south-east")
PLAN = tiny.plan(data={"source": "slide", "stride_px": 16}, rounds=1, training={"steps": 1}, name="plain")
OTHER = replace(PLAN, name="other", seed=5)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("left") / "out"
    leave_out([PLAN, OTHER], folder, sites=LEFT, workers=0)
    return folder


def test_every_site_is_left_out_once_and_tested_whole(out: Path) -> None:
    table = json.loads((out / "leave-out.json").read_text())
    assert [row["name"] for row in table["plans"]] == ["plain", "other"]
    for row in table["plans"]:
        assert tuple(row["sites"]) == LEFT
        for site, said in row["sites"].items():
            summary = RunFolder(out / said["run"]).summary()
            assert summary["sites"][site]["num_train"] == 0
            assert said["tested"]["examples"] == summary["sites"][site]["num_test"] > 0
            assert said["metrics"] == summary["metrics"]["sites"][site]
            assert all(summary["sites"][other]["num_train"] for other in SITES if other != site)


def test_mean_worst_and_choice_follow_from_the_rows(out: Path) -> None:
    table = json.loads((out / "leave-out.json").read_text())
    means = {}
    for row in table["plans"]:
        values = {site: said["metrics"]["auc"] for site, said in row["sites"].items()}
        means[row["name"]] = np.mean(list(values.values()))
        assert row["mean"]["auc"] == pytest.approx(means[row["name"]])
        assert row["worst"]["auc"] == {"site": min(values, key=values.__getitem__), "value": min(values.values())}
    assert table["chosen"] == max(means, key=means.__getitem__)
    assert table["kept_for_later"] == []


def test_resuming_trains_nothing_again(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (out / "leave-out.json").read_bytes()
    with pytest.raises(RunFolderError, match="--resume"):
        leave_out([PLAN, OTHER], out, sites=LEFT, workers=0)

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a run that is done was trained again")

    monkeypatch.setattr(module, "train", refused)
    leave_out([PLAN, OTHER], out, sites=LEFT, resume=True, workers=0)
    assert (out / "leave-out.json").read_bytes() == before


def test_a_missing_run_is_made_up_for(out: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    trained = []

    def noted(plan: object, folder: Path, *rest: object, **more: object) -> Path:
        trained.append(folder.name)
        return train(plan, folder, *rest, **more)

    monkeypatch.setattr(module, "train", noted)
    titles = []

    @contextmanager
    def shown(plan: object, title: str) -> object:
        titles.append(title)
        yield Silent()

    leave_out([PLAN], tmp_path / "few", sites=["north-west"], workers=0, shown=shown)
    leave_out([PLAN], tmp_path / "few", sites=["north-west", "south-east"], resume=True, workers=0, shown=shown)
    assert trained == ["without-north-west", "without-south-east"]
    assert titles == ["plain without north-west (1/1)", "plain without south-east (2/2)"]
    assert json.loads((tmp_path / "few" / "leave-out.json").read_text())["chosen"] is None


def test_what_is_kept_for_later_is_in_no_number(tmp_path: Path) -> None:
    nested = without(PLAN, "north-east")
    turns, refused = turns_of([nested], tmp_path, None)
    assert [turn.site for turn in turns] == list(SITES[1:])
    assert not refused
    assert all(turn.plan.data.sites.held_out == ("north-east", turn.site) for turn in turns)
    table = json.loads(leave_out([nested], tmp_path / "out", sites=["north-west"], workers=0).read_text())
    assert table["kept_for_later"] == ["north-east"]
    assert "north-east" not in json.dumps(table["plans"])


def test_a_site_that_holds_the_last_images_of_a_class_is_named_and_passed_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Slide.load

    def load(self: Slide, root: Path | None) -> object:
        images = real(self, root)
        return replace(images, labels=np.where(images.origins == "north-east", images.labels, 0))

    monkeypatch.setattr(Slide, "load", load)
    turns, refused = turns_of([PLAN], tmp_path, None)
    assert [turn.site for turn in turns] == list(SITES[1:])
    assert "has no training image" in refused["north-east"]
    with pytest.raises(DataError, match="no site can be left out"):
        turns_of([PLAN], tmp_path, None, ["north-east"])


def test_plans_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    for plans, said in (
        ([], "no plan"),
        ([PLAN, PLAN], "two plans are called plain"),
        ([PLAN, without(OTHER, "north-east")], "differ in"),
    ):
        with pytest.raises(PlanError, match=said):
            turns_of(plans, tmp_path, None)
    with pytest.raises(PlanError, match="does not train"):
        turns_of([PLAN], tmp_path, None, ["nowhere"])


def test_a_plan_that_needs_every_site_can_leave_none_out(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="quorum = 4, but only 3 sites train"):
        turns_of([replace(PLAN, quorum=4)], tmp_path, None)
    pooled = replace(
        tiny.plan(data={"source": "slide", "stride_px": 16}, algorithm={"name": "central"}), name="central"
    )
    assert len(turns_of([pooled], tmp_path, None)[0]) == len(SITES)
