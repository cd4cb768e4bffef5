"""``wardround synthesise``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

INCEPTION_HELP = (
    "Weights of Inception, .pth or .safetensors, for FID and KID between real images, which have to be at hand, and "
    "synthetic ones. They are not part of this package."
)


def synthesise(
    run: Annotated[Path, typer.Argument(help="The folder of a run that learned to make images.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder to make: PNG files and manifest.csv.", show_default=False)],
    each: Annotated[int, typer.Option(help="Images of each class.")] = 100,
    seed: Annotated[int, typer.Option(help="Of the noise; another seed, other images.")] = 1,
    check: Annotated[
        bool, typer.Option("--check", help="Look for copies of training images, which have to be at hand.")
    ] = False,
    inception: Annotated[Path | None, typer.Option(help=INCEPTION_HELP)] = None,
    against: Annotated[str, typer.Option(help="The real images for --inception: test, val or train.")] = "test",
    data: Annotated[
        Path | None, typer.Option(envvar="WARDROUND_DATA", help="Where the run's images are, for --check, --inception.")
    ] = None,
) -> None:
    """Make labelled synthetic images with a trained generator.

    The folder can be trained on: [bold]source = "manifest"[/bold] with [bold]path = "…/images"[/bold].

    With --check, the nearest training image is sought for each synthetic one, and whether synthetic images tell who was
    trained on. Before images are shared, each site does this with its own.

    With --inception, real images are compared with as many synthetic ones of the same classes, about half a second each
    on a CPU. The distance is called FID if the file is pt_inception-2015-12-05-6726825d.pth, byte for byte.

    [bold]wardround synthesise runs/my-images-1a2b3c4d --out images --each 200 --check[/bold]
    """
    import sys

    from wardround.study.synthetic import ready, seek_copies, synthesise

    ready(run, out, each)
    distances = None
    if inception is not None:
        from wardround.study.fid import inception_distances
        from wardround.tasks.inception_weights import load_inception

        distances = inception_distances(run, load_inception(inception), data, against, seed)
    found = seek_copies(run, data, each, seed) if check else {}
    written = synthesise(run, out, each, seed)
    for distance, copies in found.items():
        print(
            f"by {distance}: {100 * copies.copied:.1f}% nearer to a training image than the nearest 1% of held-out "
            f"ones, {100 * copies.nearer_training:.1f}% nearer to training than to held-out images; membership AUC "
            f"{copies.membership_auc:.3f} ({copies.low:.3f} to {copies.high:.3f}): "
            f"{'no sign of copies' if copies.passes else 'SIGNS OF COPIES, do not share'}"
        )
    if distances is not None:
        for sentence in distances.warnings:
            print(f"warning: {sentence}", file=sys.stderr)
        print(distances.said)
    print(written)
