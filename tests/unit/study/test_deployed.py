"""A site in a deployment: its own home folder says whom and what it trusts, before its data is touched."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest
import tiny

from wardround.errors import PlanError, RunError, RunFolderError, SiteError, TrustError
from wardround.fabric.local import LocalFabric
from wardround.privacy import Gaussian
from wardround.protect.home import HOME, Home
from wardround.protect.trust import Trust, approve
from wardround.protect.vault import IN_ENVIRONMENT
from wardround.rounds.listener import Silent
from wardround.rounds.plan import Plan
from wardround.rounds.site import Site
from wardround.rounds.store import SiteStore
from wardround.study import build
from wardround.study.build import deployed, open_site
from wardround.study.folder import RunFolder
from wardround.study.rehearsal import set_up_sites
from wardround.study.run import run_plan, train
from wardround.study.simulation import introduce_sites
from wardround.study.spec import to_json

NAMES = ("site-1", "site-2", "site-3")
SLIDE = {"stride_px": 16, "sites": {"by": "iid", "sites": 3}}
PLAIN = tiny.plan(data=SLIDE)
SEALED = tiny.plan(data=SLIDE, protect=tiny.PIPELINES["packed and masked"])


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which nobody has set up anything, and quick passphrases."""
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    for name in (HOME, IN_ENVIRONMENT):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("wardround.protect.vault.Vault.__init__.__defaults__", (15,))


def opened(plan: Plan, stores: Path, site: str = "site-1") -> Site:
    return open_site(to_json(plan), site, None, str(stores))


def operator_of(site: str, environments: Mapping[str, Mapping[str, str]], monkeypatch: pytest.MonkeyPatch) -> Home:
    """Become the operator of `site`, and return its home."""
    for name, value in environments[site].items():
        monkeypatch.setenv(name, value)
    return Home.of(None)


def test_where_nobody_set_up_a_site_plans_without_keys_run(tmp_path: Path) -> None:
    assert opened(PLAIN, tmp_path).name == "site-1"
    with pytest.raises(TrustError, match=r"site site-1 has no keys, which .* wardround keys new makes them"):
        opened(SEALED, tmp_path)


@pytest.mark.parametrize("plan", [PLAIN, SEALED], ids=["plain", "sealed"])
def test_an_unapproved_plan_is_refused_by_name_before_data_is_read(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tiny.plan(data=SLIDE, rounds=3)
    home = operator_of("site-1", set_up_sites(other, tmp_path, NAMES), monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(build, "sites_of", lambda *_, **__: pytest.fail("data was read"))
        with pytest.raises(TrustError) as refusal:
            opened(plan, tmp_path)
    assert str(refusal.value) == (
        f"the operator of site site-1 has not approved the plan with digest {plan.digest()}: wardround site approve "
        "shows it and records it"
    )
    approve(home.trust_path, plan.digest())
    if plan is PLAIN:
        assert opened(plan, tmp_path).name == "site-1"
    else:  # its home was set up for a plan without keys
        with pytest.raises(TrustError, match="cannot use its keys"):
            opened(plan, tmp_path)


@pytest.mark.parametrize("plan", [PLAIN, SEALED], ids=["plain", "sealed"])
def test_the_home_of_another_site_is_refused(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    operator_of("site-2", set_up_sites(plan, tmp_path, NAMES), monkeypatch)
    with pytest.raises(TrustError, match="site site-1 was started with the keys and trust of site-2"):
        opened(plan, tmp_path)


@pytest.mark.parametrize("named", [True, False])
def test_a_home_that_lost_its_trust_refuses_every_plan(
    named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "user" / ".wardround"
    if named:
        monkeypatch.setenv(HOME, str(home))
    else:
        home.mkdir(parents=True)
    with pytest.raises(TrustError) as refusal:
        opened(PLAIN, tmp_path)
    assert str(refusal.value) == "site site-1 cannot use its keys or its trust.toml; its own log says why"
    assert f"{home}/trust.toml does not exist" in str(refusal.value.__cause__)


def test_what_is_wrong_with_keys_is_told_at_the_site_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = operator_of("site-1", set_up_sites(SEALED, tmp_path, NAMES), monkeypatch)
    secret = Path(os.environ[IN_ENVIRONMENT])

    def cause() -> str:
        with pytest.raises(TrustError, match="cannot use its keys") as refusal:
            opened(SEALED, tmp_path)
        assert str(tmp_path) not in str(refusal.value)
        return str(refusal.value.__cause__)

    secret.chmod(0o644)
    assert "others can read this passphrase" in cause()
    secret.chmod(0o600)
    kept = secret.read_bytes()
    secret.write_bytes(b"another passphrase")
    assert "the passphrase is not the one of" in cause()
    secret.write_bytes(kept)
    home.public_path.unlink()
    assert "holds no keys" in cause()


def test_encryption_without_masks_asks_for_an_acknowledgement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def packed(**more: bool) -> Plan:
        return tiny.plan(data=SLIDE, protect=[tiny.CLIP, tiny.QUANTISE, {**tiny.PACKED, **more}])

    operator_of("site-1", set_up_sites(packed(), tmp_path, NAMES), monkeypatch)
    with pytest.raises(PlanError, match="add a masks stage, or say honest_coordinator = true"):
        deployed(packed(), "site-1")
    said = packed(honest_coordinator=True)
    home = operator_of("site-1", set_up_sites(said, tmp_path, NAMES), monkeypatch)
    credentials = deployed(said, "site-1")
    assert credentials is not None
    assert credentials.identity.public == home.public()


def fabric_of(plan: Plan, stores: Path, environments: Mapping[str, Mapping[str, str]]) -> LocalFabric:
    """Return sites that were opened as in processes of their own, each in its operator's environment."""

    def open_one(site: str) -> Site:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environments[site].items():
                patch.setenv(name, value)
            return opened(plan, stores, site)

    return LocalFabric(NAMES, open_one, encoded=True)


def test_a_deployment_gives_the_bytes_of_a_simulation(tmp_path: Path) -> None:
    simulated = train(SEALED, tmp_path / "simulated", workers=0)
    folder = RunFolder(tmp_path / "deployed")
    environments = set_up_sites(SEALED, folder.store_root, NAMES)
    run_plan(SEALED, fabric_of(SEALED, folder.store_root, environments), folder.path, False, Silent())
    model = (simulated / "model.safetensors").read_bytes()
    for site in NAMES:
        assert (folder.store_root / site / "model.safetensors").read_bytes() == model
    folder.take_model()
    assert (folder.path / "model.safetensors").read_bytes() == model


def test_a_peer_with_other_keys_ends_the_run_by_name(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "deployed")
    environments = set_up_sites(SEALED, folder.store_root, NAMES)
    homes = {site: Home(Path(environments[site][HOME])) for site in NAMES}
    trusted = {home.trust_path: home.trust_path.read_bytes() for site, home in homes.items() if site != "site-2"}
    before = homes["site-2"].public().fingerprint
    homes["site-2"].public_path.unlink()
    set_up_sites(SEALED, folder.store_root, NAMES)
    for path, content in trusted.items():
        path.write_bytes(content)
    with pytest.raises(RunError) as refusal:
        run_plan(SEALED, fabric_of(SEALED, folder.store_root, environments), folder.path, False, Silent())
    shown = homes["site-2"].public().fingerprint
    assert str(refusal.value).startswith(
        f"site site-1 could not agree on keys: site-2 shows fingerprint {shown}, but site site-1 trusts {before}"
    )
    assert folder.summary()["status"] == "failed"


def test_a_rehearsal_keeps_its_keys_and_approves_one_plan(tmp_path: Path) -> None:
    environments = set_up_sites(SEALED, tmp_path, NAMES)
    homes = {site: Home(Path(environments[site][HOME])) for site in NAMES}
    publics = {site: home.public() for site, home in homes.items()}
    assert len({public.fingerprint for public in publics.values()}) == 3
    assert set_up_sites(PLAIN, tmp_path, NAMES) == environments
    assert homes["site-1"].trust() == Trust("site-1", (PLAIN.digest(),))
    set_up_sites(SEALED, tmp_path, NAMES)
    assert {site: home.public() for site, home in homes.items()} == publics
    known = {site: publics[site].fingerprint for site in NAMES[1:]}
    assert homes["site-1"].trust() == Trust("site-1", (SEALED.digest(),), known)
    for site, home in homes.items():
        secret = Path(environments[site][IN_ENVIRONMENT])
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        assert stat.S_IMODE(home.folder.stat().st_mode) == 0o700
        assert home.identity(secret.read_bytes()).public == publics[site]
    assert len({Path(one[IN_ENVIRONMENT]).read_bytes() for one in environments.values()}) == 3


def test_keys_that_were_cut_short_are_made_again(tmp_path: Path) -> None:
    home = Home(Path(set_up_sites(SEALED, tmp_path, NAMES)["site-1"][HOME]))
    before = home.public()
    home.public_path.unlink()
    environment = set_up_sites(SEALED, tmp_path, NAMES)["site-1"]
    assert home.public() != before
    assert home.identity(Path(environment[IN_ENVIRONMENT]).read_bytes()).public == home.public()


def test_a_rehearsal_does_not_go_on_with_the_keys_of_a_simulation(tmp_path: Path) -> None:
    introduce_sites(tmp_path, NAMES)
    with pytest.raises(RunFolderError, match="keys that --engine local made"):
        set_up_sites(SEALED, tmp_path, NAMES)
    set_up_sites(PLAIN, tmp_path, NAMES)


PRIVATE = tiny.private("each update", randomness="system", data=SLIDE)


def test_a_site_s_account_lies_in_its_home_and_outlives_every_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = operator_of("site-1", set_up_sites(PRIVATE, tmp_path / "one", NAMES), monkeypatch)
    first = build.deployed_account(PRIVATE, "site-1", SiteStore(tmp_path / "run-1"))
    assert first is not None
    assert first.path == home.spending_path
    first.add([Gaussian(2.0, 0.5)])
    second = build.deployed_account(PRIVATE, "site-1", SiteStore(tmp_path / "run-2"))
    assert second is not None
    assert second.spent() == {Gaussian(2.0, 0.5): 1}
    assert second.data == "slide"


def test_a_budget_keeps_plans_without_a_claim_and_rounds_past_it_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = operator_of("site-1", set_up_sites(PLAIN, tmp_path, NAMES), monkeypatch)
    budget = '\n[budget]\nunit = "image"\nepsilon = 1e-4\ndelta = 1e-9\n'
    home.trust_path.write_text(home.trust_path.read_text() + budget)
    with pytest.raises(TrustError, match=r"has a privacy budget, and the plan claims no \(epsilon, delta\)"):
        opened(PLAIN, tmp_path)
    approve(home.trust_path, PRIVATE.digest())
    assert home.trust().budget is not None
    account = build.deployed_account(PRIVATE, "site-1", SiteStore(tmp_path / "run"))
    assert account is not None
    assert PRIVATE.guarantee is not None
    with pytest.raises(SiteError, match="budget for these data is spent"):
        account.check(PRIVATE.guarantee.events_of_round())


def test_where_nobody_set_up_a_site_its_account_lies_in_its_store(tmp_path: Path) -> None:
    store = SiteStore(tmp_path / "run")
    account = build.deployed_account(PRIVATE, "site-1", store)
    assert account is not None
    assert account.path == store.folder / "spending.json"
    assert account.budget is None


def test_seeded_noise_is_refused_in_a_deployment_and_not_in_a_study() -> None:
    seeded = tiny.private("each update", randomness="seed", data=SLIDE)
    seeded.check()
    with pytest.raises(PlanError, match=r"rule seeded-noise"):
        deployed(seeded, "site-1")
