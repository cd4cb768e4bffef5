"""``wardround site``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wardround.cli.keys import HomeOption
from wardround.cli.train import SPEC_HELP

app = typer.Typer(
    help="What this site trusts: its peers and its plans.\n\n"
    "Both stand in trust.toml in this site's home folder, which no coordinator can reach. A peer with another "
    "fingerprint, or a plan with another digest, is refused before any data moves.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@app.command()
def approve(
    spec: Annotated[Path, typer.Argument(help=SPEC_HELP, show_default=False)],
    home: HomeOption = None,
) -> None:
    """Say what a plan does and what each party can see, and record that this site takes part in it.

    What is approved is the plan's digest: whoever changes anything in it, the seed too, needs a new approval.
    """
    from wardround.protect.home import Home
    from wardround.protect.trust import approve as record
    from wardround.study.explain import explain
    from wardround.study.spec import load

    plan = load(spec)
    plan.check()
    trusted = record(Home.of(home).trust_path, plan.digest())
    print(explain(plan))
    print(f"\n{trusted.site} approves plan {plan.name}, digest\n{plan.digest()}")


@app.command()
def trust(
    name: Annotated[str, typer.Argument(help="The other site.", show_default=False)],
    fingerprint: Annotated[
        list[str],
        typer.Argument(help="64 hexadecimal digits, with or without blanks.", show_default=False),
    ],
    change: Annotated[bool, typer.Option("--change", help="Replace a fingerprint that is known.")] = False,
    home: HomeOption = None,
) -> None:
    """Enter another site's fingerprint, as its operator read it out by phone or in person.

    Not as a mail, a chat or the coordinator said it: whoever can alter those could enter keys of their own.
    """
    from wardround.protect.home import Home
    from wardround.protect.trust import trust_peer

    trusted = trust_peer(Home.of(home).trust_path, name, "".join(fingerprint), change)
    print(f"{trusted.site} trusts {', '.join(sorted(trusted.peers))}")
