"""``wardround synthesise``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def synthesise(
    run: Annotated[Path, typer.Argument(help="The folder of a run that learned to make images.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder to make: PNG files and manifest.csv.", show_default=False)],
    each: Annotated[int, typer.Option(help="Images of each class.")] = 100,
    seed: Annotated[int, typer.Option(help="Of the noise; another seed, other images.")] = 1,
    check: Annotated[
        bool, typer.Option("--check", help="Look for copies of training images, which have to be at hand.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(envvar="WARDROUND_DATA", help="Where the run's images are, for --check.")
    ] = None,
) -> None:
    """Make labelled synthetic images with a trained generator.

    The folder can be trained on: [bold]source = "manifest"[/bold] with [bold]path = "…/images"[/bold].

    With --check, the nearest training image is sought for each synthetic one, and whether synthetic images tell who was
    trained on. Before images are shared, each site does this with its own.

    [bold]wardround synthesise runs/my-images-1a2b3c4d --out images --each 200 --check[/bold]
    """
    from wardround.study.synthetic import seek_copies, synthesise

    found = seek_copies(run, data, each, seed) if check else {}
    written = synthesise(run, out, each, seed)
    for distance, copies in found.items():
        print(
            f"by {distance}: {100 * copies.copied:.1f}% nearer to a training image than the nearest 1% of held-out "
            f"ones, {100 * copies.nearer_training:.1f}% nearer to training than to held-out images; membership AUC "
            f"{copies.membership_auc:.3f} ({copies.low:.3f} to {copies.high:.3f}): "
            f"{'no sign of copies' if copies.passes else 'SIGNS OF COPIES, do not share'}"
        )
    print(written)
