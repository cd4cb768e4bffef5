"""Who was left out comes back when the evidence is gone, and not as soon as it is a little weaker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from contracts.screen_contract import FakeProbe, case, cohort

from wardround.core.update import Tensors
from wardround.screen import EDetector, Harm


@dataclass(frozen=True)
class ProbeOf(FakeProbe):
    """Holds that the first site, which points nowhere else, does a harm of this size, and no other site any."""

    size: float

    def harms(self, change: Tensors) -> Mapping[str, Harm]:
        first = cohort()[0].tensors["net/b"]
        same = float(first @ change["net/b"]) > 0.999 * float((first @ first) ** 0.5) * float(
            (change["net/b"] @ change["net/b"]) ** 0.5
        )
        return {"a": Harm(self.size if same else 0.0, 0.1)}


def left_out(sizes: list[float]) -> list[bool]:
    memory: Tensors = {}
    found = []
    for size in sizes:
        judgement = EDetector().judge(replace(case(cohort(), memory), probe=ProbeOf(size)))
        memory = judgement.memory
        assert all(said.trust == 1 for site, said in judgement.verdicts.items() if site != "site-0")
        found.append(judgement.verdicts["site-0"].trust == 0)
    return found


def test_strong_evidence_leaves_it_out_and_weaker_evidence_keeps_it_out() -> None:
    assert left_out([3.0] * 6 + [0.15] * 2) == [False] * 2 + [True] * 6


def test_it_comes_back_within_a_few_rounds_without_harm() -> None:
    back = left_out([3.0] * 8 + [0.0] * 8)
    assert back[7]
    assert not back[-1]


def test_a_harm_below_the_allowance_never_leaves_it_out() -> None:
    assert not any(left_out([0.17] * 60))
