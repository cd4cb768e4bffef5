"""Coordinators that do what they like with real sites, and beside each attack what it gains where nothing stops it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import rigged
import tiny
from hostile import Between, Ward, plan_of, trained, weighted
from scipy import stats

from wardround.core.codec import Message
from wardround.errors import PlanError, QuorumLost, SiteError, WireError
from wardround.protect.home import HOME, Home
from wardround.protect.identity import Identity
from wardround.protect.trust import approve
from wardround.protect.unmask import unmask
from wardround.protect.vault import IN_ENVIRONMENT
from wardround.rounds.coordinator import Coordinator
from wardround.rounds.wire import tensor_of
from wardround.study.build import deployed
from wardround.study.explain import explain

EAST, NORTH, WEST = tiny.NAMES


@pytest.fixture
def masked(tmp_path: Path) -> Ward:
    return trained(tmp_path)


class TestOneCiphertextAsTheSum:
    def test_masked_it_is_void_at_every_site_and_uniform_to_one_that_opens_it(self, tmp_path: Path) -> None:
        protect = [{**tiny.CLIP, "norm": 1.0}, *tiny.PIPELINES["packed and masked"][1:]]
        made = trained(tmp_path, "packed and masked", protect=protect)
        boxes = made.offers(made.names)
        assert made.scheme.layout is not None
        for site in made.names:
            total = made.summed({site: made.upload(site, boxes)})
            said = made.unseal(total.frame(), [site], made.weights[site])
            assert all("cannot add up to" in reason for reason in said.values())
            # Weights that sum to a power of two leave no number that cannot be: then what fills up the chunk shows it.
            said = made.unseal(total.frame(), [site], made.plan.weight_total, group=1)
            assert all("behind its end" in reason or "cannot add up to" in reason for reason in said.values())
            shares = made.words(total) / made.scheme.layout.modulus
            assert stats.kstest(shares, "uniform").pvalue > 1e-6
        with pytest.raises(SiteError, match="has not opened the sums"):
            made.call(EAST, "step", Message({"round": 0, "groups": [0], "population": 3}))

    def test_without_masks_it_opens_to_the_update(self, tmp_path: Path) -> None:
        """The control, and why such a plan has to say that it trusts its coordinator."""
        made = trained(tmp_path, "packed")
        total = made.summed({NORTH: made.upload(NORTH, {})})
        assert set(made.unseal(total.frame(), [NORTH], 1).values()) == {""}
        assert (made.read(total, 1) == made.values(NORTH)).all()
        assert made.scheme.layout is not None
        assert stats.kstest(made.words(total) / made.scheme.layout.modulus, "uniform").pvalue < 1e-100

    def test_check_says_so(self) -> None:
        said = explain(plan_of("packed"))
        assert "one that sends a single site's ciphertext as the sum has it opened" in said
        assert "only for a coordinator that follows the protocol" in said
        assert "single site's ciphertext" not in explain(plan_of("packed and masked"))

    @pytest.mark.parametrize("acknowledged", [False, True])
    def test_a_deployment_wants_it_acknowledged(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, acknowledged: bool
    ) -> None:
        stages = [*tiny.PIPELINES["packed"][:-1], {**tiny.PACKED, "honest_coordinator": acknowledged}]
        plan = tiny.plan(protect=stages)
        monkeypatch.setattr("wardround.protect.vault.Vault.__init__.__defaults__", (15,))
        passphrase = tmp_path / "passphrase"
        passphrase.write_text("correct horse battery")
        passphrase.chmod(0o600)
        monkeypatch.setenv(IN_ENVIRONMENT, str(passphrase))
        monkeypatch.setenv(HOME, str(tmp_path / "home"))
        Home.of(None).begin(EAST, b"correct horse battery")
        approve(Home.of(None).trust_path, plan.digest())
        if acknowledged:
            assert deployed(plan, EAST)
            return
        with pytest.raises(PlanError, match="honest_coordinator = true") as refusal:
            deployed(plan, EAST)
        assert refusal.value.exit_code == 2


class TestReplays:
    """What was made for one attempt, round or run is good for no other."""

    @pytest.fixture(params=["attempt", "round", "run"])
    def places(self, request: pytest.FixtureRequest, masked: Ward) -> tuple[Ward, Callable[[], tuple[int, int]]]:
        """A ward, and a function that goes on to another place and returns its round and attempt."""

        def go_on() -> tuple[int, int]:
            if request.param == "attempt":
                return 0, 1
            if request.param == "round":
                masked.train(1)
                return 1, 0
            masked.agree_on_keys()
            return 0, 0

        return masked, go_on

    def test_offers(self, places: tuple[Ward, Callable[[], tuple[int, int]]]) -> None:
        made, go_on = places
        old = made.offers(made.names)
        round_index, number = go_on()
        new = made.offers(made.names, number, round_index)
        mixed = {**new, WEST: old[WEST]}
        with pytest.raises(WireError, match="a box from west does not open"):
            made.upload(EAST, mixed, number, round_index)
        assert made.upload(EAST, new, number, round_index)

    def test_lists_signatures_and_shares(self, places: tuple[Ward, Callable[[], tuple[int, int]]]) -> None:
        made, go_on = places
        boxes = made.offers(made.names)
        for site in made.names:
            made.upload(site, boxes)
        signed = {site: made.sign(site, made.names) for site in made.names}
        shares = {site: made.reveal(site, made.names, signed) for site in made.names}
        round_index, number = go_on()
        new = made.offers(made.names, number, round_index)
        for site in made.names:
            made.upload(site, new, number, round_index)
            made.sign(site, made.names, number, round_index)
            with pytest.raises(WireError, match="does not fit the list of survivors"):
                made.reveal(site, made.names, signed, number, round_index)
        listed = made.listed(made.names, made.names, number, round_index)
        with pytest.raises(QuorumLost, match="0 of 3 survivors revealed their shares"):
            unmask(listed, shares)

    def test_uploads(self, tmp_path: Path) -> None:
        """A frame of another attempt hides its update in the sum, too."""
        made = trained(tmp_path, "packed and masked")
        boxes = made.offers(made.names)
        old = made.upload(NORTH, boxes)
        again = made.offers(made.names, 1)
        frames = {site: made.upload(site, again, 1) for site in made.names}
        signatures = {site: made.sign(site, made.names, 1) for site in made.names}
        reveals = {site: made.reveal(site, made.names, signatures, 1) for site in made.names}
        listed, weight = made.listed(made.names, made.names, 1), sum(made.weights.values())
        assert (made.unmasked(frames, listed, reveals) == weighted(made, made.names)).all()
        total = made.summed({**frames, NORTH: old})
        total.subtract_plain(unmask(listed, reveals).words(0, made.words(total).size, made.scheme.word_bits))
        said = made.unseal(total.frame(), made.names, weight)
        assert all("cannot add up to" in reason for reason in said.values())


class TestLists:
    def test_a_site_that_is_dropped_for_some_and_alive_for_others(self, masked: Ward) -> None:
        """Each site is shown a list without another: all sign theirs, none signs a second, nothing is revealed."""
        boxes = masked.offers(masked.names)
        for site in masked.names:
            masked.upload(site, boxes)
        lists = {EAST: (EAST, NORTH), NORTH: (NORTH, WEST), WEST: (EAST, WEST)}
        signatures = {site: masked.sign(site, listed) for site, listed in lists.items()}
        for restarted in (False, True):
            if restarted:
                masked.restart(*masked.names)
            for site, mine in lists.items():
                others = [listed for listed in (*lists.values(), masked.names) if site in listed and listed != mine]
                for other in others:
                    said = {"round": 0, "attempt": 0, "survivors": list(other)}
                    assert "already signed another list" in masked.refusal(site, "agree", Message(said))
                with pytest.raises(WireError, match="does not fit"):
                    masked.reveal(site, mine, {one: signatures[one] for one in mine})
            assert masked.sign(EAST, lists[EAST]) != b""

    def test_signatures_that_are_missing_forged_or_somebody_else_s(self, masked: Ward) -> None:
        boxes = masked.offers(masked.names)
        for site in masked.names:
            masked.upload(site, boxes)
        good = {site: masked.sign(site, masked.names) for site in masked.names}
        forged = Identity.new().sign(masked.listed(masked.names, masked.names).message())
        wrong: list[tuple[Mapping[str, bytes], str]] = [
            ({}, "0 signatures are not one of each of 3"),
            ({EAST: good[EAST], NORTH: good[NORTH]}, "2 signatures are not one of each of 3"),
            ({**good, "south": forged}, "4 signatures are not one of each of 3"),
            ({**good, WEST: forged}, "the signature of site 'west' does not fit"),
            ({**good, WEST: good[NORTH]}, "the signature of site 'west' does not fit"),
            ({**good, WEST: b""}, "the signature of site 'west' does not fit"),
        ]
        for signatures, sentence in wrong:
            with pytest.raises(WireError, match=sentence):
                masked.reveal(EAST, masked.names, signatures)
        assert masked.reveal(EAST, masked.names, good)

    def test_shares_for_another_list_or_after_a_later_attempt(self, masked: Ward) -> None:
        boxes = masked.offers(masked.names)
        for site in masked.names:
            masked.upload(site, boxes)
        good = {site: masked.sign(site, masked.names) for site in masked.names}
        assert masked.reveal(EAST, masked.names, good)
        for survivors in ((EAST, NORTH), (EAST, WEST)):
            with pytest.raises(SiteError, match="only for the list that it signed"):
                masked.reveal(EAST, survivors, {site: good[site] for site in survivors})
        masked.offers((NORTH, WEST), 1)  # east dropped out: one may
        with pytest.raises(SiteError, match="not the latest that this site offered"):
            masked.reveal(NORTH, masked.names, good)

    def test_out_of_order(self, masked: Ward) -> None:
        said = {"round": 0, "attempt": 0, "part": 0, "weights": masked.weights}
        assert "not the latest" in masked.refusal(EAST, "upload", Message(said))
        boxes = masked.offers(masked.names)
        for op in ("agree", "reveal"):
            body = Message({"round": 0, "attempt": 0, "survivors": list(masked.names)})
            assert "sent no update in attempt 0" in masked.refusal(EAST, op, body)
        assert "0 offers arrived" in masked.refusal(EAST, "upload", Message(said))
        masked.upload(EAST, boxes)
        body = Message({"round": 0, "attempt": 0, "survivors": [NORTH, WEST]})
        assert "on which it dropped out" in masked.refusal(EAST, "agree", body)
        body = Message({"round": 0, "attempt": 0, "survivors": [EAST]})
        assert "below the threshold" in masked.refusal(EAST, "agree", body)

    def test_bodies_that_are_no_attempt(self, masked: Ward) -> None:
        offer = {"round": 0, "attempt": 0, "cohort": list(masked.names), "whole": False}
        for changed, sentence in (
            ({"cohort": [EAST]}, "needs at least 2 sites"),
            ({"cohort": []}, "needs at least 2 sites"),
            ({"cohort": [EAST, EAST]}, "name a site twice"),
            ({"cohort": [EAST, EAST, NORTH]}, "name a site twice"),
            ({"cohort": [WEST, EAST]}, "not sorted"),
            ({"cohort": [NORTH, WEST]}, "'east' is not in the cohort"),
            ({"cohort": [EAST, "south"]}, "shares no key"),
            ({"cohort": [EAST, 3]}, "no list of names"),
            ({"attempt": -1}, "no whole number"),
            ({"attempt": True}, "no whole number"),
            ({"round": 2**40}, "no whole number"),
        ):
            assert sentence in masked.refusal(EAST, "offer", Message({**offer, **changed})), changed
        boxes = masked.offers(masked.names)
        mine = {sender: tensor_of(boxes[sender][EAST]) for sender in (NORTH, WEST)}
        upload = {"round": 0, "attempt": 0, "part": 0, "weights": masked.weights}
        most = masked.plan.weight_total
        for changed, sentence in (
            ({"weights": {**masked.weights, EAST: 0}}, "not whole numbers above 0 whose sum is at most 64"),
            ({"weights": {**masked.weights, EAST: -3}}, "not whole numbers above 0"),
            ({"weights": {**masked.weights, EAST: 1.5}}, "not whole numbers above 0"),
            ({"weights": {EAST: most - 1, NORTH: 1, WEST: 1}}, "whose sum is at most 64"),
            ({"weights": {EAST: 1, NORTH: 1}}, "not those of the attempt's cohort"),
            ({"weights": {**masked.weights, "south": 1}}, "not those of the attempt's cohort"),
            ({"weights": {}}, "no table of weights"),
            ({"part": 1}, "part 1 is none of the 1 parts"),
            ({"part": -1}, "no whole number"),
            ({"round": 3}, "holds no update of round 3"),
            ({"attempt": 1}, "not the latest"),
        ):
            assert sentence in masked.refusal(EAST, "upload", Message({**upload, **changed}, mine)), changed
        assert masked.call(EAST, "upload", Message(upload, mine))


@pytest.mark.parametrize("pipeline", ["masked", "packed and masked"])
def test_a_coordinator_that_swaps_offers_ends_by_the_sites_names(tmp_path: Path, pipeline: str) -> None:
    plan = plan_of(pipeline, rounds=1)
    made = Ward(plan, tmp_path)

    def tell(op: str, site: str, body: Message) -> Message:
        if op != "upload" or len(body.tensors) < 2:
            return body
        one, other = sorted(body.tensors)
        return Message(body.fields, {one: body.tensors[other], other: body.tensors[one]})

    with pytest.raises(QuorumLost, match="a box from north does not open"):
        Coordinator(plan, Between(made, tell), rigged.Memory()).run()
