"""What a coordinator can tell from sealed uploads: remakes ``results.json`` and ``results.md`` beside this file.

    OMP_NUM_THREADS=1 python experiments/sealed-sum-secrecy/run.py
    OMP_NUM_THREADS=1 python experiments/sealed-sum-secrecy/run.py --more packed

The second looks at one row again with fresh and four times as many uploads, and adds that row to the results.
Needs no data. The coin and the classifiers are seeded; encryption and masks take their randomness from the operating
system, so a second run gives other figures of the same kind.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from distinguishing import Auc, delong, features, judged, likeness, uniformity  # noqa: E402
from uploads import PIPELINES, Consortium, Seen, consortium, seeds_of, two_updates  # noqa: E402

from wardround.core.codec import Message  # noqa: E402
from wardround.core.update import Tensors  # noqa: E402
from wardround.fabric.base import Answer, Body  # noqa: E402
from wardround.fabric.local import LocalFabric  # noqa: E402
from wardround.protect.scheme import Scheme  # noqa: E402
from wardround.rounds.listener import Silent  # noqa: E402
from wardround.study.build import opener_for, sites_of  # noqa: E402
from wardround.study.folder import RunFolder  # noqa: E402
from wardround.study.run import run_plan  # noqa: E402
from wardround.study.simulation import introduce_sites  # noqa: E402
from wardround.study.spec import parse  # noqa: E402

UPLOADS, MORE = 8000, 32_000
COIN_SEED = 20
OPENED = 200
LOW, HIGH, CONTROL = 0.45, 0.55, 0.95
REUSED = "masks alone, one mask for all (control)"
CONTROLS = ("quantised", REUSED)
ROUNDS, CUTS = 20, (2, 7, 11, 5, 1, 9, 14, 3, 6, 10)
"""Rounds of the run that is stopped and resumed, and after how many uploads each leg of it is stopped."""


def told_apart(
    name: str, weights: Tensors, updates: Sequence[Tensors], uploads: int = UPLOADS
) -> tuple[dict[str, Auc], list[bytes]]:
    """Let the watched site upload A or B, by coin, so many times; return the AUCs and every seed that was used."""
    labels = np.random.default_rng(COIN_SEED).integers(0, 2, uploads)
    seeds: list[bytes] = []
    with consortium("quantised" if name == REUSED else name, weights) as sites:
        known = [sites.words(update) / sites.scheme.layout.modulus for update in updates]
        changed: Callable[[Seen], Seen] = masked_once(sites) if name == REUSED else lambda seen: seen
        table, likenesses = [], []
        for index, label in enumerate(labels):
            seen = changed(sites.upload(index, updates[label]))
            table.append(features(seen.frame, seen.signature))
            likenesses.append(likeness(sites.numbers(seen.frame), known[1], known[0]))
            if sites.scheme.lattice is not None:
                seeds += seeds_of(seen.frame, sites.scheme)
    found = judged(np.array(table), labels)
    if name != REUSED:  # who compares with A and B would need the mask
        found["likeness to A and B"] = delong(np.array(likenesses)[uploads // 2 :], labels[uploads // 2 :])
    return found, seeds


def masked_once(sites: Consortium) -> Callable[[Seen], Seen]:
    """Return what adds the same mask to every upload, which the protocol never does."""
    layout = sites.scheme.layout
    mask = np.random.default_rng(1).integers(0, layout.modulus, 2**20, dtype=np.uint64)

    def changed(seen: Seen) -> Seen:
        words = sites.opened(seen.frame, None)
        return Seen(layout.to_bytes(layout.add_mod(words, mask[: words.size])), seen.signature)

    return changed


def same_twice(name: str, weights: Tensors, update: Tensors) -> dict[str, float]:
    """Return the share of bytes that two uploads of the same update have in common over 100 pairs, and by chance."""
    with consortium(name, weights) as sites:
        bits = sites.scheme.lattice.data_primes[0].bit_length() if sites.scheme.lattice else sites.scheme.word_bits
        frames = [np.frombuffer(sites.upload(index, update).frame, np.uint8) for index in range(101)]
    shared = [float(np.mean(left == right)) for left, right in itertools.pairwise(frames)]
    chance = np.mean([0.5 ** min(8, bits - start) for start in range(0, bits, 8)])
    return {"shared": float(np.mean(shared)), "most": max(shared), "by chance": float(chance)}


def lengths(name: str, weights: Tensors) -> list[int]:
    """Return the lengths of frames of zeros, of noise and of the largest values there are."""
    rng = np.random.default_rng(0)
    contents = [
        {key: np.zeros_like(value) for key, value in weights.items()},
        {key: rng.normal(0, 0.01, value.shape) for key, value in weights.items()},
        {key: np.full(value.shape, 1e6) for key, value in weights.items()},
        {key: np.full(value.shape, -1e6) for key, value in weights.items()},
    ]
    with consortium(name, weights) as sites:
        return sorted({len(sites.upload(index, content).frame) for index, content in enumerate(contents)})


def opened(name: str, weights: Tensors, update: Tensors) -> dict[str, Any]:
    """Open `OPENED` single uploads with the shared key and test their words."""
    with consortium(name, weights) as sites:
        sealer, bits = sites.sealer(), sites.scheme.layout.word_bits
        tested = [uniformity(sites.opened(sites.upload(index, update).frame, sealer), bits) for index in range(OPENED)]
    together = {test: float(stats.kstest([one[test] for one in tested], "uniform").pvalue) for test in tested[0]}
    return {"first": tested[0], "all": together}


class Stopped(Exception):
    """Stands for SIGKILL."""


class Noting:
    """A fabric that notes every frame, and stops the run after some."""

    def __init__(self, inner: LocalFabric, stop_after: int, noted: dict[tuple[str, ...], list[bytes]]) -> None:
        self._inner, self._left, self._noted = inner, stop_after, noted

    def gather(self, sites: Sequence[str], op: str, body: Body, timeout_s: float | None) -> Iterator[Answer]:
        """See `Fabric.gather`."""
        for answer in self._inner.gather(sites, op, body, timeout_s):
            if op == "upload" and answer.message is not None:
                said = body if isinstance(body, Message) else body[answer.site]
                place = (answer.site, *(str(said.fields[key]) for key in ("round", "attempt", "part")))
                self._noted.setdefault(place, []).append(answer.message.tensors["frame"].tobytes())
                self._left -= 1
                if not self._left:
                    raise Stopped
            yield answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def resumed(name: str) -> dict[str, Any]:
    """Run a plan that is stopped again and again, and count the seeds of all frames that were ever sent."""
    plan = parse(
        {
            "name": "stopped",
            "rounds": ROUNDS,
            "model": {"width": 16},
            "training": {"steps": 1},
            "evaluation": {"every": 0, "bootstrap": 0},
            "protect": PIPELINES[name],
        }
    )
    sites, noted = sites_of(plan, None), dict[tuple[str, ...], list[bytes]]()
    stops = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        stores = RunFolder(path).store_root
        introduce_sites(stores, sites)
        for stop_after in (*CUTS, 0):
            fabric = Noting(LocalFabric(list(sites), opener_for(plan, sites, stores), True), stop_after, noted)
            try:
                run_plan(plan, fabric, path, True, Silent())
            except Stopped:
                stops += 1
        done = RunFolder(path).is_done()
    scheme = Scheme.of(plan.pipeline, plan.weight_total)
    seeds = [seed for frames in noted.values() for frame in set(frames) for seed in seeds_of(frame, scheme)]
    return {
        "stops": stops,
        "done": done,
        "frames": len(noted),
        "sent again": sum(len(frames) - 1 for frames in noted.values()),
        "sent with other bytes": sum(len(set(frames)) > 1 for frames in noted.values()),
        "seeds": len(seeds),
        "repeated": len(seeds) - len(set(seeds)),
    }


def measured() -> dict[str, Any]:
    """Compute everything."""
    began = time.process_time()
    weights, left, right = two_updates()
    results: dict[str, Any] = {
        "uploads": UPLOADS,
        "values": sum(value.size for value in left.values()),
        "differ": float(np.mean(np.concatenate([(left[key] != right[key]).ravel() for key in left]))),
        "auc": {},
        "seeds": {},
    }
    for name in (*PIPELINES, REUSED):
        found, seeds = told_apart(name, weights, (left, right))
        results["auc"][name] = {judge: asdict(auc) for judge, auc in found.items()}
        if seeds:
            results["seeds"][name] = {"seeds": len(seeds), "repeated": len(seeds) - len(set(seeds))}
        print(name, results["auc"][name])
    results["same bytes"] = {name: same_twice(name, weights, left) for name in PIPELINES}
    results["lengths"] = {name: lengths(name, weights) for name in PIPELINES}
    results["opened"] = {name: opened(name, weights, left) for name in PIPELINES}
    results["resumed"] = {name: resumed(name) for name in ("packed", "packed and masks")}
    results["cpu_minutes"] = (time.process_time() - began) / 60
    return results


def markdown(results: dict[str, Any]) -> str:
    """Write the tables."""
    lines = [
        f"Remade by `python experiments/sealed-sum-secrecy/run.py`; {results['cpu_minutes']:.0f} CPU minutes. Two "
        f"updates of {results['values']:,} values that differ in {results['differ']:.0%} of them; "
        f"{results['uploads']:,} uploads in each row, half to train, half to test.",
        "",
        "| upload | judge | AUC (95% interval) | asked for | verdict |",
        "|---|---|---|---|---|",
    ]
    for name, judges in results["auc"].items():
        for judge, auc in judges.items():
            control = name in CONTROLS
            met = auc["low"] > CONTROL if control else LOW <= auc["low"] and auc["high"] <= HIGH
            asked = f"> {CONTROL}" if control else f"interval in {LOW} to {HIGH}"
            shown = f"{auc['value']:.3f} ({auc['low']:.3f} to {auc['high']:.3f})"
            lines.append(f"| {name} | {judge} | {shown} | {asked} | {'met' if met else 'missed'} |")
    lines += [
        "",
        "| upload | bytes shared by two uploads of one update | most | by chance "
        "| frame bytes: zeros, noise, extremes |",
        "|---|---|---|---|---|",
    ]
    for name, same in results["same bytes"].items():
        found = ", ".join(f"{length:,}" for length in results["lengths"][name])
        lines.append(f"| {name} | {same['shared']:.2%} | {same['most']:.2%} | {same['by chance']:.2%} | {found} |")
    tests = list(results["opened"]["quantised"]["first"])
    lines += [
        "",
        "| single upload, opened | " + " | ".join(f"{test}: p" for test in tests) + " | uniform |",
        "|---" * 6 + "|",
    ]
    for name, found in results["opened"].items():
        for what, key in (("the first", "first"), (f"p-values of {OPENED}", "all")):
            values = [found[key][test] for test in tests]
            uniform = "yes" if min(values) > 0.01 / len(tests) else "no"
            lines.append(f"| {name}, {what} | " + " | ".join(f"{value:.2g}" for value in values) + f" | {uniform} |")
    lines += ["", "| seeds | drawn | repeated | |", "|---|---|---|---|"]
    for name, found in results["seeds"].items():
        lines.append(f"| {name}, uploads above | {found['seeds']:,} | {found['repeated']} | |")
    for name, found in results["resumed"].items():
        told = (
            f"stopped and resumed {found['stops']} times; {found['frames']} frames, {found['sent again']} of them sent "
            f"again, {found['sent with other bytes']} with other bytes"
        )
        lines.append(f"| {name}, a run of {ROUNDS} rounds | {found['seeds']:,} | {found['repeated']} | {told} |")
    return "\n".join(lines) + "\n"


def with_more(results: dict[str, Any], name: str) -> dict[str, Any]:
    """Return `results` with one more row, on uploads of its own."""
    began = time.process_time()
    weights, left, right = two_updates()
    found, _ = told_apart(name, weights, (left, right), MORE)
    again = {judge: asdict(auc) for judge, auc in found.items()}
    minutes = results["cpu_minutes"] + (time.process_time() - began) / 60
    return {**results, "auc": {**results["auc"], f"{name}, {MORE:,} other uploads": again}, "cpu_minutes": minutes}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--more", choices=tuple(PIPELINES), help="look at this kind of upload again")
    more = parser.parse_args().more
    results = with_more(json.loads((HERE / "results.json").read_text()), more) if more else measured()
    (HERE / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    (HERE / "results.md").write_text(markdown(results))
    print(markdown(results))


if __name__ == "__main__":
    main()
