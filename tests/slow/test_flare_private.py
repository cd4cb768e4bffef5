"""A plan under a claim on FLARE: noise from the operating system, and each site's account charged on its own disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny

pytest.importorskip("nvflare.collab", reason="needs the extra [flare]")

from wardround.errors import RunError
from wardround.privacy import epsilon_of
from wardround.protect.home import Home
from wardround.rounds.listener import Silent
from wardround.rounds.plan import Plan
from wardround.rounds.spending import Account
from wardround.study import engines
from wardround.study.build import account_name
from wardround.study.folder import RunFolder

# FLARE's own threads die of the deprecation warnings of its dependencies where warnings are errors.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

SITES = ("site-1", "site-2", "site-3", "site-4")
ROUNDS, DELTA = 2, 1e-3
SEALED = [*tiny.SEALED[:-1], {"stage": "masks", "threshold": len(SITES)}]


def plan_of(randomness: str) -> Plan:
    return tiny.private(
        "shares under masks",
        randomness,
        rounds=ROUNDS,
        protect=SEALED,
        data={"stride_px": 16, "sites": {"by": "iid", "sites": len(SITES)}},
    )


def test_a_private_plan_completes_and_every_site_pays_on_its_own_disk(tmp_path: Path) -> None:
    plan = plan_of("system")
    folder = tmp_path / "flare" / "private"
    assert engines.choose("flare-poc", None)(plan, folder, None, False, Silent()) == folder
    run = RunFolder(folder)
    claim = run.summary()["privacy"]
    assert run.summary()["status"] == "done"
    assert claim["epsilon"] > 0
    assert (claim["delta"], claim["unit"]) == (DELTA, "image")
    assert len(run.records()) == ROUNDS
    for site in SITES:
        path = Home(run.store_root.absolute() / site / "home").spending_path
        spent = Account(path, account_name(plan), "image").spent()
        assert spent.total() == ROUNDS, site
        assert epsilon_of(spent, DELTA) == pytest.approx(claim["epsilon"])


def test_seeded_noise_is_refused_by_the_sites_and_nobody_pays(tmp_path: Path) -> None:
    """The control: whoever knows the seed could take the noise off."""
    folder = tmp_path / "flare" / "private"
    with pytest.raises(RunError, match="seeded-noise"):
        engines.choose("flare-poc", None)(plan_of("seed"), folder, None, False, Silent())
    assert RunFolder(folder).records() == []
    assert not list(tmp_path.rglob("spending.json"))
