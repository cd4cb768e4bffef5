"""What every benchmark needs: the machine in words, medians with their spread, verdicts, and processes that end."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

QUIET = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
"""Environment of every measured process: one thread of arithmetic, whatever libraries it loads."""

MARK = "WARDROUND_BENCHMARK"
"""Inherited by all that a benchmark starts, so that orphans in sessions of their own are found and ended."""


@dataclass(frozen=True)
class Spread:
    """Repetitions of one measurement.

    Attributes:
        median: of the samples.
        low: smallest sample.
        high: largest sample.
        count: number of samples.
    """

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        """Describe `samples`; at least one."""
        return cls(statistics.median(samples), min(samples), max(samples), len(samples))


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        what: was measured, in words.
        spread: of the repetitions; ``None`` where `note` says why there is no number.
        unit: of the numbers.
        at_most: the aim, an upper limit on the median; ``None`` where there is none.
        at_least: the aim, a lower limit on the median; ``None`` where there is none.
        note: what a reader has to know.
    """

    what: str
    spread: Spread | None
    unit: str = "s"
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """``met``, ``missed``, ``not measured``, or nothing where there is no aim."""
        if self.at_most is None and self.at_least is None:
            return "" if self.spread else "not measured"
        if self.spread is None:
            return "not measured"
        median = self.spread.median
        good = (self.at_most is None or median <= self.at_most) and (self.at_least is None or median >= self.at_least)
        return "met" if good else "missed"

    def cells(self) -> tuple[str, ...]:
        """Return the row as it is printed."""
        aim = f"≤ {self.at_most:g}" if self.at_most is not None else ""
        aim = f"≥ {self.at_least:g}" if self.at_least is not None else aim
        if self.spread is None:
            return (self.what, "–", "–", self.unit, aim, self.verdict, self.note)
        low, high = number(self.spread.low), number(self.spread.high)
        spread = f"{low}–{high} (n {self.spread.count})"
        return (self.what, number(self.spread.median), spread, self.unit, aim, self.verdict, self.note)


HEADER = ("measured", "median", "min–max", "unit", "aim", "verdict", "note")


def machine() -> dict[str, Any]:
    """Describe the machine by what decides its speed; nothing that identifies it."""
    packages = ("wardround", "torch", "numpy", "safetensors", "tenseal")
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "versions": {name: found for name in packages if (found := _version(name))},
        "load_before": round(os.getloadavg()[0], 2),
    }


@dataclass
class Report:
    """What one benchmark found.

    Attributes:
        name: of the benchmark.
        settings: what decided the amount of work.
        rows: of the table.
        samples: raw numbers, by what was measured.
    """

    name: str
    settings: Mapping[str, Any]
    rows: list[Row] = field(default_factory=list)
    samples: dict[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=machine)

    def markdown(self) -> str:
        """Return the table and the machine."""
        return (
            f"# {self.name}\n\n{described(self.machine)}\n\nSettings: {listed(self.settings)}.\n\n{table(self.rows)}\n"
        )

    def write(self, folder: Path) -> None:
        """Write ``results.json`` and ``results.md``."""
        folder.mkdir(parents=True, exist_ok=True)
        values = {**asdict(self), "rows": [{**asdict(row), "verdict": row.verdict} for row in self.rows]}
        (folder / "results.json").write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n")
        (folder / "results.md").write_text(self.markdown())


def read(folder: Path) -> Report:
    """Read what `Report.write` wrote."""
    values = json.loads((folder / "results.json").read_text())
    rows = []
    for row in values.pop("rows"):
        row.pop("verdict")
        spread = row.pop("spread")
        rows.append(Row(spread=Spread(**spread) if spread else None, **row))
    return Report(rows=rows, **values)


def table(rows: Sequence[Row]) -> str:
    """Return a markdown table."""
    lines = [HEADER, tuple("---" for _ in HEADER), *(row.cells() for row in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def number(value: float) -> str:
    """Write a number with three significant digits."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def described(facts: Mapping[str, Any]) -> str:
    """Return the machine as one sentence."""
    versions = ", ".join(f"{name} {found}" for name, found in facts["versions"].items())
    return (
        f"{facts['cpu']}, {facts['cores']} cores, {facts['memory_gib']} GiB, {facts['system']}, "
        f"Python {facts['python']}, {versions}; load average before the run {facts['load_before']}."
    )


def listed(settings: Mapping[str, Any]) -> str:
    """Return settings as one line."""
    return ", ".join(f"{name} = {value}" for name, value in settings.items())


def options(description: str) -> argparse.Namespace:
    """Read the command line that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="a minute of tiny settings, to see that it works")
    parser.add_argument("--out", type=Path, help="where results go; the benchmark's own folder if not given")
    return parser.parse_args()


def finish(report: Report, folder: Path, chosen: argparse.Namespace) -> None:
    """Print a report and write it; a quick one goes to its own folder only when ``--out`` says so."""
    print(report.markdown())
    if chosen.out or not chosen.quick:
        report.write(chosen.out or folder)


def run_child(
    command: Sequence[str], timeout_s: float, folder: Path | None = None, **environment: str
) -> tuple[float, float, str]:
    """Run a process to its end, and end whatever it leaves behind.

    Args:
        command: program and arguments.
        timeout_s: longest it may take.
        folder: working folder; this process's own if not given.
        environment: further variables.

    Returns:
        Seconds on the monotonic clock (the same in every process of a machine) at its start and at its end, and what
        it wrote to stdout.

    Raises:
        RuntimeError: it failed or took too long; the message ends with the last lines it wrote.
    """
    mark = uuid.uuid4().hex
    told = {**os.environ, **QUIET, **environment, MARK: mark}
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        began = time.monotonic()
        child = subprocess.Popen(
            command, env=told, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
        )
        try:
            status = child.wait(timeout_s)
            ended = time.monotonic()
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"it took longer than {timeout_s:g} s") from None
        finally:
            end_marked(mark)
            child.wait()
        said = [stream.seek(0) or stream.read() for stream in (out, err)]
    if status:
        raise RuntimeError(f"it ended with {status}: {' '.join(''.join(said).splitlines()[-3:])[-300:]}")
    return began, ended, said[0]


def end_marked(mark: str) -> None:
    """Kill every process whose environment carries `mark`."""
    wanted = f"{MARK}={mark}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                os.kill(int(entry.name), signal.SIGKILL)
        except (OSError, ProcessLookupError):
            continue  # it ended by itself, or is not ours to look at


def measured_json(script: Path, *arguments: str, timeout_s: float = 600) -> Any:
    """Run one of a benchmark's own scripts in a fresh interpreter and read the JSON on its last line."""
    out = run_child([sys.executable, str(script), *arguments], timeout_s)[2]
    return json.loads(out.splitlines()[-1])


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
