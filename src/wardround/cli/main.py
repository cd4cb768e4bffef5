"""``wardround``: parses the command line and turns errors into one sentence and an exit code."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import typer

from wardround.cli import (
    attack,
    check,
    data,
    demo,
    init,
    keys,
    leave_out,
    ledger,
    predict,
    report,
    site,
    synthesise,
    train,
)
from wardround.errors import WardroundError

INTERRUPTED = 130  # what Typer makes of Ctrl-C

app = typer.Typer(
    name="wardround",
    help="Hospitals train medical-image models together, and nobody else reads an image, a label or an update.\n\n"
    "Start with [bold]wardround demo[/bold], or [bold]wardround init plan.toml[/bold] and "
    "[bold]wardround train plan.toml[/bold].",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for verb in (demo, init, check, train, leave_out, predict, synthesise, report, attack):
    name = verb.__name__.rpartition(".")[2]
    app.command(name.replace("_", "-"))(getattr(verb, name))
app.add_typer(data.app, name="data")
app.add_typer(keys.app, name="keys")
app.add_typer(site.app, name="site")
app.add_typer(ledger.app, name="ledger")


@app.callback()
def options(debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error.")) -> None:
    """Take what holds for every verb."""
    if debug:
        os.environ["WARDROUND_DEBUG"] = "1"


def main() -> None:
    """Run the command line; the exit code is 0, 1 (failed while running) or 2 (bad input)."""
    try:
        app()
    except SystemExit as end:
        if end.code != INTERRUPTED:
            raise
        _end("interrupted; --resume goes on after the last completed round", 1)
    except Exception as error:
        if os.environ.get("WARDROUND_DEBUG"):
            raise
        _end(*_in_words(error))


def _in_words(error: Exception) -> tuple[str, int]:
    if isinstance(error, WardroundError):
        return str(error), error.exit_code
    if isinstance(error, OSError):
        return f"the system refused: {error}", 1
    return f"this is a defect, please report it: {type(error).__name__}: {error}", 1


def _end(sentence: str, exit_code: int) -> NoReturn:
    # One line, whatever a name in it holds.
    print(f"wardround: {' '.join(sentence.splitlines())}", file=sys.stderr)
    sys.exit(exit_code)
