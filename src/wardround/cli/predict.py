"""``wardround predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def predict(
    run: Annotated[Path, typer.Argument(help="A run folder.", show_default=False)],
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Images: PNG, JPEG or TIFF; for a run on a manifest, DICOM and NIfTI too.", show_default=False
        ),
    ],
    site: Annotated[str | None, typer.Option(help="Whose personal weights to use, if the plan has any.")] = None,
) -> None:
    """Apply a trained model to images; prints CSV: file, predicted class, one probability per class."""
    import csv
    import sys

    from wardround.study.predict import predict as run_predict

    predictions = run_predict(run, files, site)
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["file", "predicted", *predictions[0].probabilities])
    for each in predictions:
        out.writerow([each.file, each.predicted, *(f"{value:.6f}" for value in each.probabilities.values())])
