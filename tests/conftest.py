"""What every test needs: one torch thread, and a way to the data that only some machines have."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from wardround.rounds.plan import Plan

# A busy machine is no defect: neither slow examples nor slow data fail a test.
settings.register_profile("wardround", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("wardround")

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True, scope="session")
def _one_torch_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder with HAM10000, PneumoniaMNIST and DICOM-RT samples; the test is skipped where it is absent."""
    root = Path(os.environ.get("WARDROUND_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not root.is_dir():
        pytest.skip(f"no test data: {root} is absent; set WARDROUND_TEST_DATA")
    return root


@pytest.fixture
def lift(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Take a rule out of the checker for this test, after looking that it refuses a plan."""
    from wardround.checker import RULES
    from wardround.errors import PlanError

    def lifted(rule: str, plan: Plan, num_trainers: int | None = None) -> None:
        with pytest.raises(PlanError) as refused:
            plan.check(num_trainers)
        assert refused.value.rule == rule
        monkeypatch.delitem(RULES, rule)
        plan.check(num_trainers)

    return lifted
