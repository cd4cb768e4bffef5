"""Every test decodes into a cache of its own, and finds the shared data, if there is any."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("WARDROUND_CACHE", str(folder))
    return folder


@pytest.fixture
def shared_data() -> Path:
    chosen = os.environ.get("WARDROUND_TEST_DATA")
    folder = Path(chosen) if chosen else Path(__file__).resolve().parents[4] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the shared test data are not at {folder}: set WARDROUND_TEST_DATA")
    return folder
