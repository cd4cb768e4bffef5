from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch

from wardround.algorithms import DcSfl, ServerStep, Training
from wardround.algorithms.base import Order
from wardround.algorithms.server import ServerAdam, ServerSgd
from wardround.algorithms.split import Corrected, Interleaved, SplitFedV1, SplitFedV2, SplitLearning
from wardround.core.update import Tensors


def stepped(step: ServerStep, rounds: int) -> list[Tensors]:
    rng = np.random.default_rng(1)
    states = [step.start({"net/w": rng.standard_normal(50).astype(np.float32), "stat/m": np.ones(2, np.float32)})]
    for index in range(rounds):
        mean = {"net/w": (0.01 * rng.standard_normal(50)).astype(np.float32), "stat/m": np.ones(2, np.float32)}
        states.append(step.apply(states[-1], mean, tiny.context(index)))
    return states


def test_the_correction_is_one_step_of_torch_s_adam_mixed_in() -> None:
    step, plain = Corrected(ServerSgd(), 1e-4, 1e-4), ServerSgd()
    states = stepped(step, 5)
    rng = np.random.default_rng(1)
    rng.standard_normal(50)
    for index in range(5):
        mean = {"net/w": (0.01 * rng.standard_normal(50)).astype(np.float32)}
        before = states[index]["net/w"]
        after = torch.from_numpy(np.array(plain.apply({"net/w": before}, mean, tiny.context(index))["net/w"]))
        corrected = after.double().clone().requires_grad_()
        optimiser = torch.optim.Adam([corrected], 1e-4)
        (0.5e-4 * (corrected - torch.from_numpy(before.astype(np.float64))).square().sum()).backward()
        optimiser.step()
        share = min(1 - 1 / index, 0.99) if index else 0.0
        expected = (1 - share) * after + share * corrected.detach()
        np.testing.assert_allclose(states[index + 1]["net/w"], expected, atol=2e-7)


def test_nothing_happens_in_the_first_two_rounds_and_statistics_are_left_alone() -> None:
    corrected, plain = stepped(Corrected(ServerSgd(), 1e-4, 1e-2), 4), stepped(ServerSgd(), 4)
    for index in (1, 2):
        np.testing.assert_array_equal(corrected[index]["net/w"], plain[index]["net/w"])
    assert not np.array_equal(corrected[3]["net/w"], plain[3]["net/w"])
    assert np.abs(corrected[3]["net/w"] - plain[3]["net/w"]).max() <= 0.5e-2 + 1e-6
    np.testing.assert_array_equal(corrected[4]["stat/m"], plain[4]["stat/m"])


def test_it_wraps_steps_with_a_state_of_their_own() -> None:
    states = stepped(Corrected(ServerAdam(), 1e-4, 1e-4), 3)
    assert {"net/w", "first/net/w", "second/net/w"} <= states[-1].keys()


@pytest.mark.parametrize(("form", "outer"), [("released", ServerSgd), ("intended", Corrected)])
def test_released_corrects_the_body_alone(form: str, outer: type) -> None:
    algorithm = DcSfl(form).compose(Training(), ServerSgd())
    assert type(algorithm.server) is outer
    assert algorithm.body is not None
    assert type(algorithm.body.server) is Corrected
    assert algorithm.body.copies
    assert algorithm.body.order is Order.TOGETHER


@pytest.mark.parametrize("algorithm", [SplitLearning(), SplitFedV2(), Interleaved()])
def test_a_body_that_all_share_takes_no_server_step(algorithm: SplitLearning | SplitFedV2 | Interleaved) -> None:
    composed = algorithm.compose(Training(), ServerAdam())
    assert composed.server == ServerAdam()
    assert composed.body is not None
    assert composed.body.server == ServerSgd()
    copied = SplitFedV1().compose(Training(), ServerAdam()).body
    assert copied is not None
    assert copied.server == ServerAdam()
