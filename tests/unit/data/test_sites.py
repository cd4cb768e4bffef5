"""A partition deals each image once and never splits a group, whatever the rule."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from wardround.data.images import LabelledImages
from wardround.data.sites import RULES, Dirichlet, Iid, Natural, Parts, SiteData, SiteRule, partition
from wardround.errors import DataError, PlanError


def images_of(
    groups: list[str], labels: list[int], origins: list[str], parts: list[str] | None = None, classes: int = 0
) -> LabelledImages:
    count = len(groups)
    return LabelledImages(
        pixels=np.zeros((max(count, 1), 1, 1, 1), np.uint8),
        rows=np.arange(count),
        labels=np.array(labels, dtype=np.int64),
        origins=np.array(origins, dtype=str),
        groups=np.array(groups, dtype=str),
        classes=tuple(f"class {index}" for index in range(classes or max(labels, default=0) + 1)),
        malignant=(),
        parts=np.array(parts if parts is not None else [""] * count, dtype=str),
        public=True,
    )


def views(dealt: dict[str, SiteData]) -> list[tuple[str, str, LabelledImages]]:
    return [(name, part, getattr(data, part)) for name, data in dealt.items() for part in ("train", "val", "test")]


@st.composite
def collections(draw: st.DrawFn) -> LabelledImages:
    rows = draw(
        st.lists(st.tuples(st.integers(0, 25), st.integers(0, 2), st.sampled_from("abc")), min_size=6, max_size=80)
    )
    groups, labels, origins = ([row[column] for row in rows] for column in range(3))
    labels = [list(dict.fromkeys(labels)).index(label) for label in labels]  # every class has an image
    fixed = draw(st.booleans())
    parts = [("train", "train", "val", "test")[group % 4] if fixed else "" for group in groups]
    return images_of([f"p{group}" for group in groups], labels, list(origins), parts)


rules = st.one_of(
    st.just(Natural()),
    st.builds(Iid, sites=st.integers(1, 4)),
    st.builds(Dirichlet, sites=st.integers(1, 4), alpha=st.sampled_from([1e-4, 0.1, 0.3, 10.0])),
)


@settings(max_examples=150, deadline=None)
@given(collections(), rules, st.integers(0, 5), st.sampled_from([Parts(), Parts(0, 0.5), Parts(0.3, 0.3)]))
def test_each_image_lands_once_and_no_group_is_split(
    images: LabelledImages, rule: SiteRule, seed: int, parts: Parts
) -> None:
    try:
        dealt = partition(images, rule, parts, seed)
    except DataError:  # a fixed split may leave a site or a class without training images, or too few groups
        assume(False)
        raise
    rows = np.concatenate([view.rows for _, _, view in views(dealt)])
    assert sorted(rows.tolist()) == list(range(len(images)))
    homes = Counter(group for _, _, view in views(dealt) for group in set(view.groups.tolist()))
    assert set(homes.values()) == {1}
    assert list(dealt) == sorted(dealt)
    assert all(len(data.train) for data in dealt.values())
    assert all(set(view.parts.tolist()) <= {"", part} for _, part, view in views(dealt))


@settings(max_examples=50, deadline=None)
@given(collections(), rules, st.integers(0, 5))
def test_the_order_of_the_images_does_not_matter(images: LabelledImages, rule: SiteRule, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(images))
    try:
        first = partition(images, rule, Parts(), seed)
    except DataError:
        assume(False)
        raise
    second = partition(images.take(order), rule, Parts(), seed)
    assert [(n, p, sorted(v.rows.tolist())) for n, p, v in views(first)] == [
        (n, p, sorted(v.rows.tolist())) for n, p, v in views(second)
    ]


def balanced(count: int = 1000, sites: str = "ab") -> LabelledImages:
    labels = [int(index % 10 == 0) for index in range(count)]
    return images_of([f"p{i}" for i in range(count)], labels, [sites[i % len(sites)] for i in range(count)])


def test_another_seed_gives_another_split_of_the_same_size() -> None:
    first, second = (partition(balanced(), Natural(), Parts(), seed) for seed in (0, 1))
    assert first["a"].test.rows.tolist() != second["a"].test.rows.tolist()
    assert abs(len(first["a"].test) - len(second["a"].test)) <= 1


@pytest.mark.parametrize("rule", [Natural(), Iid(5), Iid(40), Dirichlet(5, 0.5)])
def test_each_class_has_its_share_in_test(rule: SiteRule) -> None:
    images = balanced(2000)
    dealt = partition(images, rule, Parts(0.1, 0.2), 3)
    for part, share in (("val", 0.1), ("test", 0.2)):
        counts = sum(view.label_counts() for _, here, view in views(dealt) if here == part)
        assert np.allclose(counts, share * images.label_counts(), rtol=0.25, atol=3)


def test_a_group_seen_at_two_sites_goes_to_the_one_with_most_of_its_images() -> None:
    images = images_of(["x", "x", "x", "y", "y", *"klmn"], [0] * 9, [*"bba", *"ab", *"aabb"])
    dealt = partition(images, Natural(), Parts(0, 0.2), 0)
    home = {group: name for name, _, view in views(dealt) for group in view.groups.tolist()}
    assert home["x"] == "b"
    assert home["y"] == "a"  # a tie goes to the first by name


def test_iid_sites_differ_by_one_group_at_most_in_every_class() -> None:
    dealt = partition(balanced(997), Iid(7), Parts(), 0)
    counts = np.array([sum(getattr(d, p).label_counts() for p in ("train", "val", "test")) for d in dealt.values()])
    assert (np.ptp(counts, axis=0) <= 1).all()
    assert list(dealt) == [f"site-{index}" for index in range(1, 8)]


def test_a_small_alpha_skews_labels_and_a_large_one_does_not() -> None:
    def spread(alpha: float) -> float:
        dealt = partition(balanced(4000), Dirichlet(8, alpha), Parts(), 0)
        counts = np.array([data.train.label_counts() for data in dealt.values()])
        return float((counts / counts.sum(axis=0)).std(axis=0).max())

    assert spread(0.1) > 4 * spread(100)


def test_held_out_sites_only_test() -> None:
    dealt = partition(balanced(300, "abc"), Natural(held_out=("b",)), Parts(), 0)
    assert (len(dealt["b"].train), len(dealt["b"].val), len(dealt["b"].test)) == (0, 0, 100)
    assert len(dealt["a"].train) > 60


def test_parts_that_the_source_fixes_are_kept() -> None:
    parts = ["train"] * 60 + ["val"] * 20 + ["test"] * 20
    images = images_of([f"p{i}" for i in range(100)], [i % 2 for i in range(100)], ["a"] * 100, parts)
    for rule in (Natural(), Iid(5), Dirichlet(5)):
        for _, part, view in views(partition(images, rule, Parts(), 0)):
            assert set(view.parts.tolist()) <= {part}
    iid = partition(images, Iid(5), Parts(), 0)
    assert {len(data.test) for data in iid.values()} == {4}


@pytest.mark.parametrize("rule", [Natural(), Iid(1000), Dirichlet(1000)])
def test_a_thousand_sites_take_less_than_two_seconds_of_work(rule: SiteRule) -> None:
    images = images_of(
        [f"p{i}" for i in range(10_000)], [i % 7 for i in range(10_000)], [f"s{i % 1000}" for i in range(10_000)]
    )
    began = time.process_time()
    assert len(partition(images, rule, Parts(), 0)) == 1000
    assert time.process_time() - began < 2


def test_refusals_name_the_thing() -> None:
    images = balanced(40)
    cases: list[tuple[LabelledImages, SiteRule, str]] = [
        (images, Natural(held_out=("z",)), "'z'"),
        (images, Iid(41), "41 sites"),
        (images, Dirichlet(41), "41 sites"),
        (images.take([]), Natural(), "no image"),
        (images_of(["p", "q"], [0, 0], ["a", "a"], classes=2), Natural(), "class 'class 1'"),
        (images_of(["p", "q"], [0, 0], ["a", "b"], ["train", "test"]), Natural(), "site 'b'"),
        (images_of(["p", "p"], [0, 0], ["a", "a"], ["train", "test"]), Natural(), "group 'p' is in two parts"),
        (images_of(["p", "q"], [0, 0], ["a", "a"], ["train", ""]), Natural(), "'q' has no part"),
        (images_of(["p", "q"], [0, 1], ["a", "b"]), Natural(held_out=("b",)), "class 'class 1'"),
    ]
    for given_images, rule, named in cases:
        with pytest.raises(DataError, match=named):
            partition(given_images, rule, Parts(), 0)


def test_a_class_or_site_with_one_group_trains_on_it() -> None:
    images = images_of([f"p{i}" for i in range(20)], [1] + [0] * 19, ["b"] * 1 + ["a"] * 19)
    for seed in range(10):
        assert partition(images, Natural(), Parts(0.3, 0.4), seed)["b"].train.groups.tolist() == ["p0"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Parts(0.5, 0.5),
        lambda: Parts(0.1, 0),
        lambda: Parts(-0.1, 0.2),
        lambda: Parts(float("nan"), 0.2),
        lambda: Iid(0),
        lambda: Dirichlet(4, 0),
        lambda: Dirichlet(4, float("nan")),
    ],
)
def test_impossible_settings_are_refused(make: object) -> None:
    with pytest.raises(PlanError):
        make()  # type: ignore[operator]


def test_rules_are_named() -> None:
    assert set(RULES) == {"natural", "iid", "dirichlet"}


def test_a_hospital_that_sees_only_its_own_images_may_lack_a_class() -> None:
    own = images_of([f"p{i}" for i in range(30)], [0] * 30, ["a"] * 30, classes=2)
    with pytest.raises(DataError, match="has no training image"):
        partition(own, Natural(), Parts(), 0)
    assert list(partition(own, Natural(held_out=("elsewhere",)), Parts(), 0, whole=False)) == ["a"]


def test_labels_that_nobody_learns_need_no_training_image() -> None:
    own = images_of([f"p{i}" for i in range(30)], [0] * 30, ["a"] * 30, classes=2)
    assert list(partition(own, Natural(), Parts(), 0, learns_labels=False)) == ["a"]
