"""Simulated degradations: that they do what their formulas say, and are the same wherever they are made again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wardround.data.catalogue import Phantoms
from wardround.data.degradations import AnyDegradation, PhotonNoise, SimulatedCt, of_site, refuse_ambiguous
from wardround.data.degraded import degraded, to_grey
from wardround.data.images import LabelledImages
from wardround.data.sites import Natural, Parts, SiteData, partition
from wardround.errors import PlanError
from wardround.metrics.image_quality import psnr_db

RNG = np.random.default_rng
PHANTOM = Phantoms(images=12, size_px=32, scanners=2).load(None)
CLEAN = PHANTOM.pixels[0, ..., 0] / 255


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDROUND_CACHE", str(tmp_path / "cache"))


def dealt() -> dict[str, SiteData]:
    return partition(PHANTOM, Natural(), Parts(), seed=0)


def seen(sites: dict[str, SiteData], name: str) -> np.ndarray:
    return sites[name].train.fed(slice(None))


def test_photon_noise_has_the_mean_and_the_variance_of_its_formula() -> None:
    flat = np.full((200, 200), 0.4)
    found = PhotonNoise(photons=50, read_noise=0.1).applied(flat, RNG(1))
    assert found.mean() == pytest.approx(0.4, abs=0.004)
    assert found.var() == pytest.approx(0.4 / 50 + 0.1**2, rel=0.03)


def test_many_views_and_photons_give_the_image_back() -> None:
    assert psnr_db(CLEAN, SimulatedCt(views=256, photons=1e9).applied(CLEAN, RNG(1))) > 27


@pytest.mark.parametrize("worse", [{"views": 8}, {"photons": 1e3}, {"arc_deg": 60.0}])
def test_fewer_views_photons_or_degrees_make_it_worse(worse: dict[str, float]) -> None:
    good = SimulatedCt(views=64, photons=1e7)
    before, after = (psnr_db(CLEAN, scan.applied(CLEAN, RNG(1))) for scan in (good, replace(good, **worse)))  # type: ignore[arg-type]
    assert after < before - 2


def test_counts_follow_beer_and_lambert() -> None:
    """A hundredth of the photons is ten times the noise."""
    square = np.ones((16, 16))
    scan = SimulatedCt(views=4, photons=1e4, attenuation=2.0)
    found = np.stack([scan.applied(square, RNG(seed))[6:10, 6:10].mean() for seed in range(40)])
    bright = np.stack([replace(scan, photons=1e6).applied(square, RNG(seed))[6:10, 6:10].mean() for seed in range(40)])
    assert found.mean() == pytest.approx(bright.mean(), abs=0.02)
    assert found.std() == pytest.approx(10 * bright.std(), rel=0.4)


def test_each_site_has_its_own_and_the_others_the_one_for_all() -> None:
    own, usual = PhotonNoise(sites=("a", "b")), SimulatedCt()
    assert of_site((own, usual), "b") is own
    assert of_site((own, usual), "c") is usual
    with pytest.raises(PlanError, match="is for site 'c'"):
        of_site((own,), "c")


@pytest.mark.parametrize(
    ("degradations", "words"),
    [
        ((), "nothing to restore"),
        ((PhotonNoise(sites=("a",)), SimulatedCt(sites=("b", "a"))), "name site 'a'"),
        ((PhotonNoise(), SimulatedCt()), "name no sites"),
    ],
)
def test_a_list_that_leaves_open_whose_is_what_is_refused(degradations: tuple[AnyDegradation, ...], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        refuse_ambiguous(degradations)


@pytest.mark.parametrize(
    "make",
    [
        lambda: PhotonNoise(photons=0),
        lambda: PhotonNoise(read_noise=float("nan")),
        lambda: SimulatedCt(views=2),
        lambda: SimulatedCt(photons=float("inf")),
        lambda: SimulatedCt(arc_deg=200),
        lambda: SimulatedCt(first_deg=float("nan")),
        lambda: SimulatedCt(attenuation=0),
    ],
)
def test_scans_that_cannot_be_are_refused(make: Callable[[], AnyDegradation]) -> None:
    with pytest.raises(PlanError, match="needs"):
        make()


def test_what_a_site_sees_follows_from_seed_site_and_pixels_alone() -> None:
    noise = (PhotonNoise(sites=("scanner-1",)), PhotonNoise(photons=5, sites=("scanner-2",)))
    first = degraded(dealt(), noise, seed=1)
    assert np.array_equal(seen(first, "scanner-1"), seen(degraded(dealt(), noise, seed=1), "scanner-1"))
    alone = degraded(
        {"scanner-1": dealt()["scanner-1"]}, noise, seed=1
    )  # as at a hospital that has its own images only
    assert np.array_equal(seen(alone, "scanner-1"), seen(first, "scanner-1"))
    assert not np.array_equal(seen(degraded(dealt(), noise, seed=2), "scanner-1"), seen(first, "scanner-1"))
    errors = [
        float(np.abs(site.train.fed(slice(None)) - site.train.batch(slice(None)).astype(float)).mean())
        for site in first.values()
    ]
    assert errors[1] > 1.5 * errors[0] > 0
    assert np.array_equal(first["scanner-1"].train.pixels, PHANTOM.pixels)


def test_what_was_seen_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    degraded(dealt(), (PhotonNoise(),), seed=1)
    monkeypatch.setattr(PhotonNoise, "applied", lambda *_: pytest.fail("it was computed again"))
    degraded(dealt(), (PhotonNoise(),), seed=1)


def test_colours_turn_grey_as_pillow_turns_them() -> None:
    pixels = RNG(3).integers(0, 256, (2, 9, 7, 3), dtype=np.uint8)
    expected = np.stack([np.asarray(Image.fromarray(picture).convert("L")) for picture in pixels])
    np.testing.assert_array_equal(to_grey(pixels)[..., 0], expected)
    assert to_grey(pixels[..., :1]) is not None
    np.testing.assert_array_equal(to_grey(pixels[..., :1]), pixels[..., :1])


def test_phantoms_are_distinct_repeatable_and_their_parts_disjoint() -> None:
    again = Phantoms(images=12, size_px=32, scanners=2).load(None)
    np.testing.assert_array_equal(again.pixels, PHANTOM.pixels)
    more = Phantoms(images=24, size_px=32, scanners=2).load(None)
    np.testing.assert_array_equal(more.pixels[:12], PHANTOM.pixels)
    assert len({picture.tobytes() for picture in more.pixels}) == 24
    other = Phantoms(images=24, size_px=32, scanners=2, seed=1).load(None)
    assert not {picture.tobytes() for picture in other.pixels} & {picture.tobytes() for picture in more.pixels}
    parts: list[LabelledImages] = [part for site in dealt().values() for part in (site.train, site.val, site.test)]
    rows = np.concatenate([part.rows for part in parts])
    assert sorted(rows.tolist()) == list(range(12))
    assert PHANTOM.pixels.max() > 100
    assert (PHANTOM.pixels[:, 0, 0] == 0).all()


@pytest.mark.parametrize(
    "changes", [{"images": 5}, {"scanners": 0}, {"seed": -1}, {"size_px": 4}, {"images": 2000, "size_px": 1024}]
)
def test_phantoms_that_leave_a_site_empty_are_refused(changes: dict[str, int]) -> None:
    with pytest.raises(PlanError):
        Phantoms(**changes)
