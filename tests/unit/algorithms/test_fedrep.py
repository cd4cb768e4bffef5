"""FedRep: head and body are trained in turns, and the head stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import tiny
from rigged import run

from wardround.algorithms import FedRep, Training
from wardround.algorithms.server import ServerSgd
from wardround.errors import PlanError
from wardround.tasks.classification import weights_of
from wardround.tasks.inputs import name_of_head

TASK = tiny.task()


def trained(steps: int, head_steps: int, **settings: object) -> dict[str, bool]:
    """Which weights a round moved: of the head, of the body."""
    training = replace(Training(batch_size=4, steps=0, epochs=1e-6), **settings)  # type: ignore[arg-type]
    training = replace(training, epochs=steps / 3)  # twelve images in batches of four
    local = FedRep(head_steps).compose(training, ServerSgd()).local
    network = TASK.build(0)
    before = weights_of(network)
    change = local.run(TASK, network, tiny.images(12), before, {}, tiny.context(0, "east")).change
    prefix = f"net/{name_of_head(network)}."
    return {
        "head": any(value.any() for name, value in change.items() if name.startswith(prefix)),
        "body": any(value.any() for name, value in change.items() if not name.startswith(prefix)),
    }


@pytest.mark.parametrize("settings", [{}, {"weight_decay": 0.1}, {"optimiser": "adamw", "weight_decay": 0.1}])
def test_first_the_head_alone_then_the_body(settings: dict[str, object]) -> None:
    assert trained(2, 2, **settings) == {"head": True, "body": False}
    assert trained(3, 2, **settings) == {"head": True, "body": True}


def test_the_head_rests_while_the_body_is_trained() -> None:
    training = Training(batch_size=4, epochs=1.0)
    found = []
    for steps in (1.0, 2.0):
        network = TASK.build(0)
        local = FedRep(1).compose(replace(training, epochs=steps), ServerSgd()).local
        local.run(TASK, network, tiny.images(12), weights_of(network), {}, replace(tiny.context(0, "east"), rounds=4))
        found.append({n: v for n, v in weights_of(network).items() if n.startswith(f"net/{name_of_head(network)}.")})
    assert all((value == found[1][name]).all() for name, value in found[0].items())


def test_heads_never_leave_their_site(tmp_path: Path) -> None:
    result, journal, _ = run(tiny.plan(algorithm={"name": "fedrep", "head_steps": 1}), tmp_path)
    assert set(result.personal) == {"net/13.weight", "net/13.bias"}
    assert journal.state is not None
    assert not set(result.personal) & set(journal.state)


def test_steps_that_leave_nothing_to_the_body_are_refused() -> None:
    with pytest.raises(PlanError, match="head_steps"):
        FedRep(0)
    with pytest.raises(PlanError, match="leaves none"):
        FedRep(5).compose(Training(steps=5), ServerSgd())
