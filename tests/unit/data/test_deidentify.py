"""The basic profile: nothing of an identity is left in a header, UIDs still refer to each other, and the key stays."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from dicom_files import IDENTITY, header, image, save, structures
from pydicom import Dataset
from pydicom.sequence import Sequence

from wardround.data.deidentify import KEY_FILE, SiteKey, deidentify, site_key
from wardround.data.readers.dicom_header import open_header
from wardround.errors import DataError

KEY = SiteKey(b"k" * 32)


def written(dataset: Dataset) -> bytes:
    content = io.BytesIO()
    dataset.save_as(content, implicit_vr=False, little_endian=True)
    return content.getvalue()


def planted() -> Dataset:
    """Return a header with its identity in its top level, in nested sequences and in private attributes."""
    dataset = image(np.zeros((4, 4), np.uint8))
    item, inner = Dataset(), Dataset()
    for keyword, value in IDENTITY.items():
        setattr(item, keyword, value)
        setattr(inner, keyword, value)
    item.ReferencedStudySequence = Sequence([inner])
    # Neither of these sequences is itself on the profile's list.
    inner.ConceptNameCodeSequence = Sequence([inner_most := Dataset()])
    inner_most.PatientName = IDENTITY["PatientName"]
    dataset.DerivationCodeSequence = Sequence([item])
    dataset.add_new(0x60000022, "LO", IDENTITY["PatientName"])  # overlay description
    dataset.add_new(0x50000022, "LO", IDENTITY["PatientName"])  # curve description
    return dataset


def test_the_plants_are_there_before() -> None:
    before = written(planted())
    assert all(value.encode() in before for value in IDENTITY.values())


def test_no_value_of_the_identity_is_left_anywhere() -> None:
    dataset = planted()
    done = deidentify(dataset, KEY)
    after = written(dataset)
    assert [keyword for keyword, value in IDENTITY.items() if value.encode() in after] == []
    assert done["PatientName"] >= 2
    assert done["private"] >= 1
    assert dataset.Manufacturer == "Windmill"
    assert len(dataset.PixelData) == 16


def test_every_attribute_of_the_table_is_removed_or_replaced() -> None:
    from dicomanonymizer.dicom_anonymization_databases import dicomfields_2024b as table
    from pydicom.datadict import dictionary_has_tag, dictionary_VR
    from pydicom.tag import Tag

    dataset = header()
    texts = {"LO", "SH", "ST", "LT", "UT", "PN", "CS", "AE", "UC"}
    tags = [Tag(tag) for tag in table.ALL_TAGS if len(tag) == 2 and tag[0] > 2 and dictionary_has_tag(Tag(tag))]
    for tag in tags:
        if dictionary_VR(tag) in texts:
            dataset.add_new(tag, dictionary_VR(tag), "QUIXOTE")
        if dictionary_VR(tag) == "UI":
            dataset.add_new(tag, "UI", "1.2.3.4.5.6")
    assert sum(tag in dataset for tag in tags) > 300
    deidentify(dataset, KEY)
    left = [tag for tag in tags if tag in dataset and str(dataset[tag].value) in ("QUIXOTE", "1.2.3.4.5.6")]
    assert left == [Tag(0x30060026)]  # the name of a region, which chooses masks


def test_references_still_refer_and_only_the_key_knows_how() -> None:
    frame = "1.2.840.99.1"
    one, other = header(FrameOfReferenceUID=frame), structures({"a": []}, frame=frame)
    deidentify(one, KEY)
    deidentify(other, KEY)
    assert one.FrameOfReferenceUID == other.StructureSetROISequence[0].ReferencedFrameOfReferenceUID
    assert one.FrameOfReferenceUID == KEY.uid(frame)
    assert one.FrameOfReferenceUID.is_valid
    assert one.FrameOfReferenceUID != SiteKey(b"j" * 32).uid(frame)
    assert one.PatientID == KEY.pseudonym(IDENTITY["PatientID"])
    assert str(one.file_meta.get("MediaStorageSOPInstanceUID", "")) == ""


def test_a_value_in_the_wrong_representation_is_removed_by_its_tag() -> None:
    dataset = header()
    dataset.add_new(0x00100030, "LO", "19470311")  # a birth date as free text
    dataset.add_new(0x00100010, "UN", b"Quixote^Alonso")
    deidentify(dataset, KEY)
    assert 0x00100030 not in dataset
    assert 0x00100010 not in dataset


def test_headers_come_in_through_one_door(tmp_path: Path) -> None:
    dataset, removed = open_header(save(planted(), tmp_path / "a.dcm"))
    assert not any(value.encode() in written(dataset) for value in IDENTITY.values())
    assert removed["PatientBirthDate"] >= 1


def test_the_key_is_made_once_for_its_owner_alone(own_cache: Path) -> None:
    first = site_key()
    path = own_cache / KEY_FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes() == first.secret
    assert site_key() == first
    assert [found.name for found in own_cache.iterdir()] == [KEY_FILE]


def test_a_damaged_key_is_refused(own_cache: Path) -> None:
    (own_cache / KEY_FILE).write_bytes(b"short")
    with pytest.raises(DataError, match="is damaged"):
        site_key()


def test_sequences_without_end_are_refused() -> None:
    dataset = Dataset()
    for _ in range(60):
        outer = Dataset()
        outer.DerivationCodeSequence = Sequence([dataset])
        dataset = outer
    with pytest.raises(DataError, match="too deeply"):
        deidentify(dataset, KEY)
