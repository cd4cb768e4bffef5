"""``wardround --help`` answers at once."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

LIMIT_S = 0.4


@pytest.mark.slow
def test_help_takes_less_than_its_limit() -> None:
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run(
            [
                sys.executable,
                "-c",
                "import sys; sys.argv = ['wardround', '--help']; from wardround.cli.main import main; main()",
            ],
            check=True,
            capture_output=True,
        )
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < LIMIT_S, seconds
