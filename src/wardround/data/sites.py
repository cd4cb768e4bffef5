"""Deal images to sites and to training, validation and test parts, without ever splitting a patient.

The unit is the *group* (a patient, a lesion, a block of a slide). A group goes to one site and to one part. Everything
is a function of the groups' names and a seed: the order of the images does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from wardround.core.context import derive_seed
from wardround.data.groups import Groups, commonest, members_of
from wardround.data.images import LabelledImages
from wardround.errors import DataError, PlanError


@dataclass(frozen=True)
class SiteData:
    """What one site holds. The three views share pixels and no group.

    Attributes:
        train: images the site learns from; empty at a held-out site.
        val: images that settings are chosen on; may be empty.
        test: images that results are reported on; may be empty.
    """

    train: LabelledImages
    val: LabelledImages
    test: LabelledImages


class SiteRule(Protocol):
    """Decides at which site each group lives."""

    @property
    def held_out(self) -> tuple[str, ...]:
        """Sites whose images are all test images."""
        ...

    def assign(self, images: LabelledImages, groups: Groups, seed: int) -> np.ndarray:
        """Return str ``(G,)``: the site of each group."""
        ...


@dataclass(frozen=True)
class Natural:
    """The sites that the images come from; a group seen at several goes to the one with most of its images.

    Attributes:
        held_out: sites that take no part in training; all their images are test images.
    """

    held_out: tuple[str, ...] = ()

    def assign(self, images: LabelledImages, groups: Groups, seed: int) -> np.ndarray:
        """Return str ``(G,)``: the site of each group; between equals, the first by name."""
        sites, site_of_image = np.unique(images.origins, return_inverse=True)
        home: np.ndarray = sites[commonest(groups.of_image, site_of_image, len(groups.names))]
        return home


@dataclass(frozen=True)
class Iid:
    """Sites of equal size and equal label mix.

    Attributes:
        sites: number of sites, named ``site-1``, ``site-2``, … with leading zeros from ten on.
        held_out: sites that take no part in training; all their images are test images.
    """

    sites: int = 4
    held_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a number of sites below one.

        Raises:
            PlanError: `sites` is not positive.
        """
        _refuse_site_count(self.sites)

    def assign(self, images: LabelledImages, groups: Groups, seed: int) -> np.ndarray:
        """Deal the groups like cards, label after label, so that sites differ by one group at most.

        Raises:
            DataError: there are more sites than groups.
        """
        _refuse_too_many(self.sites, groups)
        order = np.lexsort((groups.shuffled(seed, "iid"), groups.labels, groups.parts))
        site = np.empty(len(order), dtype=np.int64)
        site[order] = np.arange(len(order)) % self.sites
        return _named(_with_training(site, self.sites, groups), self.sites)


@dataclass(frozen=True)
class Dirichlet:
    """Sites of unequal size and label mix: each class is spread over them in proportions drawn from a Dirichlet law.

    A site that the draw leaves without a group for training takes one from the site that has most.

    Attributes:
        sites: number of sites, named ``site-1``, ``site-2``, … with leading zeros from ten on.
        alpha: concentration, > 0; large values approach equal sites, .1 gives most sites one or two classes.
        held_out: sites that take no part in training; all their images are test images.
    """

    sites: int = 4
    alpha: float = 0.3
    held_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a number of sites below one and a concentration that is not a positive number.

        Raises:
            PlanError: `sites` or `alpha` is not positive.
        """
        _refuse_site_count(self.sites)
        if not 0 < self.alpha < float("inf"):
            raise PlanError(f"data.sites.alpha is {self.alpha}; give a positive number, such as 0.3")

    def assign(self, images: LabelledImages, groups: Groups, seed: int) -> np.ndarray:
        """Cut each class, in a seeded order, at the proportions drawn for it; each part of a fixed split alike.

        Raises:
            DataError: there are more sites than groups.
        """
        _refuse_too_many(self.sites, groups)
        rng = np.random.default_rng(derive_seed(seed, "dirichlet"))
        rank = groups.shuffled(seed, "dirichlet")
        site = np.empty(len(rank), dtype=np.int64)
        for label in range(len(images.classes)):
            ends = np.cumsum(_proportions(rng, self.alpha, self.sites))
            for part in np.unique(groups.parts):
                members = np.flatnonzero((groups.labels == label) & (groups.parts == part))
                places = (np.argsort(np.argsort(rank[members])) + 0.5) / max(len(members), 1)
                site[members] = np.minimum(np.searchsorted(ends, places), self.sites - 1)
        return _named(_with_training(site, self.sites, groups), self.sites)


RULES: dict[str, type[Natural | Iid | Dirichlet]] = {"natural": Natural, "iid": Iid, "dirichlet": Dirichlet}
"""Site rules by the name that a plan gives them (``[data.sites] by = "natural"``)."""


@dataclass(frozen=True)
class Parts:
    """Shares of each site's groups that are kept from training, where the source does not fix the split itself.

    Attributes:
        val: share for validation, in [0, 1).
        test: share for test, in (0, 1).
    """

    val: float = 0.1
    test: float = 0.2

    def __post_init__(self) -> None:
        """Refuse shares that leave nothing to train or to test on.

        Raises:
            PlanError: a share is out of range, or both together leave no training part.
        """
        if not 0 <= self.val < 1 or not 0 < self.test < 1 or self.val + self.test >= 1:
            raise PlanError(
                f"data.parts has val = {self.val} and test = {self.test}; test has to be positive, their sum below 1"
            )


def partition(
    images: LabelledImages, rule: SiteRule, parts: Parts, seed: int, whole: bool = True, learns_labels: bool = True
) -> dict[str, SiteData]:
    """Deal `images` to sites by `rule`, and at each site to training, validation and test parts.

    Each image lands once. No group is in two parts or at two sites. Within a site the groups are ordered by label and a
    seeded hash and every (1 / share)-th one is taken, so each class has its share in test to within one group. The last
    training group of a site or of a class is never taken. Parts that the source fixes are kept.

    Args:
        images: what to deal.
        rule: which group lives where.
        parts: shares for validation and test; without effect where the source fixes the parts.
        seed: of the split; the same seed and images give the same partition.
        whole: whether these are the images of all sites. A hospital that sees only its own may lack a class, and does
            not know the names of the held-out sites elsewhere.
        learns_labels: whether each class needs a training image; otherwise labels only keep the parts alike.

    Returns:
        site name -> its images, in the order of the names.

    Raises:
        DataError: there is nothing to deal, a group is in two parts, a site or a class has no training image, a
            held-out site is unknown, or there are more sites than groups.
    """
    if not len(images):
        raise DataError("the data source holds no image: nothing can be trained or tested")
    groups = Groups.of(images)
    site_of_group = rule.assign(images, groups, seed)
    names = np.unique(site_of_group)
    if whole and (strange := sorted(set(rule.held_out) - set(names.tolist()))):
        raise DataError(f"data.sites.held_out names {strange[0]!r}, but the sites are {_listed(names)}")
    held_out = np.isin(site_of_group, rule.held_out)
    part = groups.parts if (groups.parts != "").all() else _split(groups, site_of_group, held_out, parts, seed)
    part = np.where(held_out, "test", part)
    _refuse_untrained_site(rule, site_of_group, part)
    if whole and learns_labels:
        _refuse_untrained_class(images, part[groups.of_image])
    return _collect(images, names, site_of_group[groups.of_image], part[groups.of_image])


def _split(groups: Groups, site: np.ndarray, held_out: np.ndarray, parts: Parts, seed: int) -> np.ndarray:
    """Return str ``(G,)``: the part of each group, by systematic sampling within each site."""
    rank = groups.shuffled(seed, "parts")
    part = np.full(len(rank), "train")
    for name, members in members_of(site):
        ordered = members[np.lexsort((rank[members], groups.labels[members]))]
        rng = np.random.default_rng(derive_seed(seed, "offset", name))
        tested = _every(len(ordered), parts.test, rng.random())
        part[ordered[tested]] = "test"
        rest = ordered[~tested]
        part[rest[_every(len(rest), parts.val / (1 - parts.test), rng.random())]] = "val"
    for key in (site, groups.labels):
        _keep_one(part, key, rank, ~held_out)
    return part


def _every(count: int, share: float, offset: float) -> np.ndarray:
    """Return bool ``(count,)`` that is true at evenly spaced places, ``share * count`` of them to within one."""
    steps = np.floor(np.arange(count + 1) * share + offset)
    taken: np.ndarray = np.diff(steps) > 0
    return taken


def _keep_one(part: np.ndarray, key: np.ndarray, rank: np.ndarray, eligible: np.ndarray) -> None:
    """Give one group back to training, in place, for each value of `key` that has none there."""
    trained = np.unique(key[eligible & (part == "train")])
    for lost in np.setdiff1d(np.unique(key[eligible]), trained):
        members = np.flatnonzero(eligible & (key == lost))
        part[members[np.argmin(rank[members])]] = "train"


def _with_training(site: np.ndarray, count: int, groups: Groups) -> np.ndarray:
    """Return `site` with every site holding at least one group that may train."""
    site = site.copy()
    may_train = np.flatnonzero(groups.may_train)
    sizes = np.bincount(site[may_train], minlength=count)
    for empty in np.flatnonzero(sizes == 0):
        largest = int(np.argmax(sizes))
        given = may_train[site[may_train] == largest][-1]
        site[given] = empty
        sizes[largest] -= 1
        sizes[empty] += 1
    return site


def _collect(images: LabelledImages, names: np.ndarray, site: np.ndarray, part: np.ndarray) -> dict[str, SiteData]:
    found = dict(members_of(site))
    result = {}
    for name in names.tolist():
        here = found[name]
        train, val, test = (images.take(here[part[here] == wanted]) for wanted in ("train", "val", "test"))
        result[name] = SiteData(train, val, test)
    return result


def _proportions(rng: np.random.Generator, alpha: float, sites: int) -> np.ndarray:
    drawn = rng.dirichlet(np.full(sites, alpha))
    if not np.isfinite(drawn).all() or drawn.sum() == 0:  # alpha is so small that every gamma variate was zero
        drawn = np.eye(sites)[rng.integers(sites)]
    return np.asarray(drawn)


def _named(site: np.ndarray, count: int) -> np.ndarray:
    width = len(str(count))
    names = np.array([f"site-{index:0{width}d}" for index in range(1, count + 1)])
    return np.asarray(names[site])


def _listed(names: np.ndarray) -> str:
    shown = ", ".join(names[:10].tolist())
    return shown if len(names) <= 10 else f"{shown} and {len(names) - 10} more"


def _refuse_site_count(sites: int) -> None:
    if sites < 1:
        raise PlanError(f"data.sites.sites is {sites}; give at least 1")


def _refuse_too_many(sites: int, groups: Groups) -> None:
    available = int(groups.may_train.sum())
    if sites > available:
        raise DataError(
            f"{sites} sites cannot share {available} patients or lesions for training: ask for {available} or fewer"
        )


def _refuse_untrained_site(rule: SiteRule, site: np.ndarray, part: np.ndarray) -> None:
    trained = np.unique(site[part == "train"])
    missing = np.setdiff1d(np.unique(site), np.union1d(trained, np.array(rule.held_out, dtype=str)))
    if len(missing):
        raise DataError(f"site {str(missing[0])!r} has no training image: add some, or name it in data.sites.held_out")


def _refuse_untrained_class(images: LabelledImages, part: np.ndarray) -> None:
    counts = np.bincount(images.labels[part == "train"], minlength=len(images.classes))
    for name, count in zip(images.classes, counts, strict=True):
        if not count:
            raise DataError(f"class {name!r} has no training image: add some, hold out fewer sites, or drop the class")
