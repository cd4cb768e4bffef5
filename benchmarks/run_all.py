"""Runs every benchmark, prints one table and writes it to ``results.md`` and ``results.json``; about twenty minutes."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from measure import QUIET, Report, Row, described, finish, options, read, run_child, table  # noqa: E402

BENCHMARKS = ("startup", "federation-cost", "scale", "engine-overhead", "sealed-sum", "split")
TIMEOUT_S = 1800.0


def main() -> int:
    """Run them one after the other; the exit code is 1 when one of them could not run."""
    chosen = options(__doc__ or "")
    whole = Report("benchmarks", {"thread settings": "one thread each", "OMP_NUM_THREADS": QUIET["OMP_NUM_THREADS"]})
    broken = 0
    with tempfile.TemporaryDirectory() as scratch:
        for name in BENCHMARKS:
            out = Path(scratch) / name if chosen.quick else chosen.out / name if chosen.out else HERE / name
            command = [sys.executable, str(HERE / name / "run.py"), "--out", str(out)]
            try:
                began, ended, _ = run_child([*command, "--quick"] if chosen.quick else command, TIMEOUT_S)
                report = read(out)
            except (RuntimeError, OSError, ValueError) as error:
                broken += 1
                whole.rows.append(Row(name, None, note=f"could not run: {error}"))
                continue
            whole.rows += [Row(**{**vars(row), "what": f"{name}: {row.what}"}) for row in report.rows]
            whole.samples[name] = {"seconds": ended - began, "machine": report.machine}
            print(
                f"## {name} ({ended - began:.0f} s)\n\n{described(report.machine)}\n\n{table(report.rows)}\n",
                flush=True,
            )
    verdicts = [row.verdict for row in whole.rows]
    print(", ".join(f"{verdicts.count(kind)} {kind}" for kind in ("met", "missed", "not measured")) + "\n")
    finish(whole, HERE, chosen)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
