"""Every server step keeps the contract, alone and wrapped."""

from __future__ import annotations

from contracts.server_step_contract import ServerStepContract

from wardround.algorithms import AndMask, FedGma
from wardround.algorithms.agreement import Agreed
from wardround.algorithms.fedsr import WithCentres
from wardround.algorithms.scaffold import WithVariates
from wardround.algorithms.server import SERVERS, Averaged, ServerAdam, ServerSgd, ServerYogi
from wardround.algorithms.vrex import WithRisk


class TestSgd(ServerStepContract):
    step = ServerSgd()


class TestMomentum(ServerStepContract):
    step = ServerSgd(0.5, momentum=0.9)


class TestNesterov(ServerStepContract):
    step = ServerSgd(0.5, momentum=0.9, nesterov=True)


class TestAdam(ServerStepContract):
    step = ServerAdam()


class TestYogi(ServerStepContract):
    step = ServerYogi()


class TestAveraged(ServerStepContract):
    step = Averaged(ServerSgd(momentum=0.5), decay=0.9)


class TestScaffold(ServerStepContract):
    step = WithVariates(ServerSgd())


class TestAveragedScaffoldOverAdam(ServerStepContract):
    step = Averaged(WithVariates(ServerAdam()), decay=0.9)


class TestAndMask(ServerStepContract):
    step = Agreed(ServerSgd(), AndMask())


class TestAveragedFedGmaOverAdam(ServerStepContract):
    step = Averaged(Agreed(ServerAdam(), FedGma()), decay=0.9)


class TestFedSr(ServerStepContract):
    step = WithCentres(ServerSgd(momentum=0.5))


class TestVRex(ServerStepContract):
    step = WithRisk(ServerAdam())


def test_no_registered_step_is_left_out() -> None:
    joined = {type(case.step) for case in (TestSgd, TestAdam, TestYogi)}
    assert joined == set(SERVERS.values())
