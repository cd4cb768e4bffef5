"""A plan in words, and what each party can see of it."""

from __future__ import annotations

from typing import Any

from wardround.algorithms import Local
from wardround.protect.scheme import Scheme
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
        *_harmonised(table["data"]),
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
    if plan.pipeline.stages:
        lines[-1:-1] = _protection(plan)
    open_to_all = plan.evaluation.shares_predictions(plan.data.source.public)
    shared = "probabilities, labels, and opaque patient numbers" if open_to_all else "metrics and a confusion matrix"
    lines += [
        *_seen(plan),
        "  outside       nothing on one machine; on NVIDIA FLARE, what mutual TLS hides",
        "",
        f"Everybody's counts and training losses, and for validation and test images {shared}, go to the coordinator.",
        "(epsilon, delta) covers nothing: no noise is added. " + _spoiling(plan),
        "",
        "What can be proved afterwards, with wardround ledger",
        *_proved(plan),
    ]
    return "\n".join(lines)


def _harmonised(data: dict[str, Any]) -> list[str]:
    if "harmonise" not in data:
        return []
    geometry = ", ".join(f"{key} = {value!r}" for key, value in data["harmonise"].items())
    return [f"images    {geometry}; grey levels {_settings(data['intensity'], 'by')}"]


def _protection(plan: Plan) -> list[str]:
    pipeline = plan.pipeline
    stages = " -> ".join(_settings(stage, "stage") for stage in to_table(plan)["protect"])
    opener = "the sites, each of which takes the server step" if pipeline.opens_at_sites else "the coordinator"
    lines = [f"protect   {stages}", f"opened by {opener}"]
    if pipeline.sums_frames:
        lines.append(f"frames    {_frames(Scheme.of(pipeline, plan.weight_total))}")
    return [*lines, ""]


def _frames(scheme: Scheme) -> str:
    per_float = scheme.frame_bytes(slice(0, scheme.part_values)) / scheme.part_values
    size = f"{per_float:.2f} bytes per float up (plain: 4.00)"
    if scheme.lattice is None:
        return size
    lattice = scheme.lattice
    return (
        f"{size}; N = {lattice.degree}, q of {lattice.total_bits} bits: {lattice.classical_bits} bits of security, "
        f"{lattice.quantum_bits} against quantum attacks; sums up to weight {scheme.weight_total}"
    )


def _seen(plan: Plan) -> list[str]:
    pipeline = plan.pipeline
    if isinstance(plan.algorithm, Local):
        return ["  coordinator   no weights: they all stay at their site", "  other sites   nothing"]
    if pipeline.masks and pipeline.homomorphic:
        coordinator = "nothing of any update, and not the model: it adds masked ciphertexts"
    elif pipeline.homomorphic:
        coordinator = (
            "ciphertexts, and not the model; but one that sends a single site's ciphertext as the sum has it opened: "
            "only for a coordinator that follows the protocol"
        )
    elif pipeline.masks:
        coordinator = "the sum of the updates and the model; no single update"
    else:
        coordinator = "each site's update, in the clear: it can be attacked to rebuild training images"
    others = "the broadcast model of every round"
    if pipeline.opens_at_sites:
        others = "the sum of every round, and so the model"
    if pipeline.homomorphic and not pipeline.masks:
        others += "; with the shared key, every update whose ciphertext the coordinator gives them"
    lines = [f"  coordinator   {coordinator}"]
    if pipeline.masks and pipeline.homomorphic:
        lines.append("                (one that makes up sums may learn the run's key: sums and model, no update)")
    lines.append(f"  other sites   {others}")
    if pipeline.masks:
        threshold = pipeline.masks.threshold or "n - 1 for 3 to 5 sites, else the smallest majority"
        halves = ", the halves of a void one 2 or more" if pipeline.masks.bisect else ""
        lines += [
            "  both together the sum of the other sites' updates, no single one: while fewer than t of the n sites",
            "                of a round side with the coordinator, or at most 2t - n - 1 if it shows sites different",
            f"                lists; t = {threshold}",
            f"                and a sum has {pipeline.masks.least_sites} sites or more{halves}",
        ]
    return lines


def _spoiling(plan: Plan) -> str:
    if not plan.pipeline.sums_frames:
        clipped = " beyond its clip" if plan.pipeline.clip else ""
        return f"No site's update is hidden. One site can spoil the mean{clipped}."
    return (
        "No update can be judged by itself, so one site can pull the mean as far as all sites together may move it; a "
        "sum whose norm honest sites cannot make voids the round."
    )


def _proved(plan: Plan) -> list[str]:
    if not plan.cosigned:
        return [
            "  nobody co-signs: only that the record was not damaged since; the coordinator can write all of it anew",
            '  (cosign = "sites" in [ledger] gives the sites keys, and lets them sign)',
        ]
    weighs_blindly = plan.pipeline.homomorphic and not plan.pipeline.masks
    weight = "" if weighs_blindly else " with its weight"
    used = ["                and that an image is, or is not, on its list of used ones"] if plan.ledger.data_use else []
    every = plan.ledger.outlasting_every
    when = f"every {every} rounds and at the end" if every else "at the end"
    return [
        f"  each site     that its update was in a round{weight}, by what it and the others co-signed",
        *used,
        "  coordinator   nothing by itself: more than two thirds of the sites make a round final, and what they signed",
        "                it can neither rewrite nor hide, nor show two of",
        "  outside       with the sites' fingerprints: that plan, rounds and model are those that the sites signed;",
        "                not that an update was honest, nor what a model was not trained on",
        f"  (signed with Ed25519; {when} with ML-DSA-65, too)",
    ]


def _settings(table: dict[str, object], key: str) -> str:
    rest = ", ".join(f"{k} = {v}" for k, v in table.items() if k != key and not isinstance(v, dict))
    return f"{table[key]} ({rest})" if rest else str(table[key])
