"""A plan in words, and what each party can see of it."""

from __future__ import annotations

from typing import Any

from wardround.algorithms import Local
from wardround.checker import RULES, Picks, View, refusals
from wardround.errors import PlanError
from wardround.protect.pipeline import Pipeline
from wardround.protect.scheme import Scheme
from wardround.rounds.plan import Plan
from wardround.study.coverage import claim
from wardround.study.cut_words import seen_at_cut, where_cut
from wardround.study.group_words import in_groups
from wardround.study.spec import to_table

_SHARED_OPENLY = {
    "classification": "probabilities, labels, opaque patient numbers, and sums over test images (light, features)",
    "segmentation": "the scores of each, opaque patient numbers, and sums over test images (light)",
    "restoration": "the scores of each, opaque patient numbers, and sums over test images (light)",
    "synthesis": "random features and the label of each, opaque patient numbers, and sums over test images (light)",
}
_SHARED_CLOSED = {
    "classification": "metrics and a confusion matrix",
    "segmentation": "metrics",
    "restoration": "metrics",
    "synthesis": "metrics",
}


def refuse(plan: Plan) -> None:
    """Refuse a plan with every rule that it breaks, not only the first.

    Raises:
        PlanError: there is one at least; the error's rule is the first.
    """
    found = refusals(plan.mixture())
    if found:
        raise PlanError(". ".join(refusal.sentence for refusal in found), rule=found[0].rule.name)


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
        *_task(plan, table),
        f"model     {_settings(table['model'], 'name')}",
        f"algorithm {_settings(table['algorithm'], 'name')}; server {_settings(table['server'], 'name')}",
        *_trained(plan),
        *_defended(table),
        *_votes(plan),
        *_played(plan),
        *where_cut(plan),
        f"rounds    {plan.rounds}, each with {cohort}; {quorum} must answer",
        f"combined  {_combined(table)}",
        "",
        "What each party can see",
    ]
    if algorithm.pooled:
        lines.append("  one place     every image and label: this is the yardstick, not a federation")
        return "\n".join(lines)
    if plan.pipeline.stages:
        lines[-1:-1] = _protection(plan)
    open_to_all = plan.evaluation.shares_predictions(plan.data.source.public)
    shared = (_SHARED_OPENLY if open_to_all else _SHARED_CLOSED)[plan.learns.name]
    if open_to_all and plan.learns.answers == "pixel" and plan.data.source.public:
        shared += ", and some of the test images with what was made of them"
    lines += [
        *_seen(plan),
        *seen_at_cut(plan, algorithm),
        "  outside       nothing on one machine; on NVIDIA FLARE, what mutual TLS hides",
        "",
        f"Everybody's counts and training losses, and for validation and test images {shared}, go to the coordinator.",
        *claim(plan),
        "",
        "Between privacy and robustness",
        *_stand(plan),
        "",
        "What can be proved afterwards, with wardround ledger",
        *_proved(plan),
        "",
        f"{len(RULES)} rules were checked, and the plan breaks none.",
    ]
    return "\n".join(lines)


def _task(plan: Plan, table: dict[str, Any]) -> list[str]:
    if plan.task is None:
        return []
    settings = {key: value for key, value in table["task"].items() if key != "degradation"}
    lines = [f"learns    {_settings(settings, 'name')}"]
    for each in table["task"].get("degradation", []):
        where = ", ".join(each["sites"]) or "every other site"
        rest = {key: value for key, value in each.items() if key != "sites"}
        lines.append(f"simulates {_settings(rest, 'by')} at {where}")
    return lines


def _trained(plan: Plan) -> list[str]:
    start = f", from the weights in {plan.start.file}" if plan.start else ""
    parts = {
        "all": "",
        "head": "the head alone; no other weight changes or travels",
        "norms": "norms, biases and the head; no other weight changes or travels",
    }[plan.training.parts]
    if not (parts or start):
        return []
    return [f"trains    {parts or 'every weight'}{start}"]


def _defended(table: dict[str, Any]) -> list[str]:
    if "defence" not in table:
        return []
    return [
        f"defence   {_settings(table['defence'], 'name')}",
        "          no (epsilon, delta): what it hides is what wardround attack finds hidden",
    ]


def _played(plan: Plan) -> list[str]:
    return [
        f"attack    {attack.name} by {', '.join(attack.sites)}, from round {attack.from_round} on: a simulation"
        for attack in plan.attacks or ()
    ]


def _votes(plan: Plan) -> list[str]:
    if not plan.algorithm.work.votes:
        return []
    return ["votes     beside each number of an update its sign, to be counted: twice the bytes, up and down"]


def _harmonised(data: dict[str, Any]) -> list[str]:
    if "harmonise" not in data:
        return []
    geometry = ", ".join(f"{key} = {value!r}" for key, value in data["harmonise"].items())
    return [f"images    {geometry}; grey levels {_settings(data['intensity'], 'by')}"]


def _combined(table: dict[str, Any]) -> str:
    screens = " -> ".join(_settings(screen, "name") for screen in table["screen"])
    return (
        f"{screens} -> {_settings(table['aggregator'], 'name')}" if screens else _settings(table["aggregator"], "name")
    )


def _protection(plan: Plan) -> list[str]:
    pipeline = plan.pipeline
    stages = " -> ".join(_settings(stage, "stage") for stage in to_table(plan)["protect"])
    opener = "the sites, each of which takes the server step" if pipeline.opens_at_sites else "the coordinator"
    lines = [f"protect   {stages}", f"opened by {opener}"]
    if pipeline.sums_frames:
        lines.append(f"frames    {_frames(Scheme.of(pipeline, plan.weight_total))}")
    if _compresses(pipeline):
        lines.append(f"travels   {_travelling(pipeline)}")
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
    if isinstance(plan.algorithm, Local) or not plan.algorithm.work.updates:
        return ["  coordinator   no weights: they all stay at their site", "  other sites   nothing"]
    if pipeline.masks and pipeline.homomorphic:
        coordinator = "nothing of any update, and not the model: it adds masked ciphertexts"
    elif pipeline.homomorphic:
        coordinator = (
            "ciphertexts, and not the model; but one that sends a single site's ciphertext as the sum has it opened: "
            "only for a coordinator that follows the protocol"
        )
    elif pipeline.masks and plan.groups:
        coordinator = f"the sum of each group of {plan.groups.size} sites or more, and the model; no single update"
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
        threshold = pipeline.masks.threshold or "all of 2, n - 1 for 3 to 5 sites, else the smallest majority"
        halves = ", the halves of a void one 2 or more" if pipeline.masks.bisect else ""
        of, least = "round", pipeline.masks.least_sites
        if plan.groups:
            of, least = "group", max(least, plan.groups.size)
        lines += [
            "  both together the sum of the other sites' updates, no single one: while fewer than t of the n sites",
            f"                of a {of} side with the coordinator, or at most 2t - n - 1 if it shows sites different",
            f"                lists; t = {threshold}",
            f"                and a sum has {least} sites or more{halves}",
        ]
    if plan.groups:
        lines.append("                (of a group of two, one on the coordinator's side gives the other's update away)")
    return lines


def _compresses(pipeline: Pipeline) -> bool:
    contracts = [link.contract for link in pipeline.links]
    return any(each.picks_coordinates is not Picks.ALL or not each.summable for each in contracts)


def _travelling(pipeline: Pipeline) -> str:
    """Say which part of an update travels."""
    parts = {
        Picks.ALL: "every coordinate",
        Picks.SHARED: "coordinates that the seed chooses, the same at every site",
        Picks.OWN: "coordinates that each site chooses; which ones says something of its update",
    }
    picked = [link.contract.picks_coordinates for link in pipeline.links]
    which = next((pick for pick in picked if pick is not Picks.ALL), Picks.ALL)
    rest = "added to the site's next update" if pipeline.feeds_back else "dropped"
    return f"{parts[which]}{', in one byte each' if pipeline.int8 else ''}; what does not is {rest}"


def _stand(plan: Plan) -> list[str]:
    """Say what a plan gives up on either side: whoever cannot see an update cannot judge it."""
    mixture = plan.mixture()
    if not mixture.work.shares:
        return ["  nothing is shared, so there is nothing to read and nothing to spoil"]
    if plan.groups:
        return in_groups(plan, plan.groups)
    if mixture.hides(View.EACH):
        return [
            "  privacy       no single update is read by whoever sums them",
            "  robustness    no update can be judged by itself, so one site can pull the mean as far as all sites",
            "                together may move it; a sum whose norm honest sites cannot make voids the round",
            "  instead       without masks and encryption, robust aggregators and screens can judge each update; with",
            "                masks and [groups], some of them judge the mean of each group",
        ]
    judges = [judge.name for judge in mixture.judges if judge.needs is View.EACH]
    if judges:
        held = f"each update is judged by {' and '.join(judges)}"
        if any(judge.asks_probe for judge in mixture.judges):
            held += ", on published images of the coordinator's own"
    elif mixture.summed_unread:
        held = "updates are summed unread, so one site can pull the mean as far as all sites together may move it"
    else:
        bounded = " beyond its clip" if plan.pipeline.clip else ""
        held = f"each update counts as it comes, so one site can spoil the mean{bounded}"
    return [
        "  privacy       no site's update is hidden from the coordinator",
        f"  robustness    {held}",
        "  instead       quantise, masks and homomorphic hide each update, and then nobody can judge it",
    ]


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
