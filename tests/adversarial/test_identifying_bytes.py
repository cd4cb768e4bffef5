"""Names, IDs and dates planted wherever files carry them reach no run folder, log, wire or inspection page."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import nibabel
import numpy as np
import pytest
from dicom_files import IDENTITY, image, placed, save, structures
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from terminal import wardround

from wardround.core.codec import Message, encode
from wardround.data.prepare import Decoding
from wardround.errors import WardroundError
from wardround.fabric import local
from wardround.fabric.base import Body, framed
from wardround.report import write_report
from wardround.study.run import train
from wardround.study.spec import parse

PATIENTS = ("Rocinante-Maria-19510404", "Dorothea_Lopez_MRN443377")
"""Patients as a careless hospital names them in its table and its files."""

SECRETS = (*IDENTITY.values(), *PATIENTS, "Rocinante", "Quixote", "19510404", "MRN443377", "Calle Dulcinea")

PLAN = {
    "name": "private",
    "rounds": 2,
    "model": {"width": 8},
    "training": {"steps": 1, "batch_size": 4},
    "evaluation": {"bootstrap": 5, "every": 1},
    "data": {"source": "manifest", "size_px": 16, "channels": 1, "intensity": {"by": "percentile"}},
}
PROTECTED = [{"stage": "clip"}, {"stage": "quantise"}, {"stage": "masks"}, {"stage": "homomorphic"}]


def seen_in(content: bytes) -> list[str]:
    """Return the secrets that stand in `content`, as UTF-8, as UTF-16 or as hexadecimal text."""
    return [
        secret
        for secret in SECRETS
        if any(
            form in content for form in (secret.encode(), secret.encode("utf-16-le"), secret.encode().hex().encode())
        )
    ]


@pytest.fixture
def ward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of three sites with identities in headers, file names, EXIF, comments and sidecars."""
    monkeypatch.setenv("WARDROUND_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "ward"
    rows = [("image", "label", "site", "patient")]
    rng = np.random.default_rng(0)
    for index in range(18):
        site, name = ("coast", "hill", "river")[index % 3], f"{PATIENTS[index % 2]}_{index}"
        picture = rng.integers(0, 255, (20, 20)).astype(np.uint8)
        picture[:8] //= 1 + index % 2
        path = folder / site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if site == "coast":
            path = save(image(picture, **placed(float(index))), path.with_suffix(".dcm"))
        elif site == "hill":
            exif, text = Image.Exif(), PngInfo()
            exif[0x010E], exif[0x0132] = IDENTITY["PatientName"], IDENTITY["StudyDate"]
            text.add_text("Comment", IDENTITY["PatientComments"])
            Image.fromarray(picture).save(path.with_suffix(".png"), exif=exif, pnginfo=text)
            path = path.with_suffix(".png")
        else:
            named = nibabel.Nifti1Image(picture[..., None], np.eye(4))
            named.header["descrip"] = IDENTITY["PatientName"].encode()
            named.header["aux_file"] = IDENTITY["PatientID"].encode()
            nibabel.save(named, path.with_suffix(".nii"))
            path = path.with_suffix(".nii")
        path.with_suffix(".json").write_text(json.dumps(IDENTITY))
        rows.append(
            (str(path.relative_to(folder)), "ill" if index % 4 < 2 else "well", site, f"{PATIENTS[index % 2]} {index}")
        )
    save(structures({IDENTITY["PatientName"]: []}), folder / "coast" / f"{PATIENTS[0]}.rtstruct")
    with (folder / "manifest.csv").open("w", newline="") as table:
        csv.writer(table).writerows(rows)
    return folder


def prepared_here(ward: Path) -> None:
    """Decode in this process, whose logs are watched."""
    parse(PLAN).data.source.load(ward, Decoding())


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every frame that goes to a site or comes from one."""
    frames: list[bytes] = []
    packed = local.packed

    def noted(answer: local.Answer) -> bytes:
        frames.append(packed(answer))
        return frames[-1]

    def noted_framed(sites: Sequence[str], body: Body):  # type: ignore[no-untyped-def]
        frame_of = framed(sites, body)

        def frame(site: str) -> bytes:
            frames.append(frame_of(site))
            return frames[-1]

        return frame

    monkeypatch.setattr(local, "packed", noted)
    monkeypatch.setattr(local, "framed", noted_framed)
    return frames


def test_the_search_finds_what_is_there(ward: Path) -> None:
    """The control: every secret is in the folder or its table, and the search finds it on a wire."""
    everything = b"".join(path.read_bytes() + path.name.encode() for path in ward.rglob("*") if path.is_file())
    assert set(seen_in(everything)) == set(SECRETS)
    assert seen_in(encode(Message({"patient": PATIENTS[0]})))
    assert seen_in(PATIENTS[1].encode("utf-16-le"))


@pytest.mark.parametrize("stages", [[], PROTECTED], ids=["clear", "protected"])
def test_nothing_identifying_leaves_a_run(
    ward: Path,
    wire: list[bytes],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    stages: list[dict[str, str]],
) -> None:
    caplog.set_level(logging.DEBUG)
    prepared_here(ward)
    run = train(parse(PLAN | {"protect": stages}), tmp_path / "run", ward, workers=0, encoded=True)
    write_report(run)
    assert len(wire) > 10
    assert seen_in(b"".join(wire)) == []
    written = {
        path.name: seen_in(path.read_bytes() + str(path.relative_to(run)).encode())
        for path in run.rglob("*")
        if path.is_file()
    }
    assert {"summary.json", "rounds.jsonl", "model.safetensors", "report.html", "plan.toml"} <= set(written)
    assert {name: found for name, found in written.items() if found} == {}
    said = capfd.readouterr()
    assert seen_in(caplog.text.encode() + said.out.encode() + said.err.encode()) == []


def test_a_site_whose_images_cannot_be_used_says_so_without_naming_them(
    ward: Path, wire: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wardround.data.images import LabelledImages
    from wardround.errors import DataError

    def broken(self: LabelledImages, indices: object) -> np.ndarray:
        raise DataError(f"{ward}/coast/{PATIENTS[0]}_0.dcm of {IDENTITY['PatientName']} is damaged: replace it")

    prepared_here(ward)
    monkeypatch.setattr(LabelledImages, "fed", broken)
    with pytest.raises(WardroundError) as caught:
        train(parse(PLAN), tmp_path / "run", ward, workers=0, encoded=True)
    written = b"".join(path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file())
    assert b"cannot be used" in b"".join(wire)
    assert seen_in(b"".join(wire) + written + str(caught.value).encode()) == []


def test_an_inspection_shows_nothing_identifying(
    ward: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = ward / "coast" / f"{PATIENTS[0]}_0.dcm"
    cut.write_bytes(cut.read_bytes()[:-100])
    said = wardround(capsys, "data", "inspect", ward, "--out", tmp_path / "page.html", "--workers", 0)
    page = (tmp_path / "page.html").read_bytes()
    assert said.code == 0
    assert b"PatientBirthDate" in page  # what is taken out is named
    assert b"EXIF" in page
    assert b"NIfTI descrip" in page
    assert seen_in(page + said.out.encode() + said.err.encode()) == []
    named = wardround(capsys, "data", "inspect", ward, "--out", tmp_path / "page.html", "--workers", 0, "--names")
    assert f"{PATIENTS[0]}_0.dcm" in named.err  # the operator may ask for names, on the terminal only
    assert seen_in((tmp_path / "page.html").read_bytes() + named.out.encode()) == []


def test_prepared_pixels_carry_no_header(ward: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = wardround(capsys, "data", "prepare", ward, "--workers", 0)
    assert said.code == 0, said.err
    cache = {path.suffix: path.read_bytes() for path in (tmp_path / "cache").iterdir()}
    assert {".npy", ".json", ".key"} == set(cache)
    assert seen_in(b"".join(cache.values()) + said.out.encode()) == []
