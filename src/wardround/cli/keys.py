"""``wardround keys``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

HOME_HELP = "Folder with this site's keys and trust.toml; ~/.wardround if not given."
HomeOption = Annotated[Path | None, typer.Option(envvar="WARDROUND_HOME", help=HOME_HELP)]

app = typer.Typer(
    help="The keys by which the other sites know this one.\n\n"
    "Every site makes its own, once; its private keys never leave it. Then the operators compare fingerprints by phone "
    "or in person, and each enters the others' with [bold]wardround site trust[/bold]: so no server in between can "
    "put itself in a site's place.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@app.command()
def new(
    site: Annotated[str, typer.Option(help="Name of this site, as the plan's other sites call it.")],
    home: HomeOption = None,
) -> None:
    """Make this site's keys, and an empty trust.toml beside them.

    The private keys are encrypted under a passphrase of 12 characters or more: asked for on the terminal, or read from
    the file (mode 0600) that WARDROUND_PASSPHRASE_FILE names. Keys that are there are never overwritten.
    """
    from wardround.protect.home import Home
    from wardround.protect.identity import grouped
    from wardround.protect.vault import passphrase_from_environment

    place = Home.of(home)
    place.check_new(site)
    public = place.begin(site, passphrase_from_environment(new=True))
    print(f"keys of {site} in {place.folder}; their fingerprint is\n\n  {grouped(public.fingerprint)}\n")
    print("Next: read it out to the operators of the other sites, by phone or in person, and let them read out theirs.")
    print("      wardround site trust NAME FINGERPRINT enters each of theirs here;")
    print("      wardround site approve SPEC then says which plan this site takes part in.")
    print("Nobody can bring back a lost passphrase: keep it, and a copy of the folder, where such things are kept.")


@app.command()
def show(home: HomeOption = None) -> None:
    """Print this site's name and fingerprint, to be read out to the others; needs no passphrase."""
    from wardround.protect.home import Home
    from wardround.protect.identity import grouped

    place = Home.of(home)
    public, trust = place.public(), place.trust()
    print(f"{trust.site}\n{grouped(public.fingerprint)}")
