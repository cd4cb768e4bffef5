"""What federation costs in seconds: against a plain training loop, and against central training."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from measure import Report, Row, Spread, finish, measured_json, options  # noqa: E402

PLAIN_LIMIT = 1.05
CENTRAL_LIMIT = 1.10
STEPS = {"long rounds": 50, "short rounds": 10}
"""Steps of 32 images per site and round: three passes over a site of the embedded slide, and two thirds of one."""
FABRICS = {1: "LocalFabric, encoded, one core", 2: "WorkerFabric, two workers, two cores"}


def main() -> None:
    """Measure both questions."""
    chosen = options(__doc__ or "")
    total = 240 if chosen.quick else 2000
    repeats, central_rounds = (2, 2) if chosen.quick else (5, 10)
    settings = {
        "network": "small_cnn at 32 px",
        "data": "slide, 4 sites",
        "batch": 32,
        "steps per row and core": total,
        "central rounds × steps": f"{central_rounds} × 25",
    }
    report = Report("federation-cost", settings)
    for cores, fabric in FABRICS.items():
        for kind, steps in STEPS.items():
            rounds = max(3, total * cores // (4 * steps))
            found = measured_json(HERE / "side_by_side.py", str(cores), str(rounds), str(steps))
            report.samples[f"{fabric}, {kind}"] = found
            report.rows += against_plain(f"{fabric}, {kind}", steps, found)
    found = measured_json(HERE / "against_central.py", str(repeats), str(central_rounds), "25")
    report.samples["central"] = found
    report.rows += against_central(found)
    finish(report, HERE, chosen)


def against_plain(what: str, steps: int, found: dict[str, Any]) -> list[Row]:
    """Compare each round with the mean of the plain loops just before and just after it, so that drift cancels."""
    federated, plain = found["federated"], found["plain"]
    ratios = [federated[index] / ((plain[index - 1] + plain[index]) / 2) for index in range(1, len(federated))]
    note = f"{steps} steps per site and round; {sum(federated[1:]):.0f} s federated, {sum(plain[1:]):.0f} s plain"
    start = Spread.of([found["ready_s"]])
    return [
        Row(f"{what}: round ÷ plain loop", Spread.of(ratios), "ratio", at_most=PLAIN_LIMIT, note=note),
        Row(f"{what}: start-up, not in the ratio", start, note=f"after {found['import_s']:.1f} s of imports"),
    ]


def against_central(found: dict[str, Any]) -> list[Row]:
    """Compare whole runs, pair by pair."""
    pairs = list(zip(found["federated"], found["central"], strict=True))
    if any(one["examples"] != other["examples"] for one, other in pairs):
        raise RuntimeError("the two sides did not process the same number of examples")
    walls = [one["wall"] / other["wall"] for one, other in pairs]
    training = [one["phases"]["train"] / other["phases"]["train"] for one, other in pairs]
    central = Spread.of([other["wall"] for _, other in pairs])
    note = f"{pairs[0][0]['examples']:,} examples each; data, training, validation and test"
    return [
        Row("fedavg ÷ central, whole run, one core", Spread.of(walls), "ratio", at_most=CENTRAL_LIMIT, note=note),
        Row("fedavg ÷ central, training phase", Spread.of(training), "ratio"),
        Row("central, whole run", central),
    ]


if __name__ == "__main__":
    main()
