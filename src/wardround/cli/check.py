"""``wardround check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wardround.cli.train import SPEC_HELP


def check(spec: Annotated[Path, typer.Argument(help=SPEC_HELP, show_default=False)]) -> None:
    """Say in words what a plan does, what each party can see, and where it stands between privacy and robustness.

    A plan that would run and not mean what it says is refused: each rule that it breaks is cited with its reason and
    its remedy. docs/reference/rules.md lists them all.
    """
    from wardround.study.explain import explain, refuse
    from wardround.study.spec import load

    plan = load(spec)
    refuse(plan)
    print(explain(plan))
