"""Makes DICOM files for tests: images, structure sets and doses, with a patient's identity all over their headers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, FileDataset
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT = "1.2.840.10008.5.1.4.1.1.2"
SECONDARY = "1.2.840.10008.5.1.4.1.1.7"
STRUCTURES = "1.2.840.10008.5.1.4.1.1.481.3"
DOSE = "1.2.840.10008.5.1.4.1.1.481.2"

IDENTITY = {
    "PatientName": "Quixote^Alonso",
    "PatientID": "MRN-7739201",
    "PatientBirthDate": "19470311",
    "StudyDate": "20240229",
    "StudyTime": "094512.123",
    "AccessionNumber": "ACC-551-XK",
    "InstitutionName": "La Mancha General",
    "ReferringPhysicianName": "Panza^Sancho",
    "StudyDescription": "follow-up of Mr Quixote",
    "PatientComments": "lives at Calle Dulcinea 12",
    "OtherPatientIDs": "SSN-902-11-7781",
}
"""What must leave nowhere. Every value is rare enough to be searched for in bytes."""


def header(sop_class: str = CT, **attributes: Any) -> FileDataset:
    """Return a header with a full identity; `attributes` are set on top of it."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    dataset.Modality = "CT"
    dataset.Manufacturer, dataset.ManufacturerModelName = "Windmill", "Giant 3"
    for keyword, value in {**IDENTITY, **attributes}.items():
        setattr(dataset, keyword, value)
    block = dataset.private_block(0x0011, "QUIXOTE", create=True)
    block.add_new(0x01, "LO", IDENTITY["PatientName"])
    return dataset


def image(array: np.ndarray, sop_class: str = CT, **attributes: Any) -> FileDataset:
    """Return an image: ``(rows, columns)``, ``(rows, columns, 3)`` or, with NumberOfFrames, one axis more in front."""
    dataset = header(sop_class, **attributes)
    colour = array.shape[-1] == 3
    grid = array.shape[:-1] if colour else array.shape
    dataset.Rows, dataset.Columns = grid[-2:]
    dataset.SamplesPerPixel = 3 if colour else 1
    if "PhotometricInterpretation" not in dataset:
        dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = 8 * array.dtype.itemsize
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(array.dtype.kind == "i")
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = array.astype(array.dtype.newbyteorder("<")).tobytes()
    dataset["PixelData"].VR = "OB" if array.dtype.itemsize == 1 else "OW"
    return dataset


def placed(depth_mm: float, spacing_mm: float = 0.5, frame: str = "1.2.3.4") -> dict[str, Any]:
    """Return the attributes of an axial slice."""
    return {
        "ImagePositionPatient": [-10.0, -20.0, depth_mm],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [spacing_mm, spacing_mm],
        "SliceThickness": 2.0,
        "FrameOfReferenceUID": frame,
    }


def structures(
    regions: dict[str, Sequence[tuple[str, np.ndarray]]], frame: str = "1.2.3.4", kind: str = "CLOSED_PLANAR"
) -> FileDataset:
    """Return a structure set.

    Args:
        regions: name -> contours, each the SOP instance UID of its slice and ``(P, 3)`` points in mm.
        frame: UID of the frame of reference.
        kind: geometric type of all contours.
    """
    dataset = header(STRUCTURES, Modality="RTSTRUCT")
    rois, drawn = [], []
    for number, (name, contours) in enumerate(regions.items(), start=1):
        roi, shapes = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, name, frame
        shapes.ReferencedROINumber = number
        shapes.ContourSequence = Items([_contour(instance, points, kind) for instance, points in contours])
        rois.append(roi)
        drawn.append(shapes)
    dataset.StructureSetROISequence, dataset.ROIContourSequence = Items(rois), Items(drawn)
    return dataset


def _contour(instance: str, points: np.ndarray, kind: str) -> Dataset:
    contour, on = Dataset(), Dataset()
    contour.ContourGeometricType = kind
    contour.NumberOfContourPoints = len(points)
    contour.ContourData = [f"{value:.4f}" for value in np.asarray(points, dtype=float).ravel()]
    if instance:
        on.ReferencedSOPClassUID, on.ReferencedSOPInstanceUID = CT, instance
        contour.ContourImageSequence = Items([on])
    return contour


def save(dataset: FileDataset, path: Path) -> Path:
    """Write a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path
