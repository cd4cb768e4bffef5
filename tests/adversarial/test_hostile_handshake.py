"""Coordinators that exchange keys, identities and messages while the sites agree on keys: none gets in between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny
from hostile import Between, Tell, Ward, plan_of

from wardround.core.codec import Message
from wardround.errors import RunError, TrustError, WardroundError
from wardround.protect.handshake import Handshake
from wardround.protect.identity import Identity
from wardround.protect.trust import StudyTrust
from wardround.rounds.roster import introduce
from wardround.rounds.wire import tensor_of

EAST, NORTH, WEST = tiny.NAMES


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
