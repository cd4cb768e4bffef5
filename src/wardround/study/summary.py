"""``summary.json``: a finished run in numbers, in the form of the published schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wardround.core.versions import versions
from wardround.metrics.intervals import Description, worst_of
from wardround.metrics.measures import joined
from wardround.rounds.assessment import Assessment
from wardround.rounds.coordinator import RunResult
from wardround.rounds.drift import feature_distances
from wardround.rounds.logbook.keeper import LedgerEnd
from wardround.rounds.plan import Plan
from wardround.rounds.record import RoundRecord
from wardround.study.coverage import covered, not_covered
from wardround.tasks import Synthesis

SCHEMA_VERSION = 1


def summarise(plan: Plan, result: RunResult, model_sha256: str) -> dict[str, Any]:
    """Return the summary of a finished run; see ``summary.schema.json``."""
    test = result.test
    sites = {name: found.description for name, found in test.sites.items()}
    records = result.records
    return {
        "schema": SCHEMA_VERSION,
        "status": "done",
        "name": plan.name,
        "plan_digest": plan.digest(),
        "seed": plan.seed,
        "rounds": len(records),
        "classes": list(result.task.classes),
        "malignant": list(result.task.malignant),
        "metrics": _metrics(test.pooled, sites),
        "intervals": {
            "pooled": _intervals(test.pooled),
            "sites": {name: _intervals(found) for name, found in sites.items()},
        },
        "tested": {"pooled": _tested(test.pooled), "sites": {name: _tested(found) for name, found in sites.items()}},
        "confusion": {n: found.totals["confusion"].tolist() for n, found in test.sites.items() if not plan.task},
        "sites": {name: _facts(facts) for name, facts in result.facts.items()},
        "drift": _drift(test),
        "not_tested": dict(result.test_failed),
        "privacy": _privacy(plan, records),
        "bytes": {
            "up": sum(record.bytes_up for record in records),
            "down": sum(record.bytes_down for record in records),
        },
        "seconds": {phase: round(seconds, 3) for phase, seconds in result.seconds.items()},
        "personal": list(result.personal),
        "ledger": _ledger(result.ledger),
        "model_sha256": model_sha256,
        "versions": versions(),
        **({"task": plan.task.name} if plan.task else {}),
        **({"split": _split(records)} if plan.split else {}),
        **_by_class(result),
    }


def failed(plan: Plan, reason: str) -> dict[str, Any]:
    """Return the summary of a run that stopped; ``--resume`` goes on with it."""
    return {
        "schema": SCHEMA_VERSION,
        "status": "failed",
        "name": plan.name,
        "plan_digest": plan.digest(),
        "seed": plan.seed,
        "reason": reason,
        "versions": versions(),
    }


def _privacy(plan: Plan, records: Sequence[RoundRecord]) -> dict[str, Any]:
    """Return the claim as it came out: epsilon from the events of the rounds, never from the plan."""
    told = records[-1].privacy if records else None
    claimed = plan.privacy is not None and told is not None and told["epsilon"] is not None
    return {
        "epsilon": told["epsilon"] if claimed and told is not None else None,
        "delta": plan.privacy.delta if claimed and plan.privacy is not None else None,
        "unit": plan.privacy.unit if claimed and plan.privacy is not None else None,
        "covered": covered(plan) if claimed else [],
        "not_covered": not_covered(plan),
    }


def _split(records: Sequence[RoundRecord]) -> dict[str, Any]:
    crossed = [record.split for record in records if record.split is not None]
    up, down, steps = (sum(said[key] for said in crossed) for key in ("bytes_up", "bytes_down", "steps"))
    return {"steps": steps, "bytes": {"up": up, "down": down}, "bytes_per_step": (up + down) / max(1, steps)}


def _by_class(result: RunResult) -> dict[str, Any]:
    outcomes = [found.outcome for found in result.test.sites.values()]
    if not isinstance(result.task, Synthesis) or not outcomes or None in outcomes:
        return {}
    measures = result.task.measures
    return {"by_class": measures.by_class(joined(measures, [outcome for outcome in outcomes if outcome is not None]))}


def _ledger(end: LedgerEnd) -> dict[str, Any]:
    return {
        "run": end.run,
        "entries": end.size,
        "root": end.root,
        "cosigned": list(end.cosigned),
        "final": end.final,
        "confirmed": list(end.confirmed),
        "events": list(end.events),
        "bytes": {"up": end.bytes_up, "down": end.bytes_down},
    }


def _metrics(pooled: Description, sites: Mapping[str, Description]) -> dict[str, Any]:
    values = {name: _values(found) for name, found in sites.items()}
    worst = {name: {"site": site, "value": value} for name, (site, value) in worst_of(values).items()}
    return {"pooled": _values(pooled), "sites": values, "worst": worst}


def _values(description: Description) -> dict[str, float | None]:
    return {name: estimate.value for name, estimate in description.metrics.items()}


def _intervals(description: Description) -> dict[str, list[float] | None]:
    return {
        name: None if estimate.low is None or estimate.high is None else [estimate.low, estimate.high]
        for name, estimate in description.metrics.items()
    }


def _tested(description: Description) -> dict[str, Any]:
    return {
        "examples": description.num_examples,
        "groups": description.num_groups,
        "auc_classes": list(description.auc_classes),
    }


def _drift(test: Assessment) -> dict[str, Any]:
    drifts = {name: found.drift for name, found in test.sites.items() if found.drift is not None}
    looks = {
        name: {
            "mean": [round(value, 3) for value in drift.mean.tolist()],
            "deviation": [round(value, 3) for value in drift.deviation.tolist()],
            "histogram": drift.histogram.tolist(),
        }
        for name, drift in drifts.items()
    }
    apart = feature_distances(drifts)
    return {
        "looks": looks,
        "features": {site: {other: round(far, 4) for other, far in row.items()} for site, row in apart.items()},
    }


def _facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {key: facts[key] for key in ("num_train", "num_val", "num_test", "label_counts") if key in facts}
