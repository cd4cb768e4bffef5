"""``wardround data``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

FOLDER_HELP = "The site's folder of images; links that lead out of it are not followed."
WORKERS_HELP = "Processes; 0 works in this one. One per core if not given."

app = typer.Typer(
    help="Look at a site's images, and make them ready for training.\n\n"
    "DICOM files and series, RT structure sets, NIfTI, PNG, JPEG and TIFF are read; what identifies a patient is taken "
    "out of headers before anything else reads them. Start with [bold]wardround data inspect FOLDER[/bold]; write "
    "manifest.csv (image, label, site, patient); then [bold]wardround data prepare FOLDER --plan plan.toml[/bold].",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@app.command()
def inspect(
    folder: Annotated[Path, typer.Argument(help=FOLDER_HELP, show_default=False)],
    out: Annotated[Path, typer.Option(help="The page to write; one that is there is replaced.")] = Path(
        "inspection.html"
    ),
    thumbnails: Annotated[bool, typer.Option(help="Show some images on the page, small.")] = True,
    names: Annotated[bool, typer.Option("--names", help="Also print the refused files by name, here only.")] = False,
    workers: Annotated[int | None, typer.Option(min=0, help=WORKERS_HELP, show_default=False)] = None,
) -> None:
    """Count what a folder holds, and warn of what would spoil training; the last line printed is the page.

    Formats, labels, modalities, scanners, sizes, spacings, patients in two parts, images that look alike, what is taken
    out of headers, and files that are refused. Neither the table nor the page holds a name, a date or an identifier.

    [bold]wardround data inspect /data/ward --out /tmp/ward.html --names[/bold]
    """
    import sys

    from rich.console import Console
    from rich.table import Table

    from wardround.data.inspect import inspect as look_into
    from wardround.report.inspection import tables_of, warnings_of, write_inspection

    found = look_into(folder, (os.cpu_count() or 1) if workers is None else workers)
    console = Console(highlight=False)
    for title, rows in tables_of(found):
        table = Table(title=title, title_justify="left", show_header=False)
        for name, count in rows:
            table.add_row(name, str(count))
        console.print(table)
    for sentence in (*warnings_of(found), *([found.table_problem] if found.table_problem else [])):
        print(f"warning: {sentence}", file=sys.stderr)
    for sentence in found.refused_files if names else ():
        print(f"refused: {sentence}", file=sys.stderr)
    print(write_inspection(found, out, thumbnails))


@app.command()
def prepare(
    folder: Annotated[Path, typer.Argument(help=FOLDER_HELP, show_default=False)],
    plan: Annotated[
        Path | None, typer.Option(help="Whose size and harmonisation to prepare for; manifest.csv's defaults without.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=0, help=WORKERS_HELP, show_default=False)] = None,
) -> None:
    """Decode and harmonise a site's images once, into the cache that training reads; the last line is its file.

    Stopped with Ctrl-C or killed, it goes on where it was. A cache that is there is checked against its checksums, and
    made again where they differ. It lies in WARDROUND_CACHE, else ~/.cache/wardround, and holds pixels alone.

    [bold]wardround data prepare /data/ward --plan plan.toml[/bold]
    """
    import sys

    from wardround.study.prepare import prepare as fill

    ready = fill(folder, plan, (os.cpu_count() or 1) if workers is None else workers)
    for sentence in ready.refused:
        print(f"refused: {sentence}", file=sys.stderr)
    for sentence in ready.notes:
        print(f"warning: {sentence}", file=sys.stderr)
    print(f"{ready.images} images ready, {ready.made} of them decoded now, {len(ready.refused)} refused")
    print(ready.cache or "this source needs no cache")


@app.command()
def count(
    folder: Annotated[Path, typer.Argument(help=FOLDER_HELP, show_default=False)],
    plan: Annotated[Path, typer.Option(help="Whose training images to count.", show_default=False)],
    site: Annotated[str, typer.Option(help="Which site of the table; needed where it has several.")] = "",
    out: Annotated[Path, typer.Option(help="The counts to write; one that is there is replaced.")] = Path(
        "counts.json"
    ),
    workers: Annotated[int | None, typer.Option(min=0, help=WORKERS_HELP, show_default=False)] = None,
) -> None:
    """Count the grey levels and landmarks of a site's training images, for a scale that all sites share.

    For plans with [data.intensity] by = "landmarks". The file holds whole numbers: a histogram and a few sums over at
    least 20 images. Whoever gets it can read them; read it yourself before you hand it on.

    [bold]wardround data count /data/ward --plan plan.toml --out north.json[/bold]
    """
    from wardround.study.spec import load
    from wardround.study.statistics import count_site, write_tally

    found = count_site(load(plan), folder, site, (os.cpu_count() or 1) if workers is None else workers)
    print(f"{found.images} training images; mean level {found.mean:.2f}, deviation {found.standard_deviation:.2f}")
    print(write_tally(found, out))


@app.command()
def pool(
    counts: Annotated[list[Path], typer.Argument(help="The files of all sites.", show_default=False)],
) -> None:
    """Add the sites' counts and print the [data.intensity] table that they lead to, to be put into the plan.

    [bold]wardround data pool north.json south.json[/bold]
    """
    from wardround.study.statistics import read_tallies, standard_table

    print(standard_table(read_tallies(counts)), end="")
