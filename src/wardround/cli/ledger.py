"""``wardround ledger``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="What a run can prove afterwards.\n\n"
    "Every run folder holds a ledger: an append-only log of what was sent, what counted and what came of it. Where the "
    "sites have keys they co-sign it after every round, so that nobody, the coordinator included, can rewrite it, hide "
    "a part or show two of them. [bold]verify[/bold] needs no network and trusts nothing in the folder but what the "
    "keys that you give it signed.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

Run = Annotated[Path, typer.Argument(help="The run folder.", show_default=False)]
Keys = Annotated[
    Path | None,
    typer.Option(
        help="Whose signatures count: a site's trust.toml, or a roster.json that you kept yourself. Without it the "
        "ledger is only held against itself.",
        show_default=False,
    ),
]


@app.command()
def verify(
    run: Run,
    keys: Keys = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="An earlier checkpoint, from export-checkpoint or from a site's store: catches a ledger that was "
            "rolled back or rewritten since.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Verify a run folder: its ledger, all signatures, and plan, rounds, summary and model against it.

    The exit code is 2, with one sentence that names what was changed, unless everything holds.
    """
    from wardround.study.audit import audit

    found = audit(run, keys, checkpoint)
    for remark in found.remarks:
        print(f"remark: {remark}")
    print(found.verdict)


@app.command()
def show(run: Run, keys: Keys = None) -> None:
    """Print the ledger like a logbook, after verifying it."""
    from wardround.study.audit import audit
    from wardround.study.logbook import logbook

    found = audit(run, keys)
    for line in logbook(found):
        print(f"{line.when:>12}  {line.what}")
    print(found.verdict)


@app.command()
def prove(
    run: Run,
    image: Annotated[
        Path | None, typer.Option(help="Prove that the list holds exactly these pixels.", show_default=False)
    ] = None,
    absent: Annotated[Path | None, typer.Option(help="Prove that it does not.", show_default=False)] = None,
    out: Annotated[Path, typer.Option(help="The proof file to write.")] = Path("proof.json"),
    site: Annotated[str, typer.Option(help="Whose list; needed where this machine holds several.")] = "",
    store: Annotated[
        Path | None, typer.Option(help="The site's store of this run; RUN.sites/SITE if not given.", show_default=False)
    ] = None,
    round_index: Annotated[
        int | None,
        typer.Option("--round", help="The list as of this round; the last one if not given.", show_default=False),
    ] = None,
    show_key: Annotated[
        Path | None,
        typer.Option(help="Also write the key of the list, for the auditor and nobody else.", show_default=False),
    ] = None,
) -> None:
    """At a site: prove that an image is, or is not, in the list of used images that the site committed to.

    An image is its pixels as the plan reads them; the same picture scaled, compressed or changed in one bit is another.
    A proof of absence convinces only who also has the list's key (--show-key): it shows that these pixels are not where
    the rules put them, never that a model was not trained on them.
    """
    from wardround.errors import LedgerError
    from wardround.study.use_proofs import digest_of_file, prove_use, records_of

    if (image is None) == (absent is None):
        raise LedgerError("give one of --image FILE and --absent FILE")
    records = records_of(run, site, store)
    file = image or absent
    assert file is not None  # noqa: S101 - one of the two was given
    proof = prove_use(run, records, digest_of_file(run, file, records.store), round_index)
    if proof.present != (image is not None):
        held = "holds" if proof.present else "does not hold"
        raise LedgerError(f"the list of site {records.site!r} {held} exactly these pixels: no such proof can be made")
    _write(out, proof.to_bytes())
    if show_key is not None:
        _write_secret(show_key, records.key.to_bytes())
        print(f"the key of the list is in {show_key}: for the auditor and nobody else")
    print(proof.check().sentence)
    print(out)


@app.command()
def check(
    proof: Annotated[Path, typer.Argument(help="The proof file.", show_default=False)],
    keys: Annotated[
        Path | None,
        typer.Option(help="roster.json of the run, kept or compared by yourself: the sites' keys.", show_default=False),
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="The key of the list, as the site showed it to you.", show_default=False)
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option(help="The image in your hands; needs --run, or the pixels as .npy.", show_default=False),
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="Run folder whose plan says how images are read.", show_default=False)
    ] = None,
) -> None:
    """Anywhere: check a proof of data use, with as much as you have; the sentence says what that shows."""
    from wardround.errors import LedgerError
    from wardround.study.use_proofs import check_use, digest_of_file

    if image is not None and run is None and image.suffix != ".npy":
        raise LedgerError("only the run's plan says how an image is read: give --run RUN, or the pixels as .npy")
    digest = None if image is None else digest_of_file(run or Path(), image)
    print(check_use(proof, keys, key, digest).sentence)


@app.command("export-checkpoint")
def export_checkpoint(
    run: Run,
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("checkpoint.txt"),
) -> None:
    """Verify the ledger, and write its last checkpoint as one small file.

    Keep it apart from the run, or anchor it in a timestamp service: wardround ledger verify --checkpoint then catches
    whatever is changed afterwards, also by who holds all keys.
    """
    from wardround.study.audit import audit, read_note
    from wardround.study.folder import CHECKPOINT, LEDGER

    found = audit(run)
    _write(out, read_note(run / LEDGER / CHECKPOINT).to_bytes())
    print(f"{found.checkpoint}\n{out}")


def _write_secret(path: Path, content: bytes) -> None:
    from wardround.errors import RunFolderError
    from wardround.protect.private_files import write_private

    try:
        write_private(path, content)
    except OSError as error:
        raise RunFolderError(f"{path} cannot be written ({error.strerror}): choose another") from None


def _write(path: Path, content: bytes) -> None:
    from wardround.core.files import write_atomically
    from wardround.errors import RunFolderError

    try:
        write_atomically(path, content)
    except OSError as error:
        raise RunFolderError(f"{path} cannot be written ({error.strerror}): choose another") from None
