"""What `wardround check` says of a network that is cut."""

from __future__ import annotations

from wardround.algorithms import Algorithm
from wardround.rounds.plan import Plan

AT_THE_CUT = "activations and their gradients, to the body host"


def where_cut(plan: Plan) -> list[str]:
    """Return where the network is cut and what is sent over the cut; nothing where it is whole."""
    rules, body = plan.split, plan.composed().body
    if rules is None or body is None:
        return []
    levels = "level stays" if rules.depth == 1 else f"{rules.depth} levels stay"
    guards = [f"noise of {rules.noise_sd:g} standard deviations"] if rules.noise_sd else []
    guards += [f"decorrelated with weight {rules.decorrelation:g}"] if rules.decorrelation else []
    owned = "a body for each site, averaged" if body.copies else "one body"
    return [
        f"cut       the outermost {levels} at a site with the loss; below, {owned}, trained with {body.order.value}",
        f"crosses   {rules.wire} activations and gradients{', ' + ' and '.join(guards) if guards else ''}",
    ]


def seen_at_cut(plan: Plan, algorithm: Algorithm) -> list[str]:
    """Return what a body host sees, line by line; nothing where the network is whole."""
    if plan.split is None:
        return []
    lines = [
        "  body host     every batch's activations and gradients, and the body; no image, label, output, head or tail",
    ]
    knows_head = not plan.pipeline.opens_at_sites and plan.algorithm.work.updates
    if plan.split.body_host == "coordinator":
        lines.append("                but it is the coordinator, too: one party with what both see")
        if knows_head:
            lines.append("                so it knows the heads, and can rebuild images from what they make of them")
    elif knows_head:
        lines.append("                (should it learn the head from the coordinator, it could rebuild images)")
    if algorithm.relayed:
        lines.append("  next site     the head and the tail that the last one left, by way of the coordinator")
    lines.append("  run folder    the whole network, once the run is done: body, head and tail put together")
    return lines
