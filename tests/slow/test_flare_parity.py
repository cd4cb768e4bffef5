"""The same plan gives the same bytes on FLARE, also when a site is killed in the middle of a round."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nvflare.collab", reason="needs the extra [flare]")
import psutil

from wardround.fabric.flare.job import RUNS
from wardround.fabric.flare.poc import Loopback, launch_poc
from wardround.study.build import sites_of
from wardround.study.run import train
from wardround.study.spec import load, to_json

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

PLAN = """\
name = "parity"
seed = 5
rounds = 4
[model]
dropout = 0.2
[algorithm]
name = "scaffold"
[training]
epochs = 0.5
[evaluation]
every = 2
bootstrap = 20
"""


def site_processes(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            ours = process.environ().get(RUNS) == str(folder)
            if ours and any("worker_process" in word for word in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize("killed", [False, True])
def test_flare_gives_the_bytes_of_the_local_fabric(tmp_path: Path, killed: bool) -> None:
    (tmp_path / "plan.toml").write_text(PLAN)
    plan = load(tmp_path / "plan.toml")
    local = train(plan, tmp_path / "local", workers=0)
    folder = tmp_path / "flare" / "parity"
    folder.parent.mkdir()

    def on_progress(line: dict[str, Any]) -> None:
        if killed and line["round"] == 0 and not struck:
            struck.append(site_processes(folder.parent)[0].pid)
            os.kill(struck[0], signal.SIGKILL)

    struck: list[int] = []
    loopback = Loopback(tuple(sites_of(plan, None)), folder, environment={"OMP_NUM_THREADS": "1"})
    finished = launch_poc(to_json(plan), loopback, on_progress=on_progress)
    assert len(finished.mended) == len(struck) == int(killed)
    assert (folder / "model.safetensors").read_bytes() == (local / "model.safetensors").read_bytes()
    assert ("job 2 resumed the run" in (folder / "rounds.jsonl").read_text()) == killed
    assert site_processes(folder.parent) == []
