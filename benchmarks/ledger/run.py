"""What it costs that every round can be proved afterwards: entries, proofs, and the rounds that the sites co-sign."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from measure import Report, Row, Spread, finish, measured_json, options  # noqa: E402

REPEATS = 3
ENTRIES = 10**7
BATCHES = (1, 10, 100, 1000)
ENTRIES_PER_S = 20_000
PROOF_BYTES = 1023
"""Less than 1 KiB."""
VERIFY_MS = 1.0
ROUNDS = 20
LEDGER_SHARE = 0.01
DISK_BYTES = 2048

Run = dict[str, Any]
"""What ``appending.py`` or ``proving.py`` prints."""


def main() -> None:
    """Run both scripts in turn, and repeat."""
    chosen = options(__doc__ or "")
    repeats, entries, share = (1, 10**5, 0.1) if chosen.quick else (REPEATS, ENTRIES, 1.0)
    report = Report("ledger", {"bytes of an entry": 200, "entries of the tree": f"{entries:,}", "repeats": repeats})
    appending: list[Run] = []
    proving: list[Run] = []
    signing: list[Run] = []
    for _ in range(repeats):
        appending.append(measured_json(HERE / "appending.py", str(HERE), str(share)))
        proving.append(measured_json(HERE / "proving.py", str(entries)))
        signing.append(measured_json(HERE / "cosigned_rounds.py", str(max(3, round(share * ROUNDS)))))
    report.rows = appended(appending) + proved(proving, entries) + signed(signing)
    report.samples = {"appending": appending, "proving": proving, "signing": signing}
    finish(report, HERE, chosen)


def appended(runs: Sequence[Run]) -> list[Row]:
    """Describe the log on disk."""
    rows = [Row("a write of 220 KB and its fsync, without a log", spread(runs, "wait_s", 1e3), "ms")]
    for size in BATCHES:
        aim = ENTRIES_PER_S if size == BATCHES[-1] else None
        what = f"appended, {size:,} to a batch, one fsync each"
        rows.append(Row(what, spread(runs, f"entries_per_s_{size}"), "entries/s", at_least=aim))
    note = "opened, every entry checked, the tree built"
    return [*rows, Row("read", spread(runs, "read_per_s"), "entries/s", note=note)]


def proved(runs: Sequence[Run], entries: int) -> list[Row]:
    """Describe the proofs."""
    rows = []
    for kind in ("inclusion", "consistency"):
        what = f"{kind} in {entries:,} entries"
        slowest = 1e3 * max(run[f"{kind}_slowest_check_s"] for run in runs)
        rows += [
            Row(f"{what}: longest proof", spread(runs, f"{kind}_bytes"), "bytes", at_most=PROOF_BYTES),
            Row(
                f"{what}: verify",
                spread(runs, f"{kind}_check_s", 1e3),
                "ms",
                at_most=VERIFY_MS,
                note=f"the slowest of all took {slowest:.3g} ms",
            ),
            Row(f"{what}: make", spread(runs, f"{kind}_make_s", 1e3), "ms"),
        ]
    rows.append(Row(f"grow a tree of {entries:,} from leaf hashes", spread(runs, "grow_s")))
    return [*rows, Row("peak memory of that", spread(runs, "peak_bytes", 2**-20), "MiB")]


def signed(runs: Sequence[Run]) -> list[Row]:
    """Describe rounds that four sites co-sign."""
    rows = []
    for kind in runs[0]:
        chosen = [run[kind] for run in runs]
        share = Spread.of([one["ledger_s"] / one["round_s"] for one in chosen])
        rows.append(Row(f"{kind}: ledger as a share of the round", share, "of 1", at_most=LEDGER_SHARE))
        rows.append(Row(f"{kind}: ledger a round, all four sites", spread(chosen, "ledger_s", 1e3), "ms"))
        if kind.startswith("sites"):
            rows.append(Row(f"{kind}: ledger of the first round", spread(chosen, "first_ledger_s", 1e3), "ms"))
        limit = DISK_BYTES if kind.startswith("sites") else None
        rows.append(
            Row(f"{kind}: on disk, site and round", spread(chosen, "disk_bytes_site_round"), "bytes", at_most=limit)
        )
        rows.append(Row(f"{kind}: up, site and round", spread(chosen, "up_bytes_site_round"), "bytes"))
        rows.append(Row(f"{kind}: down, site and round", spread(chosen, "down_bytes_site_round"), "bytes"))
    return rows


def spread(runs: Sequence[Run], name: str, factor: float = 1.0) -> Spread:
    """Return one figure of all runs."""
    return Spread.of([run[name] * factor for run in runs])


if __name__ == "__main__":
    main()
