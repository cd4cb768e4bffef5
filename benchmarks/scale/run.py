"""Whether a thousand sites on one machine cost a thousand times one site, and no more memory than ten."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from measure import Report, Row, Spread, finish, measured_json, options  # noqa: E402

SIZES = (10, 100, 1000)
REPEATS = 3
STEPS = 2
UPDATES = 500
MEMORY_LIMIT = 1.2
TIME_LIMIT = 1.1

Run = dict[str, Any]
"""What ``many_sites.py`` prints."""


def main() -> None:
    """Run every size in turn, and repeat."""
    chosen = options(__doc__ or "")
    repeats, steps, updates = (1, 1, 100) if chosen.quick else (REPEATS, STEPS, UPDATES)
    settings = {
        "network": "small_cnn at 28 px",
        "batch": 32,
        "steps per site and round": steps,
        "updates": f"at least {updates}",
    }
    report = Report("scale", settings | {"fabric": "LocalFabric in one process, one core", "repeats": repeats})
    found: list[dict[int, Run]] = []
    for _ in range(repeats):
        found.append({})
        for size in SIZES:
            rounds = max(1, updates // size)
            found[-1][size] = measured_json(HERE / "many_sites.py", str(size), str(rounds), str(steps))
    report.rows = compared(found) + [row for size in SIZES for row in alone(size, [runs[size] for runs in found])]
    report.samples = {"repetitions": found}
    finish(report, HERE, chosen)


def compared(found: list[dict[int, Run]]) -> list[Row]:
    """Compare the sizes, repetition by repetition."""
    small, middle, large = SIZES
    peaks = [runs[large]["peak_bytes"] / runs[small]["peak_bytes"] for runs in found]
    rows = [Row(f"peak memory, {large:,} sites ÷ {small}", Spread.of(peaks), "ratio", at_most=MEMORY_LIMIT)]
    for size in (middle, large):
        what = f"per site and round, {size:,} sites ÷ {small}"
        walls = [update_s(runs[size]) / update_s(runs[small]) for runs in found]
        rows.append(Row(f"seconds {what}", Spread.of(walls), "ratio", at_most=TIME_LIMIT))
        cpus = [update_s(runs[size], "cpu_s") / update_s(runs[small], "cpu_s") for runs in found]
        rows.append(Row(f"CPU seconds {what}", Spread.of(cpus), "ratio", note="less sensitive to other processes"))
    return rows


def alone(size: int, runs: list[Run]) -> list[Row]:
    """Describe one size."""
    mib = 2**20
    peaks = Spread.of([run["peak_bytes"] / mib for run in runs])
    data = f"{runs[0]['data_bytes'] / mib:.1f} MiB of it images"
    updates = Spread.of([1e3 * update_s(run) for run in runs])
    coordinator = [1e3 * (sum(run["round_s"]) - sum(run["sites_s"])) / len(run["round_s"]) / size for run in runs]
    first = [run["first_round_s"] - size * update_s(run) for run in runs]
    test = Spread.of([1e3 * run["test_s"] / size for run in runs])
    return [
        Row(f"{size:,} sites: peak memory", peaks, "MiB", note=data),
        Row(f"{size:,} sites: per site and round", updates, "ms"),
        Row(f"{size:,} sites: of it outside the site's work", Spread.of(coordinator), "ms"),
        Row(f"{size:,} sites: joining and the first round, beyond a later round", Spread.of(first)),
        Row(f"{size:,} sites: test at the end, per site", test, "ms"),
    ]


def update_s(run: Run, clock: str = "round_s") -> float:
    """Seconds per site and round, on the wall's clock or the processor's."""
    return statistics.median(run[clock]) / int(run["sites"])


if __name__ == "__main__":
    main()
