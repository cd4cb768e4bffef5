from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from victims import CLASSES, SIZE_PX, network, observed, pictures, walked

from wardround.attacks import LocalSteps, Observation
from wardround.attacks.inversion import recovered_labels
from wardround.errors import PlanError


@given(st.integers(0, CLASSES - 1), st.integers(0, 20))
def test_one_image_always_tells_its_label(label: int, seed: int) -> None:
    assert recovered_labels(observed(network(), pictures(1, seed), [label]), 0).tolist() == [label]


@given(st.lists(st.integers(0, CLASSES - 1), min_size=2, max_size=6), st.integers(0, 20))
def test_a_batch_tells_its_counts_while_the_network_is_fresh(labels: list[int], seed: int) -> None:
    found = recovered_labels(observed(network(), pictures(len(labels), seed), labels), 0)
    assert sorted(found.tolist()) == sorted(labels)


def test_in_a_sum_the_label_goes_to_the_site_whose_share_it_has() -> None:
    victim, images, labels = network(), pictures(2), [2, 0]
    each = [walked(victim, images[i : i + 1], labels[i : i + 1], LocalSteps()) for i in (0, 1)]
    total = {name: 0.8 * each[0][name] + 0.2 * each[1][name] for name in each[0]}
    seen = Observation(victim, total, (3, SIZE_PX, SIZE_PX), 2, shares=(0.8, 0.2))
    assert recovered_labels(seen, 0).tolist() == labels


def test_a_head_without_a_bias_hides_them() -> None:
    victim = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * SIZE_PX**2, CLASSES, bias=False))
    slopes = [torch.ones_like(value) for value in victim.parameters()]
    seen = Observation.of_gradients(victim, slopes, (3, SIZE_PX, SIZE_PX), 1)
    with pytest.raises(PlanError, match="no trained bias"):
        recovered_labels(seen, 0)


def test_counts_are_whole_numbers_of_images() -> None:
    assert recovered_labels(observed(network(), pictures(5), [0, 0, 0, 0, 2]), 1).dtype == np.int64
