"""``wardround init``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def init(
    path: Annotated[Path, typer.Argument(help="Where to write the plan.")] = Path("plan.toml"),
) -> None:
    """Write a commented plan to start from. It trains as it is, on the embedded slide."""
    from importlib.resources import files

    from wardround.errors import InputError

    if path.exists():
        raise InputError(f"{path} exists: choose another name")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is no folder: make it first")
    text = files("wardround.study").joinpath("template.toml").read_text(encoding="utf-8")
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}): choose another place") from None
    print(path)
