"""From a plan to its sites: which images each holds, and the network they share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from wardround.data.images import LabelledImages
from wardround.data.sites import SiteData, partition
from wardround.errors import DataError, SiteError, TrustError
from wardround.fabric.local import Opener
from wardround.protect.home import Home
from wardround.protect.vault import Vault, passphrase_from_environment
from wardround.rounds.keyring import Credentials
from wardround.rounds.plan import Plan
from wardround.rounds.site import Site, Workbench
from wardround.rounds.store import SiteStore
from wardround.study.simulation import VAULT, simulated
from wardround.study.spec import from_json
from wardround.tasks.classification import Classification

POOLED_SITE = "central"


def sites_of(plan: Plan, data_root: Path | None, whole: bool = True) -> dict[str, SiteData]:
    """Load the plan's images and deal them to sites; a pooled plan has the one site ``central``.

    Every image carries the name of the site it was dealt to as its origin, so that pooled and federated runs report on
    the same sites.

    Args:
        plan: names the source, the site rule and the parts.
        data_root: where the source looks for its files.
        whole: whether the images of all sites are there; a hospital has its own.

    Raises:
        DataError: the images cannot be used.
        PlanError: the plan asks for more sites than train.
    """
    images = plan.data.source.load(data_root)
    dealt = partition(images, plan.data.sites, plan.data.parts, plan.data.split_seed, whole)
    for site in dealt:
        _refuse_unfit(site)
    named = {site: _named(data, site) for site, data in dealt.items()}
    sites = {POOLED_SITE: _pooled(list(named.values()))} if plan.composed().pooled else named
    if whole:
        plan.check_cohort(sum(bool(len(site.train)) for site in sites.values()))
    return sites


def task_of(plan: Plan, sites: Mapping[str, SiteData]) -> Classification:
    """Return what the sites learn: classes and channels come from the images."""
    images = next(iter(sites.values())).test
    return Classification(plan.model, images.shape[2], images.classes, images.malignant)


def make_opener(plan_json: str, data_root: str | None, store_root: str) -> Opener:
    """Load the data once and return what opens simulated sites; runs in the process that hosts them."""
    plan = from_json(plan_json)
    return opener_for(plan, sites_of(plan, Path(data_root) if data_root else None), Path(store_root))


def opener_for(plan: Plan, sites: Mapping[str, SiteData], store_root: Path) -> Opener:
    """Return what opens sites whose data is loaded already."""
    return partial(_open, plan, sites, Workbench(task_of(plan, sites), plan.seed), store_root)


def open_site(plan_json: str, site: str, data_root: str | None, store_root: str) -> Site:
    """Open one site in a process of its own (the entry point of a distributed engine).

    Where the plan needs keys, they are those of the site's own home folder; see `deployed`.

    Raises:
        TrustError: there are none, or the operator did not approve the plan.
    """
    plan = from_json(plan_json)
    sites = sites_of(plan, Path(data_root) if data_root else None, whole=False)
    store = SiteStore(Path(store_root) / site)
    credentials = deployed(plan, site, store.folder / VAULT) if plan.pipeline.needs_keys else None
    return _opened(plan, sites, Workbench(task_of(plan, sites), plan.seed), store, site, credentials)


def deployed(plan: Plan, site: str, vault: Path) -> Credentials:
    """Return the credentials of a site in a deployment, from its home folder and its operator's passphrase.

    Args:
        plan: of the run.
        site: name of this site.
        vault: folder for the secrets of this run.

    Raises:
        TrustError: keys or trust are missing, the passphrase is wrong, or the plan trusts the coordinator unsaid.
    """
    home, passphrase = Home.of(None), passphrase_from_environment()
    stage = plan.pipeline.homomorphic
    if stage and not plan.pipeline.masks and not stage.honest_coordinator:
        raise TrustError(
            "without masks a coordinator could send one site's ciphertext as the sum and have it opened: add a masks "
            "stage, or say honest_coordinator = true in the homomorphic stage"
        )
    return Credentials(home.identity(passphrase), home.trust(), Vault(vault, passphrase))


def _open(plan: Plan, sites: Mapping[str, SiteData], bench: Workbench, store_root: Path, name: str) -> Site:
    credentials = simulated(store_root, sites, name) if plan.pipeline.needs_keys and name in sites else None
    return _opened(plan, sites, bench, SiteStore(store_root / name), name, credentials)


def _opened(
    plan: Plan,
    sites: Mapping[str, SiteData],
    bench: Workbench,
    store: SiteStore,
    name: str,
    credentials: Credentials | None,
) -> Site:
    if name not in sites:
        raise SiteError(f"there is no data for site {name!r}: the data holds {', '.join(sites)}")
    return Site(name, plan, sites[name], bench, store, credentials)


def _refuse_unfit(site: str) -> None:
    # A site's name becomes a folder's, and a line in every table beside "pooled".
    if site in ("", ".", "..", "pooled") or not site.isprintable() or set(site) & set("/\\:"):
        raise DataError(f"a site cannot be called {site!r}: rename it with letters, digits, spaces, '-', '_' or '.'")


def _named(data: SiteData, site: str) -> SiteData:
    def named(images: LabelledImages) -> LabelledImages:
        return replace(images, origins=np.full(len(images), site))

    return SiteData(named(data.train), named(data.val), named(data.test))


def _pooled(parts: list[SiteData]) -> SiteData:
    return SiteData(
        joined([part.train for part in parts]),
        joined([part.val for part in parts]),
        joined([part.test for part in parts]),
    )


def joined(views: list[LabelledImages]) -> LabelledImages:
    """Put views of the same pixels below each other."""
    fields = ("rows", "labels", "origins", "groups", "parts")
    columns: dict[str, Any] = {name: np.concatenate([getattr(view, name) for view in views]) for name in fields}
    return replace(views[0], **columns)
