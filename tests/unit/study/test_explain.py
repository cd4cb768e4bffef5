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
    ],
)
def test_who_sees_what(settings: dict[str, Any], said: list[str], unsaid: list[str]) -> None:
    text = explain(tiny.plan(**settings))
    assert text.startswith("plan      tiny, digest ")
    for words in said:
        assert words in text
    for words in unsaid:
        assert words not in text
