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
    print(f"{ready.images} images ready, {ready.made} of them decoded now, {len(ready.refused)} refused")
    print(ready.cache or "this source needs no cache")
