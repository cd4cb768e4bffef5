"""A plan in words, and what each party can see of it."""

from __future__ import annotations

from wardround.algorithms import Local
from wardround.rounds.plan import Plan
from wardround.study.spec import to_table


def explain(plan: Plan) -> str:
    """Return a page of text about a plan that was not refused."""
    table = to_table(plan)
    algorithm = plan.composed()
    cohort = f"{plan.sites_per_round} sites drawn anew" if plan.sites_per_round else "every site"
    quorum = str(plan.quorum) if plan.quorum else "more than half of them"
    lines = [
        f"plan      {plan.name}, digest {plan.digest()}",
        f"data      {_settings(table['data'], 'source')}",
        f"sites     {_settings(table['data']['sites'], 'by')}",
        f"model     {_settings(table['model'], 'name')}",
        f"algorithm {_settings(table['algorithm'], 'name')}; server {_settings(table['server'], 'name')}",
        f"rounds    {plan.rounds}, each with {cohort}; {quorum} must answer",
        "",
        "What each party can see",
    ]
    if algorithm.pooled:
        lines.append("  one place     every image and label: this is the yardstick, not a federation")
        return "\n".join(lines)
    open_to_all = plan.evaluation.shares_predictions(plan.data.source.public)
    shared = "probabilities, labels, and opaque patient numbers" if open_to_all else "metrics and a confusion matrix"
    update = "each site's update, in the clear: it can be attacked to rebuild training images"
    lines += [
        f"  coordinator   {'no weights: they all stay at their site' if isinstance(plan.algorithm, Local) else update}",
        "                each site's number of images and its training loss",
        f"                and for validation and test images: {shared}",
        f"  other sites   {'nothing' if isinstance(plan.algorithm, Local) else 'the broadcast model of every round'}",
        "  outside       nothing on one machine; on NVIDIA FLARE, what mutual TLS hides",
        "",
        "(epsilon, delta) covers nothing: no noise is added. No site's update is hidden. One site can spoil the mean.",
    ]
    return "\n".join(lines)


def _settings(table: dict[str, object], key: str) -> str:
    rest = ", ".join(f"{k} = {v}" for k, v in table.items() if k != key and not isinstance(v, dict))
    return f"{table[key]} ({rest})" if rest else str(table[key])
