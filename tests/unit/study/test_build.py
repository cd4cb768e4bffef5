"""From a plan to its sites."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny

from wardround.data.images import LabelledImages
from wardround.errors import DataError, SiteError
from wardround.rounds.plan import Plan
from wardround.study import build
from wardround.study.build import joined, make_opener, sites_of, task_of
from wardround.study.spec import to_json

SLIDE = tiny.plan(data={"stride_px": 16})


def test_every_image_carries_the_name_of_its_site() -> None:
    plan = tiny.plan(data={"stride_px": 16, "sites": {"by": "iid", "sites": 3}})
    sites = sites_of(plan, None)
    assert list(sites) == ["site-1", "site-2", "site-3"]
    for name, data in sites.items():
        for part in (data.train, data.val, data.test):
            assert set(part.origins.tolist()) == {name}


def test_central_pools_exactly_the_sites_images() -> None:
    apart, together = (
        sites_of(SLIDE, None),
        sites_of(tiny.plan(data={"stride_px": 16}, algorithm={"name": "central"}), None),
    )
    assert list(together) == ["central"]
    for part in ("train", "val", "test"):
        rows = np.concatenate([getattr(data, part).rows for data in apart.values()])
        pooled: LabelledImages = getattr(together["central"], part)
        np.testing.assert_array_equal(pooled.rows, rows)
        assert set(pooled.origins.tolist()) == set(apart)


def test_no_group_is_in_two_parts_or_at_two_sites() -> None:
    plan = tiny.plan(data={"stride_px": 16, "sites": {"by": "dirichlet", "sites": 3}})
    homes: dict[str, set[tuple[str, str]]] = {}
    for site, data in sites_of(plan, None).items():
        for part in ("train", "val", "test"):
            for group in getattr(data, part).groups.tolist():
                homes.setdefault(group, set()).add((site, part))
    assert len(homes) > 50
    assert all(len(places) == 1 for places in homes.values())


def test_joined_views_share_their_pixels() -> None:
    images = tiny.images(10)
    whole = joined([images.take([0, 1]), images.take([5])])
    assert whole.pixels is images.pixels
    assert whole.rows.tolist() == [0, 1, 5]


def test_the_task_follows_from_the_images() -> None:
    task = task_of(SLIDE, sites_of(SLIDE, None))
    assert (task.channels, task.classes, task.malignant) == (3, ("little DAB", "much DAB"), ())
    assert task.model == SLIDE.model


def test_a_site_without_data_is_named(tmp_path: Path) -> None:
    opener = make_opener(to_json(SLIDE), None, str(tmp_path))
    with pytest.raises(SiteError, match=r"no data for site 'moon': the data holds north-east, north-west"):
        opener("moon")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["..", ".", "a/b", "a\\b", "C:", "pooled", "a\nb", "\x1b[31m"])
def test_a_site_whose_name_is_no_folder_s_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    class Source:
        public = True

        def load(self, root: Path | None, how: object = None) -> LabelledImages:
            return tiny.images(16, site="north")

    plan: Plan = replace(SLIDE, data=replace(SLIDE.data, source=Source()))
    assert list(sites_of(plan, None)) == ["north"]
    images = tiny.images(16)
    renamed = replace(images, origins=np.full(len(images), name))
    monkeypatch.setattr(Source, "load", lambda self, root, how=None: renamed)
    with pytest.raises(DataError, match="a site cannot be called"):
        build.sites_of(plan, None)
