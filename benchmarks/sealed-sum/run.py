"""What it costs that nobody reads an update: wardround's frames beside TenSEAL as NVIDIA FLARE uses it."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from measure import Report, Row, Spread, finish, measured_json, options, run_child  # noqa: E402

REPEATS = 3
SITES = (3, 30, 100)
FASTER = {"encrypt": 6.0, "aggregate": 6.0, "decrypt": 8.0}
MOST_BYTES = {"packed-16": 3.9, "packed-8": 2.0}
MOST_STEPS = 1.0
MEMORY_LIMIT = 1.05
MB = 1e6

Run = dict[str, Any]
"""What ``frames.py`` or ``tenseal_vectors.py`` prints."""


@dataclass(frozen=True)
class Method:
    """One way to sum updates that nobody reads.

    Attributes:
        name: as the table shows it.
        script: that runs it.
        arguments: of the script, behind the model.
        once: run in the first repetition alone, because it is slow and carries no aim.
    """

    name: str
    script: str
    arguments: tuple[str, ...]
    once: bool = False


PEER, OURS = "flare", "packed-16"
METHODS = {
    PEER: Method("TenSEAL as NVFLARE uses it", "tenseal_vectors.py", ("60,40,40", "symmetric")),
    OURS: Method("packed, 16 bits, W 64", "frames.py", (OURS,)),
    "packed-8": Method("packed, 8 bits, W 8", "frames.py", ("packed-8",)),
    "packed-16-masks": Method("packed + masks, 16 bits, W 64", "frames.py", ("packed-16-masks",)),
    "masks-16": Method("masks alone, 16 bits, W 64", "frames.py", ("masks-16",)),
    "public": Method("TenSEAL's default, a public key", "tenseal_vectors.py", ("60,40,40", "public"), once=True),
    "published": Method("TenSEAL, [60,40,40,60]", "tenseal_vectors.py", ("60,40,40,60", "symmetric"), once=True),
    "ckks": Method("wardround ckks, [60,40,40,60]", "frames.py", ("ckks",), once=True),
}
"""What is compared, in the order of its turns."""

STEPS: dict[str, Callable[[Run], float]] = {
    "encrypt": lambda run: statistics.median(run["encrypt_s"]),
    "aggregate": lambda run: float(run["aggregate_s"]),
    "decrypt": lambda run: float(run["decrypt_s"]),
}
"""Seconds of the steps of one run: at a site, at the coordinator, at a site."""


def main() -> None:
    """Run every method in turn, and repeat."""
    chosen = options(__doc__ or "")
    values, added, repeats = (500_000, 400_000, 1) if chosen.quick else (0, 4_000_000, REPEATS)
    runs: dict[str, list[Run]] = {name: [] for name in METHODS}
    memory: list[dict[int, Run]] = []
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch) / "model.json"
        model.write_text(run_child([sys.executable, str(HERE / "network.py"), str(values)], 120)[2])
        count = num_values(json.loads(model.read_text()))
        report = Report("sealed-sum", settings(count, added, repeats))
        prepared = measured_json(HERE / "adding.py", "prepare", scratch, str(added))
        for index in range(repeats):
            for name, method in METHODS.items():
                if not (method.once and index):
                    runs[name].append(measured_json(HERE / method.script, str(model), *method.arguments))
            memory.append({n: measured_json(HERE / "adding.py", "add", scratch, str(added), str(n)) for n in SITES})
    check_equal(runs)
    report.rows = compared(runs, count) + peaks(memory, prepared["frames_bytes"])
    for name, found in runs.items():
        report.rows += alone(name, found, count)
    report.samples = {"methods": runs, "memory": memory, "prepared": prepared}
    finish(report, HERE, chosen)


def settings(count: int, added: int, repeats: int) -> dict[str, Any]:
    """Describe the amount of work."""
    once = ", ".join(method.name for method in METHODS.values() if method.once)
    return {
        "update": f"ResNet-50, {count:,} float32" if count > 10**7 else f"first {count:,} values of a ResNet-50",
        "sites": 3,
        "cores": 1,
        "repeats": f"{repeats} (1 of: {once})",
        "values for the peak of memory": f"{added:,}",
    }


def num_values(listed: Mapping[str, tuple[list[int], float]]) -> int:
    """Count the values of a model as ``network.py`` lists it."""
    total = 0
    for shape, _ in listed.values():
        size = 1
        for side in shape:
            size *= side
        total += size
    return total


def check_equal(runs: Mapping[str, Sequence[Run]]) -> None:
    """Refuse numbers of methods that do not compute the same mean, byte for byte."""
    found = {run["sha256"] for name in (OURS, "packed-16-masks", "masks-16") for run in runs[name]}
    if len(found) != 1:
        raise RuntimeError("packed, packed + masks and masks alone did not open to the same mean")


def compared(runs: Mapping[str, Sequence[Run]], count: int) -> list[Row]:
    """Compare with the peer repetition by repetition, and say what each value costs."""
    rows = []
    for other in (PEER, "public", "published"):
        for step, seconds in STEPS.items():
            ratios = [seconds(slow) / seconds(fast) for slow, fast in zip(runs[other], runs[OURS], strict=False)]
            what = f"{step}: {METHODS[other].name} ÷ {METHODS[OURS].name}"
            rows.append(Row(what, Spread.of(ratios), "ratio", at_least=FASTER[step] if other == PEER else None))
    for name, most in MOST_BYTES.items():
        sizes = Spread.of([run["upload_bytes"][0] / count for run in runs[name]])
        what = f"bytes per float, {METHODS[name].name}"
        rows.append(Row(what, sizes, "B", at_most=most, note=f"plaintext 4; {floors(runs[name][0])}"))
    return rows


def peaks(memory: Sequence[Mapping[int, Run]], frames_bytes: int) -> list[Row]:
    """Compare the coordinator's peaks of memory, repetition by repetition."""
    small = SITES[0]
    rows = []
    for sites in SITES[1:]:
        ratios = [runs[sites]["peak_bytes"] / runs[small]["peak_bytes"] for runs in memory]
        note = f"{sites} uploads together are {sites * frames_bytes / MB:.0f} MB"
        what = f"coordinator's peak memory, {sites} sites ÷ {small}"
        rows.append(Row(what, Spread.of(ratios), "ratio", at_most=MEMORY_LIMIT, note=note))
    found = Spread.of([runs[small]["peak_bytes"] / MB for runs in memory])
    before = statistics.median(runs[small]["before_bytes"] / MB for runs in memory)
    note = f"{before:.0f} MB of it before the first upload, {memory[0][small]['sum_bytes'] / MB:.0f} MB the sum"
    return [*rows, Row(f"coordinator's peak memory, {small} sites", found, "MB", note=note)]


def alone(name: str, found: Sequence[Run], count: int) -> list[Row]:
    """Describe one method."""
    first, called = found[0], METHODS[name].name
    encrypt = Spread.of([seconds for run in found for seconds in run["encrypt_s"]])
    exact = first["error_unit"] == "steps"
    errors = Spread.of([run["largest_error"] for run in found])
    down = Spread.of([run["sum_bytes"] / count for run in found])
    up = Spread.of([size / count for run in found for size in run["upload_bytes"]])
    up_note = f"{first['upload_bytes'][0] / MB:,.0f} MB" + (f"; {bounds}" if (bounds := floors(first)) else "")
    return [
        Row(f"{called}: encrypt, per site", encrypt, note=stages(found)),
        Row(f"{called}: up, per float", up, "B", note=up_note),
        Row(f"{called}: aggregate 3 uploads", Spread.of([run["aggregate_s"] for run in found]), note=contexts(found)),
        Row(f"{called}: down, per float", down, "B", note=f"{first['sum_bytes'] / MB:,.0f} MB"),
        Row(f"{called}: decrypt, per site", Spread.of([run["decrypt_s"] for run in found])),
        Row(
            f"{called}: largest error of the mean",
            errors,
            "steps" if exact else "absolute",
            at_most=MOST_STEPS if exact else None,
        ),
    ]


def floors(run: Run) -> str:
    """Say which bytes per value nothing can save: the payload's, and those of the lattice that hides it."""
    words = []
    if "payload_floor" in run:
        words.append(f"{run['payload_floor']:.3g} payload")
    if "lattice_floor" in run:
        words.append(f"{run['lattice_floor']:.3g} RLWE")
    return f"floor {', '.join(words)}" if words else ""


def stages(found: Sequence[Run]) -> str:
    """Say what a site's seconds go to, where that is known."""
    samples = [stage for run in found for stage in run.get("stages_s", [])]
    if not samples:
        return ""
    medians = {name: statistics.median(stage[name] for stage in samples) for name in samples[0]}
    return ", ".join(f"{name} {seconds:.2f}" for name, seconds in medians.items())


def contexts(found: Sequence[Run]) -> str:
    """Say what FLARE adds to TenSEAL's work, which is in no figure here."""
    if "context_bytes" not in found[0]:
        return ""
    seconds = 3 * statistics.median(run["context_read_s"] for run in found)
    return (
        f"not counted: FLARE sends the context with every tensor, +{found[0]['context_bytes'] / MB:,.0f} MB per upload "
        f"and +{seconds:.0f} s here"
    )


if __name__ == "__main__":
    main()
