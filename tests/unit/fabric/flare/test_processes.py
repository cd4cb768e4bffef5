"""Nothing that the launcher started outlives it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

psutil = pytest.importorskip("psutil", reason="needs the extra [flare]")

from wardround.fabric.flare.processes import Family, marked  # noqa: E402

SCRIPT = """\
echo started "$WORDS"
setsid sleep 60 &
setsid bash -c 'sleep 61 & disown; exit' &
exec sleep 62
"""


def kit(folder: Path, script: str = SCRIPT) -> Path:
    startup = folder / "kit" / "startup"
    startup.mkdir(parents=True)
    (startup / "sub_start.sh").write_text(script)
    return folder / "kit"


def wait_until(true: object, timeout_s: float = 5.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if true():  # type: ignore[operator]
            return True
        time.sleep(0.05)
    return False


def test_the_whole_family_ends_orphans_and_other_sessions_included(tmp_path: Path) -> None:
    workspace = tmp_path / "private"
    workspace.mkdir()
    with Family(workspace) as family:
        family.start("a", kit(tmp_path), {"WORDS": "here"})
        mark = family._mark
        assert wait_until(lambda: len(marked(mark)) == 3)
        assert family.ended() == ()
        assert "started here" in family.log("a").read_text()
        family.keep_logs(tmp_path / "kept")
    assert marked(mark) == []
    assert not workspace.exists()
    assert "started here" in (tmp_path / "kept" / "a.log").read_text()


def test_a_party_that_ends_is_noticed_until_it_is_forgotten(tmp_path: Path) -> None:
    with Family(tmp_path) as family:
        family.start("a", kit(tmp_path, "exit 3"), {})
        assert wait_until(lambda: family.ended() == ("a",))
        family.forget("a")
        assert family.ended() == ()


def test_a_launcher_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    workspace = tmp_path / "private"
    workspace.mkdir()
    launcher = f"""
import time
from pathlib import Path
from wardround.fabric.flare.processes import Family
with Family(Path({str(workspace)!r})) as family:
    family.start("a", Path({str(kit(tmp_path))!r}), {{}})
    print(family._mark, flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", launcher], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    mark = process.stdout.readline().strip()
    assert wait_until(lambda: len(marked(mark)) == 3)
    process.kill()
    process.wait()
    process.stdout.close()
    assert wait_until(lambda: not marked(mark) and not workspace.exists())
