"""What ``wardround check`` says of who sees what."""

from __future__ import annotations

from typing import Any

import pytest
import tiny

from wardround.study.explain import explain


@pytest.mark.parametrize(
    ("settings", "said", "unsaid"),
    [
        ({}, ["each site's update, in the clear", "probabilities, labels"], ["confusion matrix"]),
        ({"evaluation": {"share": "metrics"}}, ["metrics and a confusion matrix"], ["probabilities"]),
        ({"data": {"source": "manifest"}}, ["metrics and a confusion matrix"], ["probabilities"]),
        ({"data": {"source": "manifest"}, "evaluation": {"share": "predictions"}}, ["probabilities"], []),
        ({"algorithm": {"name": "central"}}, ["not a federation", "every image"], ["other sites"]),
        ({"algorithm": {"name": "local"}}, ["no weights: they all stay"], ["each site's update", "broadcast model"]),
        ({"sites_per_round": 2, "quorum": 2}, ["each with 2 sites drawn anew; 2 must answer"], []),
        ({"protect": tiny.PIPELINES["quantised"]}, ["in the clear", "opened by the coordinator"], ["both together"]),
        (
            {"protect": tiny.PIPELINES["masked"]},
            ["the sum of the updates and the model; no single update", "2t - n - 1", "3.00 bytes per float"],
            ["in the clear", "bits of security"],
        ),
        (
            {"protect": tiny.PIPELINES["packed"]},
            ["single site's ciphertext", "follows the protocol", "3.51 bytes per float", "192 against quantum"],
            ["in the clear", "both together"],
        ),
        (
            {"protect": tiny.PIPELINES["packed and masked"]},
            ["nothing of any update, and not the model", "opened by the sites", "2t - n - 1"],
            ["in the clear", "follows the protocol"],
        ),
        ({"protect": tiny.PIPELINES["ckks"]}, ["scheme = ckks", "N = 8192"], ["in the clear"]),
    ],
)
def test_who_sees_what(settings: dict[str, Any], said: list[str], unsaid: list[str]) -> None:
    text = explain(tiny.plan(**settings))
    assert text.startswith("plan      tiny, digest ")
    for words in said:
        assert words in text
    for words in unsaid:
        assert words not in text
