"""More than 100,000 damaged frames, keys, shares, lists and calls: refused by name, and the rounds go on.

All of it happens in a process of its own (`parties/hostile_bodies.py`), so that a crash in native code is seen.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[1]
PARTIES = (TESTS, TESTS / "slow" / "parties", TESTS / "unit" / "protect")
SEED = "2026"
LEAST = 100_000
NAMED = {"WireError", "SiteError", "TrustError", "PlanError", "RunError", "QuorumLost"}


def ended(code: str) -> subprocess.CompletedProcess[str]:
    """Run `code` among the hostile parties, and wait for its end."""
    path = os.pathsep.join([*map(str, PARTIES), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    command = [sys.executable, "-c", code, SEED]
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=1800, env=environment, check=False)


def test_hostile_bytes_are_refused_by_name_and_the_rounds_go_on() -> None:
    began = time.perf_counter()
    process = ended("from hostile_bodies import main; main()")
    assert process.returncode == 0, f"ended with {process.returncode}\n{process.stderr}"
    counts = json.loads(process.stdout.splitlines()[-1])
    for kind, count in counts.items():
        print(f"{kind:45} {count['tried']:6} tried {count['refused']:6} refused  {count['errors']}")
    tried = sum(count["tried"] for count in counts.values())
    refused = sum(count["refused"] for count in counts.values())
    print(f"{tried} mutations of {len(counts)} kinds, {refused} refused, {time.perf_counter() - began:.0f} s")
    assert tried >= LEAST
    assert tried // 2 < refused < tried
    assert {name for count in counts.values() for name in count["errors"]} <= NAMED
    of_bytes = {kind: count for kind, count in counts.items() if ":" not in kind}
    assert sum(count["tried"] for count in of_bytes.values()) > LEAST // 2
    assert all(count["refused"] > count["tried"] // 2 for count in of_bytes.values())


def test_a_native_crash_would_be_seen() -> None:
    process = ended("import faulthandler; faulthandler._sigsegv()")
    assert process.returncode == -signal.SIGSEGV


def test_an_error_without_a_name_would_be_seen() -> None:
    process = ended(
        "from hostile_bytes import *; hammer(Kind('a table', 9, [b'good'], {b'good': 0}.__getitem__), 'seed')"
    )
    assert process.returncode == 1
    assert "KeyError" in process.stderr
