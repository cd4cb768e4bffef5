"""One plan, one result: byte-identical weights on every fabric of this machine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny

from wardround.rounds.plan import Plan
from wardround.study.run import train
from wardround.study.spec import parse

BASE: dict[str, Any] = {
    "name": "parity",
    "rounds": 2,
    "data": {"source": "slide", "stride_px": 16},
    "model": {"width": 8, "dropout": 0.3},
    "training": {"steps": 3, "batch_size": 8, "momentum": 0.9, "augment": "dihedral+colour"},
    "evaluation": {"every": 2, "bootstrap": 10},
}
VARIANTS: dict[str, dict[str, Any]] = {
    "fedavg": {"schedule": "cosine"},
    "scaffold+personal+kept optimiser": {
        "algorithm": {"name": "scaffold", "personal": "norms+head"},
        "training": {**BASE["training"], "keep_optimiser": True},
        "sites_per_round": 3,
    },
    "fedbn+adam+average": {"algorithm": {"name": "fedbn"}, "server": {"name": "adam"}, "average_decay": 0.5},
    "local": {"algorithm": {"name": "local"}},
    "norms alone": {"training": {**BASE["training"], "parts": "norms"}},
    "fixed features": {
        "model": {"name": "scattering", "order": 1, "hidden": 4},
        "training": {**BASE["training"], "augment": "none"},
    },
    "dirichlet+yogi": {"data": {**BASE["data"], "sites": {"by": "dirichlet", "sites": 3}}, "server": {"name": "yogi"}},
}
VARIANTS["fedavg"] = {"training": {**BASE["training"], **VARIANTS["fedavg"]}}


def plan(variant: str) -> Plan:
    return parse({**BASE, **VARIANTS[variant]})


def results(run: Path) -> dict[str, Any]:
    """Return what two runs of one plan must have in common, byte for byte."""
    records = [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]
    summary = json.loads((run / "summary.json").read_text())
    return {
        "model": (run / "model.safetensors").read_bytes(),
        "predictions": (run / "predictions.safetensors").read_bytes(),
        "states": [record["state_digest"] for record in records],
        "validation": [record["validation"] for record in records],
        "metrics": summary["metrics"],
        "intervals": summary["intervals"],
    }


@pytest.mark.parametrize("variant", VARIANTS)
def test_encoding_changes_no_bit(tmp_path: Path, variant: str) -> None:
    plain = train(plan(variant), tmp_path / "plain", workers=0)
    encoded = train(plan(variant), tmp_path / "encoded", workers=0, encoded=True)
    assert results(plain) == results(encoded)
    assert len(results(plain)["model"]) > 1000


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_worker_processes_change_no_bit(tmp_path: Path, variant: str) -> None:
    plain = results(train(plan(variant), tmp_path / "plain", workers=0))
    for workers in (1, 2):
        assert results(train(plan(variant), tmp_path / str(workers), workers=workers)) == plain


SEALED = ("masked", "packed", "packed and masked")
"""What must give the very sums that quantised updates in the clear give; see `tiny.PIPELINES`."""


def sealed(variant: str, pipeline: str) -> Plan:
    return parse({**BASE, **VARIANTS[variant], "protect": tiny.PIPELINES[pipeline]})


@pytest.mark.parametrize("variant", ["scaffold+personal+kept optimiser", "fedbn+adam+average", "dirichlet+yogi"])
def test_masks_and_encryption_change_no_bit_of_a_quantised_sum(tmp_path: Path, variant: str) -> None:
    clear = results(train(sealed(variant, "quantised"), tmp_path / "quantised", workers=0))
    for pipeline in SEALED:
        assert results(train(sealed(variant, pipeline), tmp_path / pipeline, workers=0)) == clear
    assert clear["model"] != (results(train(plan(variant), tmp_path / "plain", workers=0)))["model"]


@pytest.mark.slow
@pytest.mark.parametrize("pipeline", SEALED)
def test_sealed_sums_change_no_bit_on_worker_processes(tmp_path: Path, pipeline: str) -> None:
    clear = results(train(sealed("fedavg", "quantised"), tmp_path / "quantised", workers=0))
    for workers in (1, 2):
        found = train(sealed("fedavg", pipeline), tmp_path / str(workers), workers=workers)
        assert results(found) == clear


def in_groups() -> Plan:
    """Return a plan whose sites are judged by the sums of their groups, so easily that some rest."""
    masks = [*tiny.PIPELINES["quantised"], {"stage": "masks"}]
    screen = [{"name": "group_evidence", "allowance": 0.0, "false_alarms": 0.8}]
    return parse({**BASE, **VARIANTS["fedavg"], "rounds": 3, "protect": masks, "groups": {"size": 2}, "screen": screen})


def judged(run: Path) -> list[Any]:
    records = [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]
    return [(record["cohort"], record["groups"], record["judged"]) for record in records]


def test_encoding_changes_no_bit_of_a_run_in_groups(tmp_path: Path) -> None:
    plain = train(in_groups(), tmp_path / "plain", workers=0)
    encoded = train(in_groups(), tmp_path / "encoded", workers=0, encoded=True)
    assert results(plain) == results(encoded)
    assert judged(plain) == judged(encoded)
    assert len({tuple(cohort) for cohort, _, _ in judged(plain)}) > 1


@pytest.mark.slow
def test_worker_processes_change_no_bit_of_a_run_in_groups(tmp_path: Path) -> None:
    plain = train(in_groups(), tmp_path / "plain", workers=0)
    for workers in (1, 2):
        found = train(in_groups(), tmp_path / str(workers), workers=workers)
        assert results(found) == results(plain)
        assert judged(found) == judged(plain)


def compressed(pipeline: str) -> Plan:
    return parse({**BASE, **VARIANTS["fedbn+adam+average"], "protect": tiny.COMPRESSED[pipeline]})


@pytest.mark.parametrize("pipeline", tiny.COMPRESSED)
def test_encoding_changes_no_bit_of_a_compressed_run(tmp_path: Path, pipeline: str) -> None:
    plain = results(train(compressed(pipeline), tmp_path / "plain", workers=0))
    assert results(train(compressed(pipeline), tmp_path / "encoded", workers=0, encoded=True)) == plain


@pytest.mark.slow
@pytest.mark.parametrize("pipeline", tiny.COMPRESSED)
def test_worker_processes_change_no_bit_of_a_compressed_run(tmp_path: Path, pipeline: str) -> None:
    plain = results(train(compressed(pipeline), tmp_path / "plain", workers=0))
    for workers in (1, 2):
        assert results(train(compressed(pipeline), tmp_path / str(workers), workers=workers)) == plain


@pytest.mark.parametrize("variant", ["fedbn+adam+average", "dirichlet+yogi"])
def test_random_k_survives_masks_and_encryption_bit_for_bit(tmp_path: Path, variant: str) -> None:
    def of(stages: list[dict[str, Any]]) -> dict[str, Any]:
        plan = parse({**BASE, **VARIANTS[variant], "protect": [tiny.RANDOMK, *stages]})
        return results(train(plan, tmp_path / str(len(stages)), workers=0))

    clear = of(tiny.PIPELINES["quantised"])
    assert of(tiny.PIPELINES["masked"]) == clear
    assert of(tiny.PIPELINES["packed and masked"]) == clear


def test_the_seed_changes_the_model(tmp_path: Path) -> None:
    """What the tests above compare can differ."""
    first = train(plan("fedavg"), tmp_path / "first", workers=0)
    other = train(replace(plan("fedavg"), seed=2), tmp_path / "other", workers=0)
    assert results(first)["model"] != results(other)["model"]


PRIVATE: dict[str, dict[str, Any]] = {
    "each step at each site": {
        "algorithm": {"name": "dpsgd", "sampling_rate": 0.1, "expected_units": 5.0},
        "training": {"steps": 2, "augment": "dihedral+colour", "learning_rate": 0.1},
    },
    "shares in a sealed sum": {
        "algorithm": {"name": "dpsgd", "sampling_rate": 0.1, "expected_units": 15.0, "noise": "sum", "views": 2},
        "training": {"augment": "dihedral+colour", "schedule": "cosine"},
        "sites_per_round": 3,
        "protect": [*tiny.SEALED, tiny.PACKED],
    },
    "site, the coordinator's": {"protect": [tiny.CLIP, {"stage": "noise", "at": "coordinator"}]},
}


def private(variant: str) -> Plan:
    unit = "site" if variant.startswith("site") else "image"
    claim = {"unit": unit, "delta": 1e-3, "noise_multiplier": 2.0, "randomness": "seed"}
    return parse({**BASE, **PRIVATE[variant], "aggregator": tiny.UNIFORM, "privacy": claim})


def spent(run: Path) -> list[Any]:
    return [json.loads(line)["privacy"] for line in (run / "rounds.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("variant", PRIVATE)
def test_seeded_noise_is_the_same_and_costs_the_same_encoded_or_not(tmp_path: Path, variant: str) -> None:
    plain = train(private(variant), tmp_path / "plain", workers=0)
    encoded = train(private(variant), tmp_path / "encoded", workers=0, encoded=True)
    assert results(plain) == results(encoded)
    assert spent(plain) == spent(encoded)
    assert spent(plain)[-1]["epsilon"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("variant", PRIVATE)
def test_seeded_noise_is_the_same_in_worker_processes(tmp_path: Path, variant: str) -> None:
    plain = train(private(variant), tmp_path / "plain", workers=0)
    for workers in (1, 2):
        apart = train(private(variant), tmp_path / str(workers), workers=workers)
        assert results(apart) == results(plain)
        assert spent(apart) == spent(plain)


def test_noise_of_the_operating_system_is_another_each_time(tmp_path: Path) -> None:
    variant = "site, the coordinator's"
    plan = private(variant)
    assert plan.privacy is not None
    system = replace(plan, privacy=replace(plan.privacy, randomness="system"))
    first, second = (results(train(system, tmp_path / str(index), workers=0)) for index in range(2))
    assert first["states"] != second["states"]
