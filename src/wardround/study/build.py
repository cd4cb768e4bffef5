"""From a plan to its sites: which images each holds, and the network they share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from wardround.data.catalogue import SOURCES
from wardround.data.images import LabelledImages
from wardround.data.sites import SiteData, partition
from wardround.errors import DataError, PlanError, SiteError, TrustError
from wardround.fabric.local import Opener
from wardround.protect.home import HOME, Home
from wardround.protect.trust import Trust
from wardround.protect.vault import passphrase_from_environment
from wardround.rounds.keyring import Credentials
from wardround.rounds.plan import Plan
from wardround.rounds.site import Site
from wardround.rounds.spending import Account, refuse_uncovered
from wardround.rounds.store import SiteStore
from wardround.rounds.workbench import Workbench
from wardround.study.simulation import simulated
from wardround.study.spec import from_json
from wardround.tasks import Task

POOLED_SITE = "central"
SPENDING = "spending.json"


def sites_of(plan: Plan, data_root: Path | None, whole: bool = True) -> dict[str, SiteData]:
    """Load the plan's images and deal them to sites; see `dealt`."""
    return dealt(plan, data_root, whole)[0]


def dealt(plan: Plan, data_root: Path | None, whole: bool = True) -> tuple[dict[str, SiteData], LabelledImages | None]:
    """Load the plan's images and deal them to sites; a pooled plan has the one site ``central``.

    Every image carries the name of the site it was dealt to as its origin, so that pooled and federated runs report on
    the same sites.

    Args:
        plan: names the source, the site rule and the parts.
        data_root: where the source looks for its files.
        whole: whether the images of all sites are there; a hospital has its own.

    Returns:
        The sites, and the coordinator's own images where the plan has a ``[probe]``.

    Raises:
        DataError: the images cannot be used.
        PlanError: the plan asks for more sites than train, or names a malicious site that is not there.
    """
    images, probe = plan.learns.load(plan.data.source, data_root), None
    if plan.probe is not None:
        images, probe = plan.probe.set_aside(images, plan.data.split_seed)
    _refuse_other_size(plan, images)
    labelled = plan.learns.answers != "pixel"
    shared = partition(images, plan.data.sites, plan.data.parts, plan.data.split_seed, whole, labelled)
    for site in shared:
        _refuse_unfit(site)
    named = {site: _named(data, site) for site, data in shared.items()}
    named = plan.learns.completed(named, plan.data.split_seed, whole)
    sites = {POOLED_SITE: _pooled(list(named.values()))} if plan.composed().pooled else named
    if whole:
        plan.check(sum(bool(len(site.train)) for site in sites.values()))
        _refuse_absent_culprits(plan, sites)
    return sites, probe


def task_of(plan: Plan, sites: Mapping[str, SiteData]) -> Task:
    """Return what the sites learn: classes and channels come from the images."""
    images = next(iter(sites.values())).test
    return plan.learns.task(plan.model, images.shape[2], *plan.learns.names(images))


def make_opener(plan_json: str, data_root: str | None, store_root: str) -> Opener:
    """Load the data once and return what opens simulated sites; runs in the process that hosts them."""
    plan = from_json(plan_json)
    root = Path(data_root) if data_root else None
    return opener_for(plan, sites_of(plan, root), Path(store_root), root)


def opener_for(plan: Plan, sites: Mapping[str, SiteData], store_root: Path, data_root: Path | None = None) -> Opener:
    """Return what opens sites whose data is loaded already."""
    make = partial(_bench, plan, sites, data_root)
    # Sites of a network that is cut are in the middle of a round together, each with its own head and tail.
    return partial(_open, plan, sites, make if plan.split else cache(make), store_root)


def _bench(plan: Plan, sites: Mapping[str, SiteData], data_root: Path | None) -> Workbench:
    start = plan.starting_weights(data_root)
    return Workbench(task_of(plan, sites), plan.seed, plan.training.parts, start, plan.split)


def open_site(plan_json: str, site: str, data_root: str | None, store_root: str) -> Site:
    """Open one site in a process of its own (the entry point of a distributed engine).

    Nothing of the site's data is read before its operator's approval of the plan was found; see `deployed`.

    Raises:
        TrustError: the operator did not approve the plan, or the plan needs keys and there are none.
    """
    plan = from_json(plan_json)
    store = SiteStore(Path(store_root) / site)
    credentials = deployed(plan, site)
    account = deployed_account(plan, site, store)
    root = Path(data_root) if data_root else None
    sites = sites_of(plan, root, whole=False)
    return _opened(plan, sites, _bench(plan, sites, root), store, site, credentials, account)


def deployed(plan: Plan, site: str) -> Credentials | None:
    """Ask a site's home folder whether its operator approved the plan, and take from it the keys that the plan needs.

    Where WARDROUND_HOME is not set and there is no ``~/.wardround``, nobody has set up a site: plans without keys run.

    Args:
        plan: of the run.
        site: name of this site.

    Returns:
        Who the site is and whom it trusts; ``None`` where the plan needs no keys, or nobody made any.

    Raises:
        PlanError: the plan is refused in a deployment; it trusts the coordinator unsaid, for example.
        TrustError: the operator did not approve the plan; or the home folder is another site's, or cannot be used,
            which is told without the paths of this machine.
    """
    plan.check(deployed=True)
    home = _home()
    if home is None:
        return None
    with _without_paths(site):
        trust = home.trust()
    _check_approved(plan, site, trust)
    if not plan.needs_keys:
        return None
    with _without_paths(site):
        passphrase = passphrase_from_environment()
        return Credentials(home.identity(passphrase), trust, home.plan_vault(plan.digest(), passphrase))


def deployed_account(plan: Plan, site: str, store: SiteStore) -> Account | None:
    """Return where a deployed site writes down what noise costs: in its home folder, across runs, with its budget.

    Returns:
        ``None`` where the plan claims nothing.

    Raises:
        TrustError: the site has a budget, and the plan claims nothing; or ``trust.toml`` cannot be used.
    """
    home = _home()
    budget = None
    if home is not None:
        with _without_paths(site):
            budget = home.trust().budget
    if plan.privacy is None:
        refuse_uncovered(budget)
        return None
    path = home.spending_path if home is not None else store.folder / SPENDING
    return Account(path, account_name(plan), plan.privacy.unit, budget)


def account_name(plan: Plan) -> str:
    """Return what a site's account for the plan's images is called.

    Where the files lie is no part of it: one data set under two names would have two accounts.
    """
    source = plan.data.source
    kind = next(name for name, known in SOURCES.items() if type(source) is known)
    return f"{kind} {getattr(source, 'dataset', '')}".strip()


def _home() -> Home | None:
    home = Home.of(None)
    return home if os.environ.get(HOME) or home.folder.exists() else None


def _check_approved(plan: Plan, site: str, trust: Trust) -> None:
    if trust.site != site:
        raise TrustError(f"site {site} was started with the keys and trust of {trust.site}: check {HOME} there")
    if not trust.approves(plan.digest()):
        raise TrustError(
            f"the operator of site {site} has not approved the plan with digest {plan.digest()}: wardround site "
            "approve shows it and records it"
        )


@contextmanager
def _without_paths(site: str) -> Iterator[None]:
    """Keep what names files of this machine from the coordinator; the log at the site tells the cause."""
    try:
        yield
    except TrustError as error:
        raise TrustError(f"site {site} cannot use its keys or its trust.toml; its own log says why") from error


def _open(
    plan: Plan, sites: Mapping[str, SiteData], bench: Callable[[], Workbench], store_root: Path, name: str
) -> Site:
    credentials = simulated(store_root, sites, name) if plan.needs_keys and name in sites else None
    store = SiteStore(store_root / name)
    account = Account(store.folder / SPENDING, account_name(plan), plan.privacy.unit) if plan.privacy else None
    return _opened(plan, sites, bench(), store, name, credentials, account)


def _opened(
    plan: Plan,
    sites: Mapping[str, SiteData],
    bench: Workbench,
    store: SiteStore,
    name: str,
    credentials: Credentials | None,
    account: Account | None,
) -> Site:
    if name not in sites:
        raise SiteError(f"there is no data for site {name!r}: the data holds {', '.join(sites)}")
    return Site(name, plan, sites[name], bench, store, credentials, account)


def _refuse_other_size(plan: Plan, images: LabelledImages) -> None:
    made = getattr(plan.model, "size_px", 0)
    if plan.learns.answers == "sample" and images.shape[:2] != (made, made):
        raise PlanError(
            f"[model] makes images of {made} px, and those of [data] have {images.shape[0]} x {images.shape[1]}: give "
            "both the same size_px"
        )


def _refuse_absent_culprits(plan: Plan, sites: Mapping[str, SiteData]) -> None:
    for attack in plan.attacks or ():
        for name in attack.sites:
            if name not in sites or not len(sites[name].train):
                raise PlanError(
                    f"the attack {attack.name} names the site {name!r}, which does not train: choose from "
                    f"{', '.join(site for site, data in sites.items() if len(data.train))}"
                )
            attack.check(sites[name].train)


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
