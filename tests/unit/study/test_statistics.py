"""Sites count, somebody adds, and the plan gets a scale: the one that the pooled images have."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from terminal import wardround

from wardround.data.catalogue import Manifest
from wardround.data.intensity import Landmarks
from wardround.errors import DataError, PlanError
from wardround.study.spec import load, parse
from wardround.study.statistics import count_site, read_tallies

PLAN = """name = "scale"
[data]
source = "manifest"
size_px = 8
channels = 1
[data.intensity]
by = "landmarks"
percentiles = [1, 50, 99]
standard = [0.0, 0.5, 1.0]
[data.parts]
val = 0.0
test = 0.2
"""
SITES = ("north", "south")
PER_SITE = 30


@pytest.fixture
def hospitals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two folders, one of each site, and ``both``, which holds the images of both."""
    monkeypatch.setenv("WARDROUND_CACHE", str(tmp_path / "cache"))
    (tmp_path / "plan.toml").write_text(PLAN)
    lines: dict[str, list[str]] = {name: ["image,label,site,patient"] for name in (*SITES, "both")}
    for number, site in enumerate(SITES):
        for index in range(PER_SITE):
            rng = np.random.default_rng([number, index])
            picture = (rng.gamma(1 + number, 4000, (12, 12))).clip(0, 65535).astype(np.uint16)
            for folder in (site, "both"):
                path = tmp_path / folder / f"{site}-{index}.png"
                path.parent.mkdir(exist_ok=True)
                Image.fromarray(picture).save(path)
                lines[folder].append(f"{path.name},{'ill' if index % 2 else 'well'},{site},{site}-{index}")
    for folder, rows in lines.items():
        (tmp_path / folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_counts_of_sites_give_the_scale_of_their_pooled_images(
    hospitals: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [hospitals / f"{site}.json" for site in SITES]
    for site, file in zip(SITES, files, strict=True):
        said = wardround(
            capsys, "data", "count", hospitals / site, "--plan", hospitals / "plan.toml", "--out", file, "--workers", 0
        )
        assert said.code == 0, said.err
        assert said.out.splitlines()[-1] == str(file)
        assert b"north-" not in file.read_bytes()  # no patient, and no file name
    table = tomllib.loads(wardround(capsys, "data", "pool", *files).out)["data"]["intensity"]
    plan = load(hospitals / "plan.toml")
    source = plan.data.source
    assert isinstance(source, Manifest)
    # The pool: the same training images, decoded in one place and averaged in floating point.
    shares = []
    for site in SITES:
        dealt = count_rows(plan, hospitals, site)
        for path in dealt:
            own = np.percentile(np.asarray(Image.open(path)), (1, 50, 99))
            shares.append((own - own[0]) / (own[2] - own[0]))
    assert len(shares) == 2 * PER_SITE * 8 // 10
    np.testing.assert_allclose(table["standard"], np.mean(shares, axis=0), atol=1e-6)
    assert 0.2 < table["standard"][1] < 0.4  # and not the even scale that the plan began with
    again = parse({**tomllib.loads(PLAN), "data": {**tomllib.loads(PLAN)["data"], "intensity": table}})
    assert again.digest() != plan.digest()
    assert isinstance(again.data.source, Manifest)
    assert again.data.source.intensity == Landmarks((1.0, 50.0, 99.0), tuple(table["standard"]))


def count_rows(plan, hospitals: Path, site: str) -> list[Path]:  # type: ignore[no-untyped-def]
    """Return the training images of a site, found by their groups."""
    from wardround.data.prepare import Decoding
    from wardround.data.sites import partition

    images = plan.data.source.load(hospitals / site, Decoding())
    dealt = partition(images, plan.data.sites, plan.data.parts, plan.data.split_seed, whole=False)
    return [hospitals / site / f"{group}.png" for group in dealt[site].train.groups]


def test_a_table_of_several_sites_needs_a_name(hospitals: Path) -> None:
    plan = load(hospitals / "plan.toml")
    with pytest.raises(DataError, match="has the sites north, south: name one"):
        count_site(plan, hospitals / "both", "", 0)
    assert count_site(plan, hospitals / "both", "north", 0) == count_site(plan, hospitals / "north", "", 0)


def test_plans_without_landmarks_have_nothing_to_count(hospitals: Path) -> None:
    with pytest.raises(PlanError, match="landmarks"):
        count_site(parse({"name": "x"}), hospitals, "", 0)


@pytest.mark.parametrize(("content", "named"), [(None, "cannot be read"), (b"\xff\xfe", "holds no counts")])
def test_files_that_are_no_counts_are_refused(tmp_path: Path, content: bytes | None, named: str) -> None:
    path = tmp_path / "north.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=f"north.json {named}"):
        read_tallies([path])
