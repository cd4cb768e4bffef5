"""``wardround check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wardround.cli.train import SPEC_HELP


def check(spec: Annotated[Path, typer.Argument(help=SPEC_HELP, show_default=False)]) -> None:
    """Say in words what a plan does and what each party can see; refuse what would not mean anything."""
    from wardround.study.explain import explain
    from wardround.study.spec import load

    plan = load(spec)
    plan.check()
    print(explain(plan))
