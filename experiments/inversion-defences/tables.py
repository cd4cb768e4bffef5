"""Writes results.md, the CSV files and the figure, from what is measured so far."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import costs
import frontier
import numpy as np
import wire
from comparison import compared
from disguises import Rows, best
from leaks import attacked, over_images, read, told
from settings import CHOSEN, HAM, OURS, PNEUMONIA, RMS
from updates import LONG

HERE = Path(__file__).parent
BOTH = (HAM, PNEUMONIA)


def write(out: Path) -> None:
    """Write results.md, images.csv, utility.csv, frontier.csv and frontier.png."""
    bars = {HAM: out / "bar", PNEUMONIA: out / "bar-grey"}
    sections = [
        *(_bar(folder, data, RMS) for data, folder in bars.items()),
        *(_bar(out / "bar-chosen" / data, data, CHOSEN) for data in BOTH),
        *(compared(out, data, folder) for data, folder in bars.items()),
        _rounds(out),
        _ten_updates(out),
        _wire(out),
        *(costs.section(out, data) for data in BOTH),
        costs.choice(out),
        _design(out),
    ]
    kept = {f"{data}, {name}": rows for data, folder in bars.items() for name, rows in read(folder).items()}
    kept |= {
        f"{data}, {name}, rms {CHOSEN:g}": rows
        for data in BOTH
        for name, rows in read(out / "bar-chosen" / data).items()
    }
    _write_images(kept)
    runs = ["data,defence,seed,auc,macro_f1,micro_f1", *(line for data in BOTH for line in costs.table(out, data))]
    (HERE / "utility.csv").write_text("\n".join(runs) + "\n")
    (HERE / "frontier.csv").write_text("\n".join(frontier.draw(out)) + "\n")
    text = ["# Defences against gradient inversion", "", *(line for part in sections for line in part)]
    (HERE / "results.md").write_text("\n".join([*text, f"{_hours(out):.2f} CPU-hours.", ""]))


def _hours(out: Path) -> float:
    spent = (out / "cpu_seconds").read_text().split("\n") if (out / "cpu_seconds").exists() else []
    return sum(float(line.split()[1]) for line in spent if line) / 3600


def _bar(folder: Path, data: str, rms: float) -> list[str]:
    found = read(folder)
    if OURS not in found:
        return []
    ends = {name: best(rows) for name, rows in found.items()}
    lines = [
        f"## One energy, {-20 * np.log10(rms):.0f} dB, the best clean-up: {data}",
        "",
        f"Noise on {len(ends[OURS])} images; the attacker holds the disguised image. "
        "Of eight clean-ups the best counts, for each image and each measure by itself. Right: how much more of the "
        "image is left than behind ours, paired, 95%.",
        "",
        "| noise | untouched dB | best dB | best SSIM | most often best | dB more than ours | SSIM more than ours |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, values in sorted(ends.items(), key=lambda one: one[1][:, 0].mean()):
        untouched = np.mean([row["raw"][0] for row in found[name]])
        more = ["–", "–"]
        if name != OURS:
            more = [told(over_images(values[:, column] - ends[OURS][:, column]), 2) for column in (0, 1)]
        lines.append(
            f"| {name} | {untouched:.1f} | {values[:, 0].mean():.2f} | {values[:, 1].mean():.3f} | "
            f"{_favourite(found[name])} | {' | '.join(more)} |"
        )
    return [*lines, ""]


def _favourite(rows: Rows) -> str:
    names = [max(row, key=lambda one: row[one][0]) for row in rows]
    return max(sorted(set(names)), key=names.count)


def _write_images(found: dict[str, Rows]) -> None:
    with (HERE / "images.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["noise", "image", "clean_up", "psnr_db", "ssim"])
        for name, rows in found.items():
            for place, row in enumerate(rows):
                kept = {key: value for key, value in row.items() if key != "none"}  # it is `raw`
                writer.writerows([name, place, key, f"{db:.3f}", f"{like:.4f}"] for key, (db, like) in kept.items())


def _rounds(out: Path) -> list[str]:
    anew, once = read(out / "rounds"), read(out / "bar")
    if not anew:
        return []
    lines = [
        f"## Ten rounds of the same image: noise on images, {HAM}",
        "",
        "| noise | draw | best dB | best SSIM |",
        "|---|---|---|---|",
    ]
    for name, rows in anew.items():
        for draw, values in (("once: ten rounds teach what one does", once[name]), ("each round, ten averaged", rows)):
            ends = best(values).mean(0)
            lines.append(f"| {name} | {draw} | {ends[0]:.2f} | {ends[1]:.3f} |")
    return [*lines, ""]


def _ten_updates(out: Path) -> list[str]:
    """Return the section on defences that touch updates, whose attacker knows them and watches for ten rounds."""
    lines = [
        f"## Ten rounds of the same image: defences on updates, {HAM}",
        "",
        "One search has to explain all ten updates, each at that round's weights; it is a quarter as long as that on "
        "one round, and the better of the two counts for each image. The attacker knows the defence, and leaves out "
        "what it set to zero.",
        "",
        "| defence | one round, dB, SSIM | ten rounds | picked out |",
        "|---|---|---|---|",
    ]
    for name in LONG:
        one, ten = attacked(out, HAM, name), attacked(out, HAM, name, rounds=10)
        if ten is None or one is None:
            continue
        shown = [f"{left.best[:, 0].mean():.1f}, {left.best[:, 1].mean():.3f}" for left in (one, ten)]
        lines.append(f"| {name} | {' | '.join(shown)} | {ten.picked_out} of {len(ten.best)} |")
    return [*lines, ""] if len(lines) > 6 else []


def _wire(out: Path) -> list[str]:
    lines = [
        "## Over the wire",
        "",
        "`wardround attack` with `idlg` on single updates.",
        "",
        "| defence | images | as rebuilt dB | best dB | its SSIM | mean image dB | rank 1 |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, _, attacked_with, _ in wire.rows():
        leaks: list[dict[str, Any]] = wire.leaks(out, name, attacked_with)
        if not leaks:
            continue
        raw, db, mean = (np.mean([leak[key]["psnr_db"] for leak in leaks]) for key in ("of_raw", "of_best", "of_mean"))
        like = np.mean([leak["of_best"]["ssim"] for leak in leaks])
        first = sum(leak["rank"] == 1 for leak in leaks)
        lines.append(f"| {name} | {len(leaks)} | {raw:.1f} | {db:.1f} | {like:.3f} | {mean:.1f} | {first} |")
    return [*lines, ""] if len(lines) > 6 else []


def _design(out: Path) -> list[str]:
    found = read(out / "design")
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
