"""The pages on the next hospital say what the program does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import tiny

from wardround.algorithms import ALGORITHMS
from wardround.checker import RULES
from wardround.errors import PlanError
from wardround.protect.clip import norm_of
from wardround.rounds.digests import digest_of

DOCS = Path(__file__).parents[3] / "docs"
HOW_TO = (DOCS / "how-to" / "leave-one-hospital-out.md").read_text()
WHY = (DOCS / "explanation" / "next-hospital.md").read_text()
NEW = ("irm", "logit_adjusted", "vrex", "fedsr", "and_mask", "fedgma", "ditto", "fedrep")
NOISY = [tiny.CLIP, {"stage": "noise"}]
SITE = {"unit": "site", "delta": 1e-3, "noise_multiplier": 2.0, "randomness": "seed"}
PROTECTED = {
    "masks and encryption": {"protect": tiny.PIPELINES["packed and masked"]},
    "compression": {"protect": tiny.COMPRESSED["topk and int8"]},
    "median": {"aggregator": {"name": "median"}},
    "screen": {"screen": [{"name": "norms"}]},
    "site noise": {"protect": NOISY, "privacy": SITE, "aggregator": tiny.UNIFORM},
}
VOTERS = ("and_mask", "fedgma")


def test_every_algorithm_is_on_both_pages() -> None:
    for name in NEW:
        assert f"`{name}`" in WHY
        assert f"`{name}`" in HOW_TO
        assert name in ALGORITHMS


@pytest.mark.parametrize("protection", PROTECTED)
@pytest.mark.parametrize("name", NEW)
def test_the_table_of_protections_is_what_the_checker_says(name: str, protection: str) -> None:
    more = {"head_steps": 1} if name == "fedrep" else {}
    plan = tiny.plan(algorithm={"name": name, **more}, **PROTECTED[protection])
    if name in VOTERS and protection != "masks and encryption":
        with pytest.raises(PlanError, match="rule votes-"):
            plan.check()
    else:
        plan.check()


def test_the_rules_that_it_names_exist() -> None:
    assert set(re.findall(r"`(votes-\w+)`", WHY)) == {rule for rule in RULES if rule.startswith("votes-")}


def test_signs_are_far_longer_than_an_update() -> None:
    algorithm = tiny.plan(algorithm={"name": "fedgma"}).composed()
    bench = tiny.make_bench(tiny.plan())
    broadcast = algorithm.server.broadcast(algorithm.server.start(bench.shared(algorithm)))
    network = bench.lend()
    change = algorithm.local.run(bench.task, network, tiny.images(12), broadcast, {}, tiny.context(0, "east")).change
    update, votes = ({n: v for n, v in change.items() if n.startswith(group)} for group in ("net/", "vote/"))
    assert norm_of(votes) > 20 * norm_of(update)
    assert sum(v.size for v in votes.values()) == sum(v.size for v in update.values())
    assert digest_of(votes) != digest_of(update)
