"""The tables and the figure, from what is measured so far."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import utility
import wire
from disguises import best
from scipy.stats import t
from settings import GAUSSIAN, HAM, OURS, PNEUMONIA, RMS, SHARES, STRENGTHS

HERE = Path(__file__).parent
REPLICATES = 2000
SUMS = HERE.parent / "inversion-attacks" / "results.csv"
Rows = list[dict[str, list[float]]]


def write(out: Path) -> None:
    """Write results.md, images.csv, utility.csv and frontier.png."""
    bars = [_bar(out / "bar", HAM), _bar(out / "bar-grey", PNEUMONIA)]
    costs = [_utility(out, data) for data in (HAM, PNEUMONIA)]
    sections = [*bars, _rounds(out), _wire(out), *(lines for lines, _ in costs), _design(out)]
    _write_images({**_read(out / "bar"), **{f"{PNEUMONIA}, {n}": rows for n, rows in _read(out / "bar-grey").items()}})
    runs = ["data,defence,seed,auc,f1", *(",".join(row) for _, table in costs for row in table)]
    (HERE / "utility.csv").write_text("\n".join(runs) + "\n")
    spent = (out / "cpu_seconds").read_text().split("\n") if (out / "cpu_seconds").exists() else []
    seconds = sum(float(line.split()[1]) for line in spent if line)
    text = ["# Defences against gradient inversion", "", *(line for part in sections for line in part)]
    (HERE / "results.md").write_text("\n".join([*text, f"{seconds / 3600:.2f} CPU-hours.", ""]))
    _frontier(out)


def _read(folder: Path) -> dict[str, Rows]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def _interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return mean and 95% interval by bootstrap over images."""
    found = np.asarray(values)
    draws = np.random.default_rng(0).integers(0, len(found), (REPLICATES, len(found)))
    low, high = np.percentile(found[draws].mean(1), (2.5, 97.5))
    return float(found.mean()), float(low), float(high)


def _bar(folder: Path, data: str) -> list[str]:
    found = _read(folder)
    if OURS not in found:
        return []
    ends = {name: best(rows) for name, rows in found.items()}
    lines = [
        f"## One energy, the best clean-up: {data}",
        "",
        f"Noise of {-20 * np.log10(RMS):.0f} dB on {len(ends[OURS])} images; the attacker holds the disguised image. "
        "Of eight clean-ups the best counts, for each image and each measure by itself. Right: how much more of the "
        "image is left than behind ours, paired, 95%.",
        "",
        "| noise | untouched dB | best dB | best SSIM | most often best | dB more than ours | SSIM more than ours |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, values in sorted(ends.items(), key=lambda one: one[1][:, 0].mean()):
        raw = np.mean([row["raw"][0] for row in found[name]])
        favourite = _favourite(found[name])
        paired = "| – | – |"
        if name != OURS and OURS in ends:
            gains = [_interval(values[:, column] - ends[OURS][:, column]) for column in (0, 1)]
            paired = "| " + " | ".join(f"{m:+.2f} ({a:+.2f} to {b:+.2f})" for m, a, b in gains) + " |"
        lines.append(
            f"| {name} | {raw:.1f} | {values[:, 0].mean():.2f} | {values[:, 1].mean():.3f} | {favourite} {paired}"
        )
    return [*lines, ""]


def _favourite(rows: Rows) -> str:
    names = [max(row, key=lambda one: row[one][0]) for row in rows]
    return max(set(names), key=names.count)


def _write_images(found: dict[str, Rows]) -> None:
    with (HERE / "images.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["noise", "image", "clean_up", "psnr_db", "ssim"])
        for name, rows in found.items():
            for place, row in enumerate(rows):
                writer.writerows([name, place, key, f"{db:.3f}", f"{like:.4f}"] for key, (db, like) in row.items())


def _rounds(out: Path) -> list[str]:
    anew = _read(out / "rounds")
    once = _read(out / "bar")
    if not anew:
        return []
    lines = ["## Ten rounds of the same image", "", "| noise | draw | best dB | best SSIM |", "|---|---|---|---|"]
    for name, rows in anew.items():
        for draw, values in (("once: ten rounds teach what one does", once[name]), ("each round, ten averaged", rows)):
            ends = best(values).mean(0)
            lines.append(f"| {name} | {draw} | {ends[0]:.2f} | {ends[1]:.3f} |")
    return [*lines, ""]


def _leaks(out: Path, name: str, attacked_with: str) -> list[dict[str, Any]]:
    paths = [wire.folder(out, name, attacked_with, seed) / "attack.json" for seed in wire.SEEDS]
    if not all(path.exists() for path in paths):
        return []
    return [leak for path in paths for update in json.loads(path.read_text())["updates"] for leak in update["leaks"]]


def _wire(out: Path) -> list[str]:
    lines = [
        "## Over the wire",
        "",
        "L-BFGS on single updates; `idlg-nonzero` knows which numbers a defence set to zero and leaves them out.",
        "",
        "| defence | attack | images | as rebuilt dB | best dB | its SSIM | mean image dB | rank 1 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, _, attacked_with, _ in wire.rows():
        leaks = _leaks(out, name, attacked_with)
        if not leaks:
            continue
        raw, db, mean = (np.mean([leak[key]["psnr_db"] for leak in leaks]) for key in ("of_raw", "of_best", "of_mean"))
        like = np.mean([leak["of_best"]["ssim"] for leak in leaks])
        first = sum(leak["rank"] == 1 for leak in leaks)
        lines.append(
            f"| {name} | {attacked_with} | {len(leaks)} | {raw:.1f} | {db:.1f} | {like:.3f} | {mean:.1f} | {first} |"
        )
    return [*lines, ""] if len(lines) > 6 else []


def _metrics(out: Path, data: str, name: str) -> dict[int, tuple[float, float]]:
    """Return seed -> pooled AUC and F1 of the runs that are done."""
    found = {}
    for seed in utility.SEEDS:
        path = utility.folder(out, data, name, seed) / "summary.json"
        if path.exists():
            pooled = json.loads(path.read_text())["metrics"]["pooled"]
            found[seed] = (pooled["auc"], pooled["f1"])
    return found


def _utility(out: Path, data: str) -> tuple[list[str], list[list[str]]]:
    """Return the section on one data set, and a row of each run."""
    names = dict.fromkeys(name for where, name, _, _ in (*utility.headline(), *utility.frontier()) if where == data)
    done = {name: _metrics(out, data, name) for name in names}
    bare = done[utility.UNDEFENDED]
    if not bare:
        return [], []
    lines = [
        f"## What it costs: {data}",
        "",
        "Pooled test AUC and F1 after three passes; differences to no defence, paired by training seed, 95% (t).",
        "",
        "| defence | seeds | AUC | F1 | AUC difference | F1 difference |",
        "|---|---|---|---|---|---|",
    ]
    table: list[list[str]] = []
    for name, runs in done.items():
        if not runs:
            continue
        table += [[data, name, str(seed), f"{auc:.4f}", f"{f1:.4f}"] for seed, (auc, f1) in runs.items()]
        means = np.mean(list(runs.values()), 0)
        gaps = np.array([np.subtract(runs[seed], bare[seed]) for seed in runs if seed in bare])
        cells = [_seeds(gaps[:, column]) if name != utility.UNDEFENDED else "–" for column in (0, 1)]
        lines.append(f"| {name} | {len(runs)} | {means[0]:.4f} | {means[1]:.4f} | {cells[0]} | {cells[1]} |")
    return [*lines, ""], table


def _seeds(gaps: np.ndarray) -> str:
    if len(gaps) < 2:
        return f"{gaps.mean():+.4f} (one seed)"
    half = float(t.ppf(0.975, len(gaps) - 1) * gaps.std(ddof=1) / np.sqrt(len(gaps)))
    return f"{gaps.mean():+.4f} ({gaps.mean() - half:+.4f} to {gaps.mean() + half:+.4f})"


def _design(out: Path) -> list[str]:
    found = _read(out / "design")
    if not found:
        return []
    lines = [
        "## The choice of the exponent, on other images",
        "",
        "| exponent | best dB | best SSIM |",
        "|---|---|---|",
    ]
    for name, rows in sorted(found.items(), key=lambda one: float(one[0])):
        ends = best(rows).mean(0)
        lines.append(f"| {name} | {ends[0]:.2f} | {ends[1]:.3f} |")
    return [*lines, ""]


def _frontier(out: Path) -> None:
    """Draw leakage against AUC: noise by the image itself, Soteria and sums by the best attack over the wire."""
    strengths = _read(out / "strength")
    if not strengths:
        return
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 4.2), layout="constrained")
    for name in (GAUSSIAN, OURS):
        points = [
            (best(strengths[key]).mean(0)[0], _first_auc(out, key), f"{one:g}")
            for one in STRENGTHS
            if (key := f"{name} {one}") in strengths
        ]
        _curve(axes, f"{name} on images (rms)", points)
    leaks = [(share, _worst(out, f"Soteria, {share:.0%}")) for share in SHARES]
    _curve(axes, "Soteria (share)", [(db, _first_auc(out, f"Soteria {share}"), f"{share:g}") for share, db in leaks])
    bare = _first_auc(out, utility.UNDEFENDED)
    _curve(axes, "masked sum (sites)", [(db, bare, str(count)) for count, db in _sums()])
    _curve(axes, "no defence", [(_worst(out, wire.UNDEFENDED), bare, "")])
    axes.set_xlabel("what the best attack leaves of an image, dB (less is better)")
    axes.set_ylabel("pooled AUC, seed 1")
    axes.legend(fontsize="small")
    figure.savefig(HERE / "frontier.png", dpi=150, metadata={"Software": None})


def _curve(axes: Any, name: str, points: Sequence[tuple[float | None, float | None, str]]) -> None:
    there = [(x, y, label) for x, y, label in points if x is not None and y is not None]
    if not there:
        return
    axes.plot([x for x, _, _ in there], [y for _, y, _ in there], marker="o", label=name)
    for x, y, label in there:
        axes.annotate(label, (x, y), fontsize="x-small", xytext=(3, 3), textcoords="offset points")


def _first_auc(out: Path, name: str) -> float | None:
    runs = _metrics(out, HAM, name)
    return runs[utility.FRONTIER_SEEDS[0]][0] if utility.FRONTIER_SEEDS[0] in runs else None


def _worst(out: Path, name: str) -> float | None:
    means = [
        float(np.mean([leak["of_best"]["psnr_db"] for leak in leaks]))
        for attacked_with in ("idlg", "idlg-nonzero")
        if (leaks := _leaks(out, name, attacked_with))
    ]
    return max(means) if means else None


def _sums() -> Iterator[tuple[int, float]]:
    with SUMS.open() as file:
        rows = list(csv.DictReader(file))
    for count in (2, 4, 8):
        values = [float(row["best_db"]) for row in rows if row["row"] == f"masked sum of {count} sites"]
        if values:
            yield count, float(np.mean(values))
