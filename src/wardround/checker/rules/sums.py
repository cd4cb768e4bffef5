"""What a sum of updates means, and who may read it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wardround.checker.contract import Norm, Numbers, Picks, View
from wardround.checker.mixture import Mixture
from wardround.checker.rule import Rule


def _each_behind_hides(mixture: Mixture) -> Sequence[str]:
    hiding = [link.name for link in mixture.stages if View.EACH in link.contract.hides]
    each = [judge for judge in mixture.judges if judge.needs is View.EACH and not mixture.sees_groups(judge)]
    return [f"{judge.name} behind {hiding[0]}" for judge in each if hiding]


def _each_of_frames(mixture: Mixture) -> Sequence[str]:
    if not mixture.summed_unread or mixture.hides(View.EACH):
        return []
    grids = [link.name for link in mixture.stages if link.contract.gives is Numbers.INTEGER]
    return [f"{judge.name} behind {grids[0]}" for judge in mixture.judges if judge.needs is View.EACH]


def _own_coordinates_summed(mixture: Mixture) -> Iterator[str]:
    own = ""
    for link in mixture.stages:
        if own and link.contract.gives.is_summed:
            yield f"{own} before {link.name}"
            return
        if link.contract.picks_coordinates is Picks.OWN:
            own = link.name


def _growth_after_bound(mixture: Mixture) -> Sequence[str]:
    return [
        f"{link.name} after the bound on the norm"
        for place, link in enumerate(mixture.stages)
        if link.contract.norm is Norm.GROWS and mixture.bounded_before(place)
    ]


def _opener_without_key(mixture: Mixture) -> Sequence[str]:
    return ['open_at = "coordinator"'] if mixture.open_at == "coordinator" and mixture.hides(View.SUM) else []


def _opener_not_needed(mixture: Mixture) -> Sequence[str]:
    return ['open_at = "sites"'] if mixture.open_at == "sites" and not mixture.hides(View.SUM) else []


def _lone_ciphertext(mixture: Mixture) -> Sequence[str]:
    if not mixture.deployed or mixture.trusts_coordinator or mixture.masking:
        return []
    return [f"{link.name} without masks" for link in mixture.stages if View.SUM in link.contract.hides]


def _variates_compressed(mixture: Mixture) -> Sequence[str]:
    if not mixture.work.mirrored:
        return []
    picking = [link.name for link in mixture.stages if link.contract.picks_coordinates is not Picks.ALL]
    return [f"{mixture.work.name} with {name}" for name in picking]


def _votes_uncounted(mixture: Mixture) -> Sequence[str]:
    if not mixture.work.votes:
        return []
    return [
        f"{mixture.work.name} with {link.name}"
        for reaching, link in mixture.passages()
        if link.contract.picks_coordinates is not Picks.ALL
        or link.contract.gives is Numbers.CODES
        or (link.contract.gives is Numbers.CIPHERTEXT and reaching is Numbers.REAL)
    ]


def _votes_judged(mixture: Mixture) -> Sequence[str]:
    if not mixture.work.votes:
        return []
    return [f"{mixture.work.name} behind {judge.name}" for judge in mixture.judges if judge.needs is View.EACH]


SUMS = (
    Rule(
        "each-behind-hides",
        "it judges each update by itself, and nobody sees one: the result would be a plain sum under another name",
        'aggregate with "mean" and without screens, or remove the stages that hide updates; with [groups], some rules '
        "judge the means of groups",
        _each_behind_hides,
    ),
    Rule(
        "each-of-frames",
        "integers on a common grid are added as they arrive, so there is no single update that it could judge",
        'aggregate with "mean" and without screens, or make updates small with int8 instead of quantise',
        _each_of_frames,
    ),
    Rule(
        "own-coordinates-summed",
        "sites choose different coordinates, and a sum that nobody reads adds what lies at the same place",
        "choose randomk, whose coordinates are the same at every site",
        lambda mixture: list(_own_coordinates_summed(mixture)),
    ),
    Rule(
        "growth-after-bound",
        "it may lengthen an update again, so that the bound says nothing of what leaves the site",
        "put the clip after it",
        _growth_after_bound,
    ),
    Rule(
        "variates-compressed",
        "control variates stand for a mean over the sites only if every change of them arrives",
        "choose another algorithm, or remove the stage",
        _variates_compressed,
    ),
    Rule(
        "votes-uncounted",
        "votes count only if each arrives, whole and beside the number that it is about",
        "make integers of updates with quantise, or choose another algorithm",
        _votes_uncounted,
    ),
    Rule(
        "votes-judged",
        "it would judge an update by its votes, which are all of one length, or take their median for their share",
        'aggregate with "mean" and without screens, or choose another algorithm',
        _votes_judged,
    ),
    Rule(
        "opener-without-key",
        "the coordinator has no key to an encrypted sum, and with one it could read every update",
        'open_at = "sites"',
        _opener_without_key,
    ),
    Rule(
        "opener-not-needed",
        "without encryption the coordinator reads the sum whoever opens it, so the plan would promise too much",
        'add a homomorphic stage, or open_at = "coordinator"',
        _opener_not_needed,
    ),
    Rule(
        "lone-ciphertext",
        "without masks a coordinator could send one site's ciphertext as the sum and have it opened",
        "add a masks stage, or say honest_coordinator = true in the homomorphic stage",
        _lone_ciphertext,
    ),
)
