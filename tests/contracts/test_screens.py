"""Every screen keeps the contract."""

from __future__ import annotations

from contracts.screen_contract import ScreenContract

from wardround.screen import (
    SCREENS,
    AlignIns,
    CalibratedFedDetect,
    CentredClipping,
    ClipNorms,
    EDetector,
    FedDetect,
    Flame,
    FlTrust,
    FoolsGold,
    GeneratorEDetector,
    GroupEvidence,
    NearestNeighbourMixing,
    Norms,
)


class TestNorms(ScreenContract):
    screen = Norms()


class TestClipNorms(ScreenContract):
    screen = ClipNorms()


class TestClipNormsTo(ScreenContract):
    screen = ClipNorms(0.1)


class TestCentredClipping(ScreenContract):
    screen = CentredClipping()


class TestCentredClippingTwice(ScreenContract):
    screen = CentredClipping(1.0, 2)


class TestNearestNeighbourMixing(ScreenContract):
    screen = NearestNeighbourMixing(2)


class TestFoolsGold(ScreenContract):
    screen = FoolsGold()


class TestFlTrust(ScreenContract):
    screen = FlTrust()


class TestFlame(ScreenContract):
    screen = Flame()


class TestAlignIns(ScreenContract):
    screen = AlignIns()


class TestFedDetect(ScreenContract):
    screen = FedDetect()


class TestCalibratedFedDetect(ScreenContract):
    screen = CalibratedFedDetect()


class TestEDetector(ScreenContract):
    screen = EDetector()


class TestGeneratorEDetector(ScreenContract):
    screen = GeneratorEDetector()


class TestGroupEvidence(ScreenContract):
    screen = GroupEvidence()


def test_no_registered_screen_is_left_out() -> None:
    joined = {type(case.screen) for case in ScreenContract.__subclasses__()}
    assert joined == set(SCREENS.values())
