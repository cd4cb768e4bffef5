"""The same plan gives the same bytes on FLARE, also when a site is killed in the middle of a round."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import tiny
from terminal import wardround

pytest.importorskip("nvflare.collab", reason="needs the extra [flare]")
import psutil

from wardround.fabric.flare.job import RUNS
from wardround.protect.home import HOME, Home
from wardround.protect.trust import Trust
from wardround.rounds.listener import Silent
from wardround.rounds.plan import Plan
from wardround.rounds.record import RoundRecord
from wardround.study import engines
from wardround.study.audit import audit
from wardround.study.folder import RunFolder
from wardround.study.rehearsal import set_up_sites
from wardround.study.run import train
from wardround.study.spec import parse, to_table, to_toml

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

SEALED = tiny.PIPELINES["packed and masked"]
NAMES = ("site-1", "site-2", "site-3")
VICTIM = NAMES[1]
FRAME = "frame-*-000001-*.bin"  # what a site sends in the round after the first


COMPRESSED = [tiny.TOPK, tiny.INT8]


def plan_of(protect: list[dict[str, Any]], algorithm: str = "scaffold") -> Plan:
    return parse(
        {
            "name": "parity",
            "seed": 5,
            "rounds": 3,
            "data": {"sites": {"by": "iid", "sites": 3}},
            "model": {"dropout": 0.2},
            "algorithm": {"name": algorithm},
            "training": {"epochs": 0.5},
            "evaluation": {"every": 2, "bootstrap": 20},
            "protect": protect,
        }
    )


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


class Kills(Silent):
    """Kills a site in the second round: at once, or when it has written its masked and encrypted update.

    Attributes:
        frames: file -> contents that it had, of every frame of that round.
    """

    def __init__(self, folder: Path, after: str) -> None:
        self.stores = RunFolder(folder).store_root
        self.runs = folder.parent
        self.after = after
        self.frames: dict[Path, set[bytes]] = {}
        self.watch = threading.Thread(target=self._strike, daemon=True)
        self.ended = threading.Event()

    def completed(self, record: RoundRecord) -> None:
        if record.round == 0:
            self.watch.start()
        if record.round == 1:
            self.ended.set()

    def _strike(self) -> None:
        victim = next(p for p in site_processes(self.runs) if VICTIM in p.cmdline())
        while self.after == "upload" and not (self.ended.is_set() or any(VICTIM in path.parts for path in self.frames)):
            self._look()
        os.kill(victim.pid, signal.SIGKILL)
        while not self.ended.is_set():
            self._look()

    def _look(self) -> None:
        for path in self.stores.rglob(FRAME):
            with contextlib.suppress(FileNotFoundError):
                self.frames.setdefault(path, set()).add(path.read_bytes())
        time.sleep(0.002)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Plan], bytes]:
    """What the local engine makes of a plan, once."""
    folder = tmp_path_factory.mktemp("local")

    def model(plan: Plan) -> bytes:
        return (train(plan, folder / plan.digest(), workers=0, resume=True) / "model.safetensors").read_bytes()

    return model


@pytest.mark.parametrize(
    ("protect", "killed_after"),
    [([], ""), ([], "round"), (SEALED, ""), (SEALED, "round"), (SEALED, "upload")],
    ids=["plain", "plain-killed", "sealed", "sealed-killed", "sealed-killed-after-upload"],
)
def test_flare_gives_the_bytes_of_the_local_fabric(
    tmp_path: Path, local: Callable[[Plan], bytes], protect: list[dict[str, Any]], killed_after: str
) -> None:
    plan = plan_of(protect)
    folder = tmp_path / "flare" / "parity"
    listener = Kills(folder, killed_after) if killed_after else Silent()
    assert engines.choose("flare-poc", None)(plan, folder, None, False, listener) == folder
    assert (folder / "model.safetensors").read_bytes() == local(plan)
    assert ("job 2 resumed the run" in (folder / "rounds.jsonl").read_text()) == bool(killed_after)
    assert site_processes(folder.parent) == []
    proved = audit(folder, folder / "roster.json" if protect else None)
    assert proved.remarks == ()
    if protect:
        assert proved.endorsed[proved.checkpoint.size].is_final
    if isinstance(listener, Kills) and protect:
        assert sorted(path.parts[-2] for path in listener.frames) == list(NAMES), "one frame a site, in one attempt"
        assert {len(contents) for contents in listener.frames.values()} == {1}, "the same bytes again"


def test_sums_of_groups_are_the_same_on_flare(tmp_path: Path, local: Callable[[Plan], bytes]) -> None:
    masks = [*tiny.PIPELINES["quantised"], {"stage": "masks"}]
    table = {**to_table(plan_of(masks)), "groups": {"size": 2}, "screen": [{"name": "group_evidence"}]}
    plan = parse({**table, "data": {**table["data"], "sites": {"by": "iid", "sites": 4}}})
    folder = tmp_path / "flare" / "parity"
    assert engines.choose("flare-poc", None)(plan, folder, None, False, Silent()) == folder
    assert (folder / "model.safetensors").read_bytes() == local(plan)
    assert all(len(record.groups) == 2 for record in RunFolder(folder).records())
    assert audit(folder, folder / "roster.json").remarks == ()


def test_a_residual_outlives_a_site_that_is_killed(tmp_path: Path, local: Callable[[Plan], bytes]) -> None:
    plan = plan_of(COMPRESSED, "fedavg")
    folder = tmp_path / "flare" / "parity"
    assert engines.choose("flare-poc", None)(plan, folder, None, False, Kills(folder, "round")) == folder
    assert (folder / "model.safetensors").read_bytes() == local(plan)
    assert "job 2 resumed the run" in (folder / "rounds.jsonl").read_text()


def unapproved(homes: Mapping[str, Home]) -> str:
    """site-2's operator never approved the plan."""
    trust = homes["site-2"].trust()
    Trust(trust.site, (), trust.peers).write(homes["site-2"].trust_path)
    return "site site-2 could not join: the operator of site site-2 has not approved the plan with digest"


def swapped(homes: Mapping[str, Home]) -> str:
    """site-1 knows site-2 by other keys than those it shows."""
    trust = homes["site-1"].trust()
    shown, known = trust.peers["site-2"], "ab" * 32
    Trust(trust.site, trust.plans, {**trust.peers, "site-2": known}).write(homes["site-1"].trust_path)
    return (
        f"site site-1 could not agree on keys: site-2 shows fingerprint {shown}, but site site-1 trusts {known}: "
        "somebody stands in between"
    )


@pytest.mark.parametrize("distrust", [unapproved, swapped])
def test_what_a_site_does_not_trust_ends_the_run_by_name(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    distrust: Callable[[Mapping[str, Home]], str],
) -> None:
    expected: list[str] = []

    def set_up(plan: Plan, store_root: Path, names: Iterable[str]) -> dict[str, Mapping[str, str]]:
        environments = set_up_sites(plan, store_root, names)
        expected.append(distrust({site: Home(Path(one[HOME])) for site, one in environments.items()}))
        return environments

    monkeypatch.setattr(engines, "set_up_sites", set_up)
    (tmp_path / "plan.toml").write_text(to_toml(plan_of(SEALED)))
    run = tmp_path / "run"
    said = wardround(capsys, "train", tmp_path / "plan.toml", "--engine", "flare-poc", "--out", run)
    assert said.code == 1
    assert said.err.splitlines()[-1].startswith(f"wardround: {expected[0]}")
    assert RunFolder(run).summary()["reason"].startswith(expected[0])
    assert RunFolder(run).records() == []
    assert not list(tmp_path.rglob("frame-*"))
    assert (tmp_path / "run.flare-logs" / "job-1").is_dir()
    assert site_processes(tmp_path) == []
