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
    out: Annotated[
        Path | None, typer.Option(help="Where to write masks or restored images; for runs that learn such.")
    ] = None,
) -> None:
    """Apply a trained model to images; prints CSV: file, predicted class, one probability per class.

    A run that segments or restores writes a PNG for each image into the folder --out; the CSV names it, and of a mask
    the share of each region.
    """
    import csv
    import sys

    table = csv.writer(sys.stdout, lineterminator="\n")
    if out is None:
        from wardround.study.predict import predict as run_predict

        predictions = run_predict(run, files, site)
        table.writerow(["file", "predicted", *predictions[0].probabilities])
        for each in predictions:
            table.writerow([each.file, each.predicted, *(f"{value:.6f}" for value in each.probabilities.values())])
        return
    from wardround.study.predict_images import predict_images

    answers = predict_images(run, files, out, site)
    table.writerow(["file", "answer", *answers[0].shares])
    for answer in answers:
        table.writerow([answer.file, answer.answer, *(f"{value:.6f}" for value in answer.shares.values())])
