"""What a cut costs: a split step beside the whole one, heads and tails under seal, and a site's share of the work."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from measure import Report, Row, Spread, finish, measured_json, options  # noqa: E402

REPEATS, STEPS, ROUNDS = 3, 20, 4
WAYS = ("whole", "split", "split, encoded", "split, bf16, encoded", "split, int8, encoded")
PATCHES = (8, 3, 64, 64)


def main() -> None:
    """Measure in turn, so that a busy moment of the machine hits all ways alike."""
    chosen = options(__doc__ or "")
    repeats, steps, rounds = (1, 3, 2) if chosen.quick else (REPEATS, STEPS, ROUNDS)
    report = Report("split", {"repeats": repeats, "steps a round": steps, "rounds": rounds})
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for _ in range(repeats):
        for way in WAYS:
            found[way].append(measured_json(HERE / "step.py", way, str(steps), str(rounds)))
    report.samples["step"] = found
    report.rows += steps_table(found)
    report.rows += sealed_table(report, 1 if chosen.quick else 3)
    report.rows += shares_table()
    report.rows += memory_table(report, repeats)
    report.rows += flare_table(report, steps, rounds)
    finish(report, HERE, chosen)


def steps_table(found: dict[str, list[dict[str, Any]]]) -> list[Row]:
    """Return seconds, memory and bytes of a step; ratios are of the runs of one turn."""
    rows = []
    for way, runs in found.items():
        rows.append(Row(f"a step, {way}", Spread.of([1e3 * s for run in runs for s in run["step_s"]]), "ms"))
    for way, most in (("split", 1.05), ("split, encoded", 1.3), ("split, int8, encoded", None)):
        pairs = list(zip(found[way], found["whole"], strict=True))
        quick = [min(run["step_s"]) / min(whole["step_s"]) for run, whole in pairs]
        rows.append(Row(f"time, {way} / whole", Spread.of(quick), "×", at_most=most, note="fastest round of each"))
        memory = [run["peak_mb"] / whole["peak_mb"] for run, whole in pairs]
        rows.append(Row(f"peak memory, {way} / whole", Spread.of(memory), "×", at_most=1.05))
    for way in WAYS[2:]:
        sizes = [run["step_bytes"] / 1e6 for run in found[way]]
        rows.append(Row(f"over the cut in a step, {way}", Spread.of(sizes), "MB"))
    quarter = [a["step_bytes"] / b["step_bytes"] for a, b in zip(found[WAYS[4]], found[WAYS[2]], strict=True)]
    scales = "a scale for each channel comes on top"
    rows.append(Row("bytes, int8 / float32", Spread.of(quarter), "×", at_most=0.25, note=scales))
    same = {run["model"] for way in WAYS[:3] for run in found[way]}
    rows.append(Row("different models of whole, split and encoded", Spread.of([len(same)]), "models", at_most=1))
    return rows


def sealed_table(report: Report, repeats: int) -> list[Row]:
    """Return seconds of the sealed mean of four heads and tails, both ways."""
    ours = [measured_json(HERE / "seal.py", "packed") for _ in range(repeats)]
    report.samples["packed"] = ours
    bits = f"{ours[0]['bits']} bits of security"
    rows = [
        Row("four heads and tails under seal, packed", Spread.of([run["seconds"] for run in ours]), note=bits),
        Row("its error", Spread.of([run["error_steps"] for run in ours]), "steps", at_most=1.0),
    ]
    try:
        theirs = [measured_json(HERE / "seal.py", "paillier") for _ in range(repeats)]
    except RuntimeError as error:
        return [*rows, Row("Paillier, element by element", None, at_least=100, note=f"needs phe: {error}")]
    report.samples["paillier"] = theirs
    times = [b["seconds"] / a["seconds"] for a, b in zip(ours, theirs, strict=True)]
    sizes = [b["upload_bytes"] / a["upload_bytes"] for a, b in zip(ours, theirs, strict=True)]
    return [
        *rows,
        Row("the same, Paillier of 512 bits, element by element", Spread.of([run["seconds"] for run in theirs])),
        Row("Paillier / packed, time", Spread.of(times), "×", at_least=100),
        Row("Paillier / packed, bytes", Spread.of(sizes), "×"),
    ]


def shares_table() -> list[Row]:
    """Return what a site does of a U-Net 16–128, by cut depth."""
    import torch

    from wardround.tasks.models.costs import site_costs, whole_costs
    from wardround.tasks.models.unet import UNet

    network, images = UNet().build(3, 1), torch.zeros(PATCHES)
    whole = whole_costs(network, images)
    rows = []
    for depth in (1, 2, 3):
        share = site_costs(network, depth, images).share_of(whole)
        for what, value in vars(share).items():
            rows.append(Row(f"a site's share of {what}, cut at {depth}", Spread.of([value]), "%"))
    return rows


def memory_table(report: Report, repeats: int) -> list[Row]:
    """Return the peak of memory in training, of the whole network and of a site's part, each in a fresh process."""
    found = {
        depth: [measured_json(HERE / "memory.py", str(depth))["peak_mb"] for _ in range(repeats)] for depth in range(4)
    }
    report.samples["memory"] = found
    note = "32 images of 128 px; on top of what libraries and images take"
    rows = [Row("peak memory of the whole network", Spread.of(found.pop(0)), "MB", note=note)]
    return rows + [Row(f"at a site, cut at {depth}", Spread.of(peaks), "MB") for depth, peaks in found.items()]


def flare_table(report: Report, steps: int, rounds: int) -> list[Row]:
    """Return steps a second and bytes of a step between two sites and a body host on FLARE."""
    rows = []
    for wire in ("float32", "bf16", "int8"):
        try:
            found = measured_json(HERE / "flare.py", wire, str(steps), str(rounds))
        except RuntimeError as error:
            return [Row("steps a second of two sites on FLARE", None, "/s", note=f"needs the extra [flare]: {error}")]
        report.samples[f"flare, {wire}"] = found
        rows.append(Row(f"steps a second of two sites on FLARE, {wire}", Spread.of(found["steps_per_s"]), "/s"))
        rows.append(Row(f"over the cut in a step on FLARE, {wire}", Spread.of([found["step_bytes"] / 1e6]), "MB"))
    return rows


if __name__ == "__main__":
    main()
