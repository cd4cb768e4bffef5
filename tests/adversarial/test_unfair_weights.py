"""A coordinator that announces weights which leave nearly one update in the sum, the same weights to every site."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hostile import Ward, plan_of

from wardround.errors import WardroundError
from wardround.rounds import trials

EAST = "east"
UNFAIR = {EAST: 62, "north": 1, "west": 1}


@pytest.fixture
def ward(tmp_path: Path) -> Ward:
    """Sites that trained round 0, and whose coordinator announces unfair weights."""
    ward = Ward(plan_of("masked"), tmp_path)
    ward.train(0)
    ward.weights = dict(UNFAIR)
    return ward


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_no_site_releases_a_share(ward: Ward) -> None:
    boxes = ward.offers(ward.names)
    for site in ward.names:
        ward.upload(site, boxes)
    signatures = {site: ward.sign(site, ward.names) for site in ward.names}
    for site in ward.names:
        with pytest.raises(WardroundError, match="weights do not follow from the survivors' numbers"):
            ward.reveal(site, ward.names, signatures)


def test_a_number_that_its_site_did_not_sign_is_refused(ward: Ward) -> None:
    """The coordinator cannot say for a site that it has more images."""
    boxes = ward.offers(ward.names)
    for site in ward.names:
        ward.upload(site, boxes)
    signatures = {site: ward.sign(site, ward.names) for site in ward.names}
    signatures[EAST] = (10**6).to_bytes(8, "big") + signatures[EAST][8:]
    with pytest.raises(WardroundError, match="signature of site 'east' does not fit"):
        ward.reveal("north", ward.names, signatures)


def test_if_they_did_the_sum_would_be_nearly_one_update(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the same weights, and sites that do not look at them."""
    monkeypatch.setattr(trials, "follow_from", lambda weights, examples: True)
    assert likeness(ward.opened(ward.names).astype(float), ward.values(EAST).astype(float)) > 0.99


def test_fair_weights_are_taken(tmp_path: Path) -> None:
    ward = Ward(plan_of("masked"), tmp_path)
    ward.train(0)
    ward.weights = {EAST: 8, "north": 12, "west": 16}  # as many as they have images
    total = sum(weight * ward.values(site) for site, weight in ward.weights.items())
    np.testing.assert_array_equal(ward.opened(ward.names), total)
