"""What an engine costs before and between the work: one no-op job on ours, on Flower and on NVIDIA FLARE."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from measure import Report, Row, Spread, finish, options, run_child  # noqa: E402
from peers import ENGINES, OURS, PEERS, Engine, confined  # noqa: E402

REPEATS = 3
OURS_PER_PEER = 3
AT_LEAST = 20.0
TIMEOUT_S = 180.0
KINDS = ("start-up", "round", "total")

Times = dict[str, list[float]]
"""Kind of time -> seconds."""


def main() -> None:
    """Run all engines in turn, several times."""
    chosen = options(__doc__ or "")
    repeats = 1 if chosen.quick else REPEATS
    report = Report("engine-overhead", {"sites": 4, "rounds": 3, "array": "1 MiB float32 each way", "repeats": repeats})
    # repeats[i][engine] holds one repetition's times, so that ratios compare what ran next to each other.
    found: list[dict[str, Times]] = []
    failures: dict[str, str] = {}
    versions = {peer.name: installed(peer, failures) for peer in PEERS}
    for _ in range(repeats):
        found.append({})
        for peer in PEERS:
            for engine in [*OURS * OURS_PER_PEER, peer]:
                measure(engine, found[-1], failures)
    for engine in (*OURS, *PEERS):
        note = failures.get(engine.name) or versions.get(engine.name, "")
        report.rows += rows(engine.name, found, note)
    for peer in PEERS:
        for ours in OURS:
            report.rows += ratios(peer.name, ours.name, found, failures.get(peer.name, ""))
    report.samples = {"repetitions": found, "failures": failures, "versions": versions}
    finish(report, HERE, chosen)


def installed(engine: Engine, failures: dict[str, str]) -> str:
    """Install an engine before anything is timed; a reason goes to `failures`."""
    try:
        return engine.version()
    except (RuntimeError, OSError) as error:
        failures[engine.name] = f"cannot be installed here: {error}"
        return ""


def measure(engine: Engine, times: dict[str, Times], failures: dict[str, str]) -> None:
    """Run the job once and note its times; an engine that failed once is left alone."""
    if engine.name in failures:
        return
    try:
        once = run_once(engine)
    except (RuntimeError, OSError) as error:
        failures[engine.name] = f"does not run here: {error}"
        return
    for kind, seconds in once.items():
        times.setdefault(engine.name, {}).setdefault(kind, []).extend(seconds)


def run_once(engine: Engine) -> Times:
    """Run the job in a fresh process.

    Engines start lazily: several of them have the first round wait for their workers. So start-up ends with the first
    round, less what a later round takes.
    """
    with tempfile.TemporaryDirectory(prefix="noop-") as scratch:
        timeline = Path(scratch) / "timeline.json"
        environment = {
            **engine.environment,
            "NOOP_TIMELINE": str(timeline),
            "PYTHONPATH": str(ENGINES),
            "TMPDIR": scratch,
            "RAY_TMPDIR": scratch,
            "FLWR_HOME": scratch,
        }
        command = confined([str(engine.python()), str(ENGINES / engine.script)])
        began, ended, _ = run_child(command, TIMEOUT_S, Path(scratch), **environment)
        rounds = json.loads(timeline.read_text())
    later = [end - begin for begin, end in rounds[1:]]
    return {
        "start-up": [rounds[0][1] - began - statistics.median(later)],
        "round": later,
        "total": [ended - began],
    }


def rows(name: str, found: list[dict[str, Times]], note: str) -> list[Row]:
    """Return an engine's own times."""
    samples: Times = {kind: [s for times in found for s in times.get(name, {}).get(kind, [])] for kind in KINDS}
    if not all(samples.values()):
        return [Row(name, None, note=note)]
    return [Row(f"{name}: {kind}", Spread.of(samples[kind]), note=note) for kind in KINDS]


def ratios(peer: str, ours: str, found: list[dict[str, Times]], note: str) -> list[Row]:
    """Compare medians, repetition by repetition."""
    both = [(times[peer], times[ours]) for times in found if peer in times and ours in times]
    result = []
    for kind in ("start-up", "round"):
        samples = [statistics.median(a[kind]) / statistics.median(b[kind]) for a, b in both]
        spread = Spread.of(samples) if samples else None
        result.append(Row(f"{peer} ÷ {ours}: {kind}", spread, "ratio", at_least=AT_LEAST, note=note))
    return result


if __name__ == "__main__":
    main()
