"""``wardround init``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TEMPLATES = {
    "classification": "template.toml",
    "segmentation": "segmentation.toml",
    "restoration": "restoration.toml",
    "synthesis": "synthesis.toml",
}


def init(
    path: Annotated[Path, typer.Argument(help="Where to write the plan.")] = Path("plan.toml"),
    task: Annotated[
        str, typer.Option(help="What to learn: classification, segmentation, restoration or synthesis.")
    ] = "classification",
) -> None:
    """Write a commented plan to start from. It trains as it is, on the embedded slide or on random ellipses.

    The plan for classification names every setting that there is, the others only what is theirs.

    [bold]wardround init masks.toml --task segmentation[/bold]
    """
    from importlib.resources import files

    from wardround.errors import InputError

    if task not in TEMPLATES:
        raise InputError(f"--task {task} is unknown: choose from {', '.join(TEMPLATES)}")
    if path.exists():
        raise InputError(f"{path} exists: choose another name")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is no folder: make it first")
    text = files("wardround.study").joinpath(TEMPLATES[task]).read_text(encoding="utf-8")
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}): choose another place") from None
    print(path)
