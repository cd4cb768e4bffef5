"""Coordinators that do what they like with real sites, and beside each attack what it gains where nothing stops it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rigged
import safetensors.numpy
import tiny
from hostile import Ward, plan_of
from scipy import stats

from wardround.core.codec import Message
from wardround.core.update import Tensors
from wardround.errors import QuorumLost, RunError, SiteError, TrustError, WardroundError, WireError
from wardround.fabric.base import Body
from wardround.protect.commitment import Commitment
from wardround.protect.handshake import Handshake
from wardround.protect.home import HOME, Home
from wardround.protect.identity import Identity
from wardround.protect.trust import StudyTrust, approve
from wardround.protect.unmask import unmask
from wardround.protect.vault import IN_ENVIRONMENT
from wardround.rounds import past, replication, trials
from wardround.rounds.coordinator import Coordinator
from wardround.rounds.digests import digest_of
from wardround.rounds.past import Cargo
from wardround.rounds.roster import introduce
from wardround.rounds.trials import Trials
from wardround.rounds.wire import tensor_of
from wardround.study.build import deployed
from wardround.study.explain import explain

EAST, NORTH, WEST = tiny.NAMES
SIX = ("alba", "brno", "cork", "dijon", "evora", "faro")


def ward(folder: Path, pipeline: str = "masked", names: Sequence[str] = tiny.NAMES, **changes: Any) -> Ward:
    made = Ward(plan_of(pipeline, **changes), folder, names)
    made.train(0)
    return made


@pytest.fixture
def masked(tmp_path: Path) -> Ward:
    return ward(tmp_path)


def weighted(of: Ward, sites: Sequence[str]) -> np.ndarray:
    """Return the sum that sites may open."""
    return np.asarray(sum(of.weights[site] * of.values(site) for site in sites))


class TestOneCiphertextAsTheSum:
    def test_masked_it_is_void_at_every_site_and_uniform_to_one_that_opens_it(self, tmp_path: Path) -> None:
        made = ward(tmp_path, "packed and masked")
        boxes = made.offers(made.names)
        assert made.scheme.layout is not None
        for site in made.names:
            total = made.summed({site: made.upload(site, boxes)})
            said = made.unseal(total.frame(), [site], made.weights[site])
            assert all("cannot add up to" in reason for reason in said.values())
            shares = made.words(total) / made.scheme.layout.modulus
            assert stats.kstest(shares, "uniform").pvalue > 1e-6
        with pytest.raises(SiteError, match="has not opened the sums"):
            made.call(EAST, "step", Message({"round": 0, "groups": [0], "population": 3}))

    def test_without_masks_it_opens_to_the_update(self, tmp_path: Path) -> None:
        """The control, and why such a plan has to say that it trusts its coordinator."""
        made = ward(tmp_path, "packed")
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
        with pytest.raises(TrustError, match="honest_coordinator = true") as refusal:
            deployed(plan, EAST)
        assert refusal.value.exit_code == 2


Tell = Callable[[str, str, Message], Message]
"""(op, site, what it would be told) -> what it is told."""


def shaken(of: Ward, tell: Tell, nonce: bytes = bytes(16)) -> dict[str, WardroundError]:
    """Carry a handshake between sites, as far as each of them goes; return who refused, and how."""
    refused: dict[str, WardroundError] = {}
    said: dict[str, Message] = {}
    for op in ("hello", "meet", "bind", "confirm"):
        heard = said
        said = {}
        for site in of.names:
            body = Message({}, {"nonce": tensor_of(nonce)})
            if op == "meet":
                body = Message({}, {sender: message.tensors["hello"] for sender, message in heard.items()})
            elif op != "hello":
                body = Message({}, {s: m.tensors[site] for s, m in heard.items() if site in m.tensors})
            try:
                if site not in refused:
                    said[site] = of.call(site, op, tell(op, site, body))
            except WardroundError as error:
                refused[site] = error
    return refused


def faithful(op: str, site: str, body: Message) -> Message:
    return body


def noting(told: dict[tuple[str, str], Message]) -> Tell:
    """Return a faithful relay that keeps what it carries."""

    def tell(op: str, site: str, body: Message) -> Message:
        told[op, site] = body
        return body

    return tell


def swapping(op: str, **tensors: bytes) -> Tell:
    """Return a relay that puts its own bytes in the place of some senders' in one step, for everybody else."""

    def tell(asked: str, site: str, body: Message) -> Message:
        own = {sender: tensor_of(blob) for sender, blob in tensors.items() if sender != site and asked == op}
        return Message(body.fields, {**body.tensors, **{s: b for s, b in own.items() if s in body.tensors}})

    return tell


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Ward:
    return Ward(plan_of("packed and masked"), tmp_path_factory.mktemp("keys"))


class TestKeys:
    def runs(self, of: Ward) -> set[str]:
        return {of.call(site, "run", Message()).fields["run"] for site in of.names}

    def check_refused(self, of: Ward, tell: Tell, sentence: str, *at: str) -> None:
        """The attack ends with no site in a new run, and with a lack of trust at `at`."""
        before = self.runs(of)
        refused = shaken(of, tell)
        assert set(refused) == set(of.names)
        assert self.runs(of) == before
        for site in at:
            assert isinstance(refused[site], TrustError)
            assert refused[site].exit_code == 2  # type: ignore[attr-defined]
            assert sentence in str(refused[site])

    def test_carried_faithfully_the_sites_agree(self, sites: Ward) -> None:
        """The control."""
        before = self.runs(sites)
        assert shaken(sites, faithful) == {}
        assert len(self.runs(sites)) == 1
        assert self.runs(sites) != before

    def test_an_identity_of_the_coordinator_s_own(self, sites: Ward) -> None:
        impostor = Handshake(NORTH, Identity.new(), StudyTrust(NORTH, {}), bytes(16), sites.plan.digest())
        self.check_refused(sites, swapping("meet", north=impostor.hello), "but this simulation made it", EAST, WEST)

    def test_hellos_exchanged(self, sites: Ward) -> None:
        def tell(op: str, site: str, body: Message) -> Message:
            if op != "meet":
                return body
            return Message({}, {**body.tensors, EAST: body.tensors[WEST], WEST: body.tensors[EAST]})

        self.check_refused(sites, tell, "the coordinator exchanged it", *sites.names)

    @pytest.mark.parametrize("same_nonce", [False, True])
    def test_a_hello_of_another_run(self, sites: Ward, same_nonce: bool) -> None:
        told: dict[tuple[str, str], Message] = {}
        assert shaken(sites, noting(told), bytes(16) if same_nonce else bytes(15) + b"\1") == {}
        replayed = swapping("meet", north=told["meet", EAST].tensors[NORTH].tobytes())
        if same_nonce:  # then the hello itself is good, and what follows from it is not
            self.check_refused(sites, replayed, "told east of other sites or keys", NORTH)
        else:
            self.check_refused(sites, replayed, "comes from another run", EAST, WEST)

    @pytest.mark.parametrize(("op", "sentence"), [("bind", "not signed by"), ("confirm", "does not confirm the key")])
    def test_what_follows_of_another_run(self, sites: Ward, op: str, sentence: str) -> None:
        told: dict[tuple[str, str], Message] = {}
        assert shaken(sites, noting(told)) == {}

        def tell(asked: str, site: str, body: Message) -> Message:
            return told[op, site] if asked == op else body

        at = (NORTH, WEST) if op == "bind" else sites.names
        self.check_refused(sites, tell, sentence, *at)

    def test_another_plan(self, sites: Ward, tmp_path: Path) -> None:
        other = Ward(plan_of("packed and masked", rounds=9), tmp_path)
        assert "runs another plan" in sites.refusal(EAST, "open", Message({"digest": other.plan.digest()}))
        theirs = dict(sites.sites)
        try:
            north: Any = other.sites[NORTH]
            mine: Any = sites.sites[NORTH]
            north._outlet._keyring._credentials = mine._outlet._keyring._credentials
            sites.sites[NORTH] = north
            self.check_refused(sites, faithful, "runs another plan", *sites.names)
        finally:
            sites.sites |= theirs

    def test_a_coordinator_that_is_lied_to_in_between_ends_with_the_sites_sentence(self, sites: Ward) -> None:
        impostor = Handshake(NORTH, Identity.new(), StudyTrust(NORTH, {}), bytes(16), sites.plan.digest())
        fabric = Between(sites, swapping("meet", north=impostor.hello))
        with pytest.raises(RunError, match="site east could not agree on keys: north shows fingerprint"):
            introduce(fabric, "", {}, None)


class Between:
    """A fabric in which somebody changes what sites are told."""

    def __init__(self, of: Ward, tell: Tell) -> None:
        self.inner, self.tell = of.fabric(), tell

    def sites(self) -> tuple[str, ...]:
        return self.inner.sites()

    def gather(self, sites: Sequence[str], op: str, body: Body, timeout_s: float | None) -> Any:
        bodies = {site: self.tell(op, site, body if isinstance(body, Message) else body[site]) for site in sites}
        yield from self.inner.gather(sites, op, bodies, timeout_s)

    def events(self) -> list[str]:
        return []

    def close(self) -> None:
        self.inner.close()


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
        made = ward(tmp_path, "packed and masked")
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


class Attack:
    """What a coordinator finds out about one site's update, or the refusal that it meets."""

    def __init__(self, of: Ward, sums: Callable[[], np.ndarray]) -> None:
        self._of, self._sums = of, sums

    def is_refused(self, *sentences: str) -> None:
        with pytest.raises(WardroundError) as refusal:
            self._sums()
        assert any(sentence in str(refusal.value) for sentence in sentences), refusal.value

    def gives_away(self, update: np.ndarray) -> None:
        assert update.any()
        assert (self._sums() == update).all()


def anything_may_follow(self: Trials, before: Any, attempt: Any, threshold: int) -> Commitment:
    """Stand in for a site that keeps no account of what it signed."""
    return Commitment(self._site, attempt, threshold)


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sites that keep no account of what they signed: the control of what follows."""
    monkeypatch.setattr(Trials, "_following", anything_may_follow)
    monkeypatch.setattr(past.Past, "opened", None)


class TestTheSameRoundAgain:
    """Two sums of one round over different sites are the update of whoever is in one of them."""

    def by_attempt(self, of: Ward) -> np.ndarray:
        whole = of.opened(of.names)
        return whole - of.opened((EAST, NORTH), number=1)

    def by_a_detour(self, of: Ward) -> np.ndarray:
        """Another round in between; then a list that is signed and not opened, and a later attempt of that."""
        whole = of.opened(of.names)
        of.train(1)
        of.offers(of.names, round_index=1)
        of.train(0)
        boxes = of.offers(of.names, number=1)
        for site in of.names:
            of.upload(site, boxes, number=1)
            of.sign(site, of.names, number=1)
        return whole - of.opened((EAST, NORTH), number=2)

    def by_a_restart_of_the_run(self, of: Ward) -> np.ndarray:
        whole = of.opened(of.names)
        of.agree_on_keys()
        return whole - of.opened((EAST, NORTH))

    def by_drop_outs_of_a_new_run(self, of: Ward) -> np.ndarray:
        whole = of.opened(of.names)
        of.agree_on_keys()
        return whole - of.opened(of.names, (EAST, NORTH))

    def by_a_restart_of_run_and_sites(self, of: Ward) -> np.ndarray:
        whole = of.opened(of.names)
        of.restart(*of.names)
        of.agree_on_keys()
        return whole - of.opened((EAST, NORTH), number=7)

    ways = ("by_attempt", "by_a_detour", "by_a_restart_of_the_run", "by_drop_outs_of_a_new_run")
    ways = (*ways, "by_a_restart_of_run_and_sites")

    @pytest.mark.parametrize("way", ways)
    def test_it_is_refused(self, masked: Ward, way: str) -> None:
        Attack(masked, partial(getattr(self, way), masked)).is_refused("would give away the difference", "was opened")

    @pytest.mark.parametrize("way", ways)
    def test_where_sites_forget_it_gives_one_away(self, masked: Ward, way: str, forgetful: None) -> None:
        update = masked.weights[WEST] * masked.values(WEST)
        Attack(masked, partial(getattr(self, way), masked)).gives_away(update)

    def eight(self, folder: Path) -> tuple[Ward, tuple[str, ...]]:
        made = ward(folder, names=(*SIX, "gent", "hull"))
        return made, made.names

    def those_who_gave_no_shares(self, of: Ward, names: tuple[str, ...]) -> np.ndarray:
        """Five of eight open the sum; after a detour the other three, who did not, open theirs; so does a half."""
        whole = of.opened(names, revealing=names[:5])
        of.train(1, *names[5:])
        for site in names[5:]:
            said = {"round": 1, "attempt": 0, "cohort": list(names), "whole": False}
            of.call(site, "offer", Message(said))
        of.train(0, *names[5:])
        three = of.opened(names[5:], number=1)
        return whole - three - of.opened(names[:4], number=1, whole=True)

    def test_a_list_binds_also_those_who_gave_no_shares_for_it(self, tmp_path: Path) -> None:
        made, names = self.eight(tmp_path)
        Attack(made, lambda: self.those_who_gave_no_shares(made, names)).is_refused("leaves out 5 sites")

    def test_if_it_did_not_a_site_would_be_given_away(self, tmp_path: Path, forgetful: None) -> None:
        made, names = self.eight(tmp_path)
        update = made.weights[names[4]] * made.values(names[4])
        Attack(made, lambda: self.those_who_gave_no_shares(made, names)).gives_away(update)

    @pytest.mark.parametrize("new_run", [False, True])
    def test_the_same_sum_may_be_formed_again(self, masked: Ward, new_run: bool) -> None:
        """It tells nothing new, and a coordinator that was stopped in between needs it."""
        whole = masked.opened(masked.names)
        if new_run:
            masked.restart(*masked.names)
            masked.agree_on_keys()
        assert (masked.opened(masked.names, number=1) == whole).all()


class TestTheSameSitesWithSomethingElse:
    """Sums over the same sites differ by what one of them put in."""

    def by_weight(self, of: Ward) -> np.ndarray:
        """One site counts once more the second time."""
        whole = of.opened(of.names)
        of.agree_on_keys()
        of.weights = {**of.weights, WEST: of.weights[WEST] + 1}
        return of.opened(of.names) - whole

    def by_weight_after_signing(self, of: Ward) -> np.ndarray:
        """The same with a list of which this site did not give its own shares: two of three are enough."""
        whole = of.opened(of.names, revealing=(EAST, NORTH))
        of.restart(WEST)
        of.agree_on_keys()
        of.weights = {**of.weights, WEST: of.weights[WEST] + 1}
        return of.opened(of.names) - whole

    ways = ("by_weight", "by_weight_after_signing")

    @pytest.mark.parametrize("way", ways)
    def test_another_weight_is_refused(self, masked: Ward, way: str) -> None:
        Attack(masked, partial(getattr(self, way), masked)).is_refused("with another weight or update")

    @pytest.mark.parametrize("way", ways)
    def test_with_another_weight_the_update_is_the_difference(
        self, masked: Ward, way: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Cargo, "of", lambda self, site: "")
        Attack(masked, partial(getattr(self, way), masked)).gives_away(masked.values(WEST))

    def by_halves(self, of: Ward) -> np.ndarray:
        """One site counts once more in its half of a sum that the coordinator calls void."""
        whole, rest = of.opened(SIX), of.opened(SIX[3:], number=1, whole=True)
        of.weights = {**of.weights, "cork": of.weights["cork"] + 1}
        return of.opened(SIX[:3], number=1, whole=True) - (whole - rest)

    @pytest.mark.parametrize("stopped", [True, False])
    def test_nor_may_a_weight_change_in_a_half(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: bool
    ) -> None:
        made = ward(tmp_path, names=SIX)
        attack = Attack(made, partial(self.by_halves, made))
        if stopped:
            attack.is_refused("with another weight or update")
        else:
            monkeypatch.setattr(Cargo, "of", lambda self, site: "")
            attack.gives_away(made.values("cork"))

    def by_training_again(self, of: Ward) -> np.ndarray:
        """West is sent another model, on which its update is what the coordinator knows."""
        whole = of.opened(of.names)
        of.agree_on_keys()
        of.train(0, WEST, broadcast=dead_model(of))
        return whole - of.opened(of.names)

    def test_an_update_may_not_change(self, masked: Ward) -> None:
        Attack(masked, partial(self.by_training_again, masked)).is_refused("with another weight or update")

    def test_if_it_could_it_would_be_the_difference(self, masked: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Cargo, "of", lambda self, site: "")
        monkeypatch.setattr(trials, "survivors_claim", lambda message, *_: message)
        update = masked.weights[WEST] * masked.values(WEST)
        found = self.by_training_again(masked)
        known = last_bias(masked)  # all that trains in the other model
        assert (found[~known] == update[~known]).all()
        assert update[~known].any()

    def test_within_an_attempt_neither_changes(self, masked: Ward) -> None:
        boxes = masked.offers(masked.names)
        frame = masked.upload(WEST, boxes)
        said = "other weights were announced for attempt 0 of round 0, or another update made"
        for restarted in (False, True):
            if restarted:
                masked.restart(WEST)
            weights = {**masked.weights, WEST: 9}
            with pytest.raises(SiteError, match=said):
                masked.upload(WEST, boxes, weights=weights)
        assert masked.upload(WEST, boxes) == frame
        masked.train(0, WEST, broadcast=dead_model(masked))
        with pytest.raises(SiteError, match=said):
            masked.upload(WEST, boxes)

    def test_a_mask_hides_one_frame_though_the_frame_was_lost(self, masked: Ward, tmp_path: Path) -> None:
        """After a power failure the frame may be gone from the disk: it is made again, and no other under its mask."""
        boxes = masked.offers(masked.names)
        frame = masked.upload(WEST, boxes)
        for path in (tmp_path / WEST).glob("frame-*"):
            path.unlink()
        masked.restart(WEST)
        with pytest.raises(SiteError, match="other weights"):
            masked.upload(WEST, boxes, weights={**masked.weights, WEST: 9})
        assert masked.upload(WEST, boxes) == frame


def dead_model(of: Ward) -> Tensors:
    """Return weights on which every update is zero but for the bias of the last layer."""
    return {name: np.zeros_like(value) for name, value in tiny.make_bench(of.plan).initial.items()}


def last_bias(of: Ward) -> np.ndarray:
    """Return which values of an update are the bias of the last layer."""
    initial = tiny.make_bench(of.plan).initial
    last = max((name for name in initial if name.endswith(".bias")), key=lambda name: int(name.split("/")[1][:-5]))
    return np.concatenate([np.full(initial[name].size, name == last) for name in sorted(initial)])


class TestAnotherModelForEverySite:
    """Pasquini, Francati, Ateniese 2022: the others' updates vanish, and the sum is one site's."""

    def attack(self, of: Ward) -> np.ndarray:
        of.train(0, EAST, NORTH, broadcast=dead_model(of))
        return of.opened(of.names)

    def test_it_is_refused(self, masked: Ward) -> None:
        Attack(masked, partial(self.attack, masked)).is_refused("does not fit the list of survivors")

    def test_without_the_state_under_the_signatures_the_sum_is_one_update(
        self, masked: Ward, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(trials, "survivors_claim", lambda message, *_: message)
        update = masked.weights[WEST] * masked.values(WEST)
        found, known = self.attack(masked), last_bias(masked)
        assert (found[~known] == update[~known]).all()
        assert update[~known].any()

    def test_other_tables_of_weights_open_nothing(self, masked: Ward) -> None:
        boxes = masked.offers(masked.names)
        for site in masked.names:
            weights = masked.weights if site != WEST else {**masked.weights, EAST: 1}
            masked.upload(site, boxes, weights=weights)
        signatures = {site: masked.sign(site, masked.names) for site in masked.names}
        for site in masked.names:
            with pytest.raises(WireError, match="does not fit the list of survivors"):
                masked.reveal(site, masked.names, signatures)


class TestLeastSites:
    def test_a_smaller_sum_is_not_signed(self, tmp_path: Path) -> None:
        protect = [tiny.CLIP, tiny.QUANTISE, {**tiny.MASKS, "least_sites": 3}]
        made = Ward(plan_of("masked", protect=protect), tmp_path)
        made.train(0)
        Attack(made, lambda: made.opened((EAST, NORTH))).is_refused("hides too little")
        Attack(made, lambda: made.opened(made.names, (EAST, NORTH), number=1)).is_refused("hides too little")
        assert (made.opened(made.names, number=2) == weighted(made, made.names)).all()

    def test_without_it_two_may_be_summed(self, masked: Ward) -> None:
        """The control."""
        assert (masked.opened((EAST, NORTH)) == weighted(masked, (EAST, NORTH))).all()


class TestMadeUpSums:
    """What sites say of a sum tells whoever made it up a little of what it opens to."""

    def searched(self, of: Ward) -> int:
        """Find one number of north's update by asking whether sums that differ in it are void."""
        frame, layout = of.upload(NORTH, {}), of.scheme.layout
        assert layout is not None
        low, high = 1, 2**layout.bits  # the shifted number is in [low, high)
        while high - low > 1:
            middle = (low + high) // 2
            total, shift = of.summed({NORTH: frame}), np.zeros(len(self.padded(of)), np.uint64)
            shift[0] = middle - 1  # opens while what is left is 1 or more
            total.subtract_plain(shift)
            void = any(of.unseal(total.frame(), [NORTH], 1).values())
            low, high = (low, middle) if void else (middle, high)
        return low - 2 ** (layout.bits - 1)

    def padded(self, of: Ward) -> np.ndarray:
        return of.words(of.summed({NORTH: of.upload(NORTH, {})}))

    def test_a_round_is_opened_only_so_often(self, tmp_path: Path) -> None:
        made = ward(tmp_path, "packed")
        most = replication.MOST_OPENINGS * len(made.names)
        Attack(made, lambda: np.array(self.searched(made))).is_refused(f"opened {most} sums of round 0, no more")
        # Nor after another round, or by other numbers of groups.
        total = made.summed({NORTH: made.upload(NORTH, {})}).frame()
        said = {"round": 0, "group": 2, "part": 0, "sites": [NORTH], "weight": 1}
        body = Message(said, {"sum": tensor_of(total)})
        assert "no more" in made.refusal(EAST, "unseal", body)
        assert "no whole number from 0 to 3" in made.refusal(
            EAST, "unseal", Message({**said, "group": 4}, body.tensors)
        )

    def test_if_it_were_not_a_coordinator_could_read_an_update(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(replication, "MOST_OPENINGS", 2**20)
        made = ward(tmp_path, "packed")
        assert self.searched(made) == made.values(NORTH)[0]

    def test_a_void_sum_is_not_said_to_be_void_by_how_much(self, tmp_path: Path) -> None:
        protect = [{**tiny.CLIP, "norm": 1e-4}, *tiny.PIPELINES["packed"][1:]]
        said = set()
        for shift in (5000, 9000):
            made = Ward(plan_of("packed", protect=protect), tmp_path / str(shift))
            made.train(0)
            total = made.summed({NORTH: made.upload(NORTH, {})})
            words = np.zeros(len(self.padded(made)), np.uint64)
            words[0] = shift
            total.subtract_plain(words)
            said |= set(made.unseal(total.frame(), [NORTH], 1).values())
        assert len(said) == 1
        assert "norm above" in said.pop()

    def test_bodies_that_are_no_sum(self, tmp_path: Path) -> None:
        made = ward(tmp_path, "packed and masked")
        frame = made.summed({NORTH: made.upload(NORTH, made.offers(made.names))}).frame()
        said = {"round": 0, "group": 0, "part": 0, "sites": [NORTH], "weight": 4}
        for changed, sentence in (
            ({"part": 1}, "not seen the first part"),
            ({"weight": 0}, "weight"),
            ({"weight": 65}, "no whole number from 0 to 64"),
            ({"round": 1}, "state of round 0 cannot be read"),
            ({"sites": [NORTH, NORTH]}, "name a site twice"),
        ):
            body = Message({**said, **changed}, {"sum": tensor_of(frame)})
            assert sentence in made.refusal(EAST, "unseal", body), changed
        for cut in (frame[:-1], frame + b"\0", b"", b"\xff" * len(frame), bytes(len(frame))):
            answer = made.call(EAST, "unseal", Message(said, {"sum": tensor_of(cut)}))
            assert "does not open" in answer.fields["void"]
        assert "carries no bytes called 'sum'" in made.refusal(EAST, "unseal", Message(said))

    def test_a_step_from_one_sum_twice(self, tmp_path: Path) -> None:
        made = ward(tmp_path, "packed")
        total = made.summed({NORTH: made.upload(NORTH, {})}).frame()
        assert set(made.unseal(total, [NORTH], 1).values()) == {""}
        assert set(made.unseal(total, [NORTH], 1, group=1).values()) == {""}
        for groups in ([0, 1], [0, 0]):
            body = Message({"round": 0, "groups": groups, "population": 3})
            assert "have sites in common" in made.refusal(EAST, "step", body)
        assert made.call(EAST, "step", Message({"round": 0, "groups": [0], "population": 3})).fields["digest"]


class TestStates:
    """A site that fell behind takes over a state from another: never one that the coordinator made."""

    @pytest.fixture
    def stepped(self, tmp_path: Path) -> Ward:
        made = ward(tmp_path, "packed")
        self.step(made, (EAST, NORTH))
        return made

    def step(self, of: Ward, sites: Sequence[str]) -> str:
        total = of.summed({site: of.upload(site, {}) for site in sites}).frame()
        of.unseal(total, sites, len(sites))
        return str(of.call(EAST, "step", Message({"round": 0, "groups": [0], "population": 3})).fields["digest"])

    def adopt(self, of: Ward, state: np.ndarray, digest: str, round_index: int = 0) -> Message:
        return of.call(WEST, "adopt", Message({"round": round_index, "digest": digest}, {"state": state}))

    def test_one_that_another_site_shared_is_taken(self, stepped: Ward) -> None:
        """The control."""
        digest = stepped.call(EAST, "holds", Message({"round": 0})).fields["digest"]
        shared = stepped.call(EAST, "share", Message({"round": 0})).tensors["state"]
        assert stepped.call(WEST, "holds", Message({"round": 0})).fields["digest"] != digest
        self.adopt(stepped, shared, digest)
        assert stepped.call(WEST, "holds", Message({"round": 0})).fields["digest"] == digest

    def test_of_another_round_run_or_sum(self, stepped: Ward) -> None:
        digest = stepped.call(EAST, "holds", Message({"round": 0})).fields["digest"]
        shared = stepped.call(EAST, "share", Message({"round": 0})).tensors["state"]
        with pytest.raises(WireError, match="belongs to another run or place"):
            self.adopt(stepped, shared, digest, round_index=1)
        other = self.step(stepped, (NORTH, WEST))  # the round again, with another sum
        with pytest.raises(SiteError, match="not the one agreed on"):
            self.adopt(stepped, shared, other)
        stepped.agree_on_keys()
        with pytest.raises(WireError, match="belongs to another run or place"):
            self.adopt(stepped, shared, digest)

    def test_of_the_coordinator_s_making(self, stepped: Ward) -> None:
        state = {name: np.zeros_like(value) for name, value in tiny.make_bench(stepped.plan).initial.items()}
        block = safetensors.numpy.save(state)
        for made_up in (block, b"", bytes(28), bytes(len(block) + 28)):
            with pytest.raises(WireError, match="does not open"):
                self.adopt(stepped, tensor_of(made_up), digest_of(state))

    def test_with_a_site_s_help_it_still_is_a_state_of_the_model(self, stepped: Ward) -> None:
        """Who has the run's key can seal any state. One of another shape, or not finite, is refused all the same."""
        initial = tiny.make_bench(stepped.plan).initial
        first = sorted(initial)[0]
        east: Any = stepped.sites[EAST]
        keys = east._outlet._keyring.keys
        wrong: list[Tensors] = [
            {},
            {**initial, first: initial[first][:1]},
            {**initial, first: initial[first].astype(np.float64)},
            {**initial, "net/99.bias": np.zeros(2, np.float32)},
            {**initial, first: np.full_like(initial[first], np.nan)},
        ]
        for state in wrong:
            box = keys.seal_for_roster(safetensors.numpy.save(dict(state)), b"wardround state 1" + bytes(8))
            with pytest.raises(WireError, match=r"differ in tensor|is float|NaN"):
                self.adopt(stepped, tensor_of(box), digest_of(state))
        box = keys.seal_for_roster(b"no tensors", b"wardround state 1" + bytes(8))
        with pytest.raises(WireError, match="not valid safetensors"):
            self.adopt(stepped, tensor_of(box), "")


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
