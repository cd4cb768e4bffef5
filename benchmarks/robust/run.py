"""CPU seconds and memory of robust aggregation, 10 updates of 23.5 million weights, here and in Flower."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from measure import Report, Row, Spread, finish, measured_json, options  # noqa: E402

SITES, REPEATS = 10, 1
OURS = ("mean", "median", "trimmed mean", "krum", "geometric median")
THEIRS = ("mean", "median", "trimmed mean", "krum")
PASSES = {"median": 1, "trimmed mean": 1, "krum": 2, "geometric median": 2}
"""Rule -> passes over the updates: distances need one before the sum."""


def main() -> None:
    """Measure each rule in a process of its own, one after the other."""
    chosen = options(__doc__ or "")
    repeats = 1 if chosen.quick else REPEATS
    report = Report("robust", {"sites": SITES, "weights": "2.35 M" if chosen.quick else "23.5 M", "repeats": repeats})
    found = {}
    for library, rules in (("wardround", OURS), ("flower", THEIRS)):
        for rule in rules:
            said = measured_json(HERE / "once.py", library, rule, str(SITES), str(int(chosen.quick)), str(repeats))
            found[library, rule] = said
            report.samples[f"{library}, {rule}"] = said
            extra = said["peak_mib"] / said["held_mib"]
            note = f"peak memory {said['peak_mib']:,.0f} MiB, {extra:.2f} × that with the updates loaded"
            report.rows.append(Row(f"{library}, {rule}", Spread.of(said["seconds"]), unit="CPU s", note=note))
    plain = Spread.of(found["wardround", "mean"]["seconds"]).median
    for rule, passes in PASSES.items():
        per_pass = [seconds / passes / plain for seconds in found["wardround", rule]["seconds"]]
        report.rows.append(Row(f"{rule} / mean, per pass", Spread.of(per_pass), unit="×", at_most=2))
        memory = found["wardround", rule]["peak_mib"] / found["wardround", rule]["held_mib"]
        report.rows.append(Row(f"{rule}, peak memory / loaded", Spread.of([memory]), unit="×", at_most=2))
    for rule in THEIRS:
        ratio = Spread.of(found["flower", rule]["seconds"]).median
        ratio /= Spread.of(found["wardround", rule]["seconds"]).median
        apart = abs(found["flower", rule]["check"] / found["wardround", rule]["check"] - 1)
        note = f"results agree to {apart:.0e}"
        report.rows.append(Row(f"flower / wardround, {rule}", Spread.of([ratio]), unit="×", note=note))
    finish(report, HERE, chosen)


if __name__ == "__main__":
    main()
