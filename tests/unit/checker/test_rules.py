"""Every rule is needed: for each there is a mixture that it alone refuses."""

from __future__ import annotations

import pickle
import re
from dataclasses import replace
from pathlib import Path

import pytest

from wardround.checker import (
    RULES,
    Cohort,
    Combiner,
    Contract,
    Grouping,
    Link,
    Masking,
    Mixture,
    Noise,
    Norm,
    Numbers,
    Picks,
    Unit,
    View,
    Weights,
    Work,
    check,
    refusals,
)
from wardround.errors import PlanError
from wardround.protect.clip import Clip
from wardround.protect.pipeline import Homomorphic, Masks, Pipeline
from wardround.protect.quantise import Quantise

REAL = frozenset({Numbers.REAL})
CLIP, QUANTISE, MASKS, PACKED = Pipeline((Clip(), Quantise(), Masks(), Homomorphic())).links
CKKS = Link("ckks", Homomorphic("ckks").contract)
TOPK = Link("topk", Contract(REAL, Numbers.REAL, picks_coordinates=Picks.OWN))
GROWING = Link("growing", Contract(REAL, Numbers.REAL, norm=Norm.GROWS))
CODES = Link("codes", Contract(REAL, Numbers.CODES, norm=Norm.INFLATES))
PUBLIC = Link("randomk", Contract(REAL, Numbers.REAL, picks_coordinates=Picks.SHARED, remembers=True))
MEDIAN = Combiner("median", View.EACH)
COUNTED = Combiner("mean", View.SUM, Weights.REPORTED)
CUT = Work("splitfed_v1", splits=True)
VOTING = Work("fedgma", votes=True)
CENTRAL, LOCAL = Work("central", pooled=True), Work("local", shares=False)


def noise(covers: View = View.EACH, unit: Unit = Unit.SITE, seeded: bool = False, by_opener: bool = False) -> Link:
    made = Noise(covers, unit, seeded, by_opener)
    return Link("noise", Contract(REAL, Numbers.REAL, norm=Norm.INFLATES, noise=made))


def masked(*links: Link, threshold: int = 2, bisects: bool = False) -> Mixture:
    return replace(staged(*links, QUANTISE, MASKS), masking=Masking(threshold, 2, 255, bisects))


def grouped(mixture: Mixture) -> Mixture:
    return replace(mixture, grouping=Grouping(2), screens=(IN_GROUPS,))


IN_GROUPS = Combiner("clip_norms", View.EACH, takes_groups=True)
BOUNDED = Work("dpsgd", bounds_records=True)
OWN_NOISE = replace(BOUNDED, noise=Noise(View.EACH, Unit.RECORD))
CENTRAL_NOISE = noise(View.SUM, by_opener=True)


def staged(*links: Link) -> Mixture:
    masking = Masking(0, 2, 255) if MASKS in links else None
    claims = any(link.contract.noise for link in links)
    return Mixture(links, weight_total=64, masking=masking, claims_privacy=claims)


def of(size: int, *links: Link) -> Mixture:
    return replace(staged(*links), cohort=Cohort(num_trainers=size))


ALONE: dict[str, Mixture] = {
    "quorum-beyond-cohort": Mixture(cohort=Cohort(2, 3)),
    "drawn-yardstick": Mixture(work=CENTRAL, cohort=Cohort(1)),
    "averaged-nothing": Mixture(work=LOCAL, averaged=True),
    "protected-yardstick": replace(staged(CLIP), work=LOCAL),
    "missing-sites": Mixture(cohort=Cohort(sites_per_round=4, num_trainers=3)),
    "attacked-hospitals": Mixture(deployed=True, attacks=("lie",)),
    "trust-unheeded": Mixture(aggregator=MEDIAN, screens=(Combiner("foolsgold", View.EACH, gives_trust=True),)),
    "probed-without-images": Mixture(screens=(Combiner("fltrust", View.EACH, asks_probe=True),)),
    "probe-unasked": Mixture(probes=True),
    "sum-of-one": of(1, QUANTISE, PACKED),
    "cosigned-alone": Mixture(cohort=Cohort(num_trainers=1), cosigned=True),
    "indivisible-weights": of(65, QUANTISE),
    "least-sites-beyond-cohort": replace(of(3, QUANTISE, MASKS), masking=Masking(0, 4, 255)),
    "mask-threshold": replace(of(4, QUANTISE, MASKS), masking=Masking(2, 2, 255)),
    "too-many-masked": replace(of(256, QUANTISE, MASKS), weight_total=999),
    "too-few-updates": replace(of(2), aggregator=replace(MEDIAN, least_updates=3)),
    "integers-needed": staged(PACKED),
    "reals-needed": staged(QUANTISE, CKKS),
    "codes-are-last": staged(CODES, QUANTISE),
    "masks-are-last": staged(QUANTISE, MASKS, QUANTISE),
    "encryption-is-last": staged(QUANTISE, PACKED, MASKS),
    "one-of-a-kind": staged(CLIP, CLIP),
    "each-behind-hides": replace(staged(QUANTISE, MASKS), aggregator=MEDIAN),
    "each-of-frames": replace(staged(QUANTISE), screens=(Combiner("norms", View.EACH),)),
    "own-coordinates-summed": staged(TOPK, QUANTISE),
    "growth-after-bound": staged(CLIP, GROWING),
    "variates-compressed": replace(staged(TOPK), work=Work("scaffold", mirrored=True)),
    "votes-uncounted": replace(staged(CODES), work=VOTING),
    "votes-judged": Mixture(work=VOTING, aggregator=MEDIAN),
    "groups-without-masks": replace(Mixture(screens=(IN_GROUPS,)), grouping=Grouping(2)),
    "groups-encrypted": grouped(staged(QUANTISE, MASKS, PACKED)),
    "groups-bisected": grouped(masked(bisects=True)),
    "groups-unjudged": replace(masked(), grouping=Grouping(2)),
    "one-group": replace(grouped(masked()), cohort=Cohort(num_trainers=3)),
    "changing-groups-needed": replace(
        masked(), grouping=Grouping(2, regroups=False), screens=(replace(IN_GROUPS, tells_members=True),)
    ),
    "fixed-groups-drawn": replace(grouped(masked()), grouping=Grouping(2, regroups=False), cohort=Cohort(4)),
    "noise-of-groups": grouped(masked(CLIP, noise(View.SUM))),
    "opener-without-key": replace(staged(QUANTISE, PACKED), open_at="coordinator"),
    "opener-not-needed": replace(staged(QUANTISE), open_at="sites"),
    "lone-ciphertext": replace(staged(QUANTISE, PACKED), deployed=True),
    "noise-without-bound": staged(noise()),
    "coordinates-before-noise": staged(TOPK, CLIP, noise()),
    "share-of-noise-seen": staged(CLIP, noise(View.SUM)),
    "claim-without-noise": Mixture(claims_privacy=True),
    "reported-weights": replace(staged(CLIP, noise()), aggregator=COUNTED),
    "seeded-noise": replace(staged(CLIP, noise(seeded=True)), deployed=True),
    "noise-without-claim": replace(staged(CLIP, noise()), claims_privacy=False),
    "other-unit": Mixture(work=OWN_NOISE, claims_privacy=True, claimed_unit=Unit.SITE),
    "noise-twice": replace(staged(CLIP, noise()), work=OWN_NOISE),
    "opener-knows-noise": staged(CLIP, CENTRAL_NOISE, QUANTISE, MASKS, PACKED),
    "shares-without-threshold": masked(CLIP, noise(View.SUM), threshold=0),
    "shares-bisected": masked(CLIP, noise(View.SUM), bisects=True),
    "shares-without-range": replace(masked(noise(View.SUM, Unit.RECORD)), work=BOUNDED),
    "noise-of-no-sum": replace(staged(CLIP, CENTRAL_NOISE), aggregator=MEDIAN),
    "codes-before-noise": staged(CLIP, CENTRAL_NOISE, CODES),
    "feedback-before-noise": replace(staged(PUBLIC, noise(unit=Unit.RECORD)), work=BOUNDED),
    "steps-by-count": Mixture(work=replace(OWN_NOISE, counts_records=True), claims_privacy=True),
    "both-roles": Mixture(work=CUT, body_host="apart", deployed=True),
    "split-uncovered": replace(staged(CLIP, noise()), work=CUT, claims_privacy=True),
    "seeded-cut-noise": Mixture(work=CUT, body_host="coordinator", noisy_cut=True, deployed=True),
    "relay-combines-nothing": replace(staged(CLIP), work=replace(CUT, relays=True)),
    "unsent-protected": replace(staged(CLIP), work=replace(CUT, updates=False)),
    "votes-bare": replace(staged(CLIP, noise()), work=VOTING),
    "mixed-records": Mixture(work=replace(OWN_NOISE, mixes_records=True), claims_privacy=True),
}
"""Rule -> a mixture that breaks it and no other."""


def test_every_rule_has_its_mixture() -> None:
    assert ALONE.keys() == RULES.keys()


def test_every_rule_has_its_demonstration() -> None:
    """For each rule a test of what it prevents, by its name."""
    pages = (Path(__file__).parents[2] / "adversarial").glob("test_rules_of_*.py")
    shown = {name for page in pages for name in re.findall(r"^def test_(\w+)\(", page.read_text(), re.MULTILINE)}
    assert {name.replace("-", "_") for name in RULES} <= shown


@pytest.mark.parametrize("name", RULES)
def test_without_a_rule_what_it_refuses_goes_through(name: str) -> None:
    with pytest.raises(PlanError, match=re.escape(f"(rule {name})")) as refused:
        check(ALONE[name])
    assert refused.value.rule == name
    assert not refusals(ALONE[name], [rule for rule in RULES.values() if rule.name != name])


SOUND: dict[str, Mixture] = {
    "nothing": Mixture(),
    "all": of(3, CLIP, QUANTISE, MASKS, PACKED),
    "ckks": staged(CLIP, CKKS),
    "votes under seal": replace(of(3, CLIP, QUANTISE, MASKS, PACKED), work=VOTING),
    "robust in the clear": replace(staged(TOPK, CODES), aggregator=MEDIAN, screens=(Combiner("norms", View.EACH),)),
    "coordinates chosen after the noise": replace(staged(CLIP, noise(), TOPK), claims_privacy=True),
    "shares of noise under masks": replace(masked(CLIP, noise(View.SUM)), claims_privacy=True),
    "the coordinator's noise": replace(staged(CLIP, CENTRAL_NOISE, QUANTISE), claims_privacy=True),
    "feedback of sites": replace(staged(PUBLIC, CLIP, noise()), claims_privacy=True),
    "feedback of what has noise": replace(staged(noise(unit=Unit.RECORD), TOPK), work=BOUNDED),
    "records bounded by the training": replace(
        staged(noise(View.EACH, Unit.RECORD)), work=Work(bounds_records=True), claims_privacy=True
    ),
    "noise in the training": Mixture(work=Work(noise=Noise(View.EACH, Unit.RECORD)), claims_privacy=True),
    "acknowledged": replace(staged(QUANTISE, PACKED), deployed=True, trusts_coordinator=True),
    "masked in a deployment": replace(staged(QUANTISE, MASKS, PACKED), deployed=True),
    "system noise in a deployment": replace(staged(CLIP, noise()), deployed=True),
    "grown before the clip": staged(GROWING, CLIP),
}


@pytest.mark.parametrize("mixture", SOUND.values(), ids=SOUND.keys())
def test_what_is_sound_is_not_refused(mixture: Mixture) -> None:
    assert refusals(mixture) == []


def test_a_rule_says_why_and_what_to_do_in_a_clause_each() -> None:
    for name, rule in RULES.items():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)+", name)
        for clause in (rule.reason, rule.remedy):
            assert len(clause) > 5
            assert not clause.endswith(".")


def test_a_refusal_keeps_its_rule_on_the_way_between_processes() -> None:
    with pytest.raises(PlanError) as refused:
        check(ALONE["sum-of-one"])
    again = pickle.loads(pickle.dumps(refused.value))
    assert (str(again), again.rule) == (str(refused.value), "sum-of-one")
