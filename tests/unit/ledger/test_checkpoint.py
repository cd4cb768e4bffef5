"""Checkpoints: the published format, and the bounds within which one is read."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_sites import ORIGIN, RUN, tampered

from wardround.errors import LedgerError
from wardround.ledger.checkpoint import MAX_EXTENSIONS, MAX_LINE_BYTES, Checkpoint, run_origin
from wardround.ledger.merkle import EMPTY_ROOT, MAX_SIZE
from wardround.ledger.notes import Note

# The example of c2sp.org/tlog-checkpoint and c2sp.org/tlog-cosignature. Their keys are not published.
SPEC_TEXT = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
SPEC_NOTE = f"""{SPEC_TEXT}
— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
"""  # noqa: E501
ROOT = hashlib.sha256(b"root").digest()
ROOT_LINE = "SBNJTRN+FjG7owHVrKtue7eqdM4RhdRWVl71HXN2d7I="

lines = st.text(st.characters(exclude_categories=("C", "Zl")), min_size=1, max_size=40)


def test_the_example_of_tlog_checkpoint() -> None:
    note = Note.from_bytes(SPEC_NOTE.encode())
    checkpoint = Checkpoint.from_text(note.text)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20_852_163)
    assert checkpoint.root.hex() == "0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62"
    assert checkpoint.text == note.text == SPEC_TEXT
    assert note.to_bytes().decode() == SPEC_NOTE
    # tlog-cosignature, "Ed25519 signed message": the time in the second signature is the one of the example.
    assert int.from_bytes(note.signatures[1].value[:8], "big") == 1679315147


@given(lines, st.integers(1, MAX_SIZE), st.binary(min_size=32, max_size=32), st.lists(lines, max_size=MAX_EXTENSIONS))
def test_what_was_written_is_read_and_written_again_alike(
    origin: str, size: int, root: bytes, extensions: list[str]
) -> None:
    checkpoint = Checkpoint(origin, size, root, tuple(extensions))
    assert Checkpoint.from_text(checkpoint.text) == checkpoint
    assert Checkpoint.from_text(checkpoint.text).text == checkpoint.text


def test_a_log_begins_empty() -> None:
    empty = Checkpoint(ORIGIN, 0, EMPTY_ROOT)
    assert empty.text == f"{ORIGIN}\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
    assert Checkpoint.from_text(empty.text) == empty
    with pytest.raises(LedgerError, match="no entries"):
        Checkpoint(ORIGIN, 0, ROOT)


def test_checkpoints_are_bound_to_a_run() -> None:
    assert run_origin(RUN) == f"wardround/{RUN.hex()}"
    assert Checkpoint(run_origin(RUN), 3, ROOT).run == RUN.hex()
    for origin in ("example.com/log", "wardround/", ORIGIN[:-1], ORIGIN + "0", ORIGIN.upper(), "x" + ORIGIN):
        with pytest.raises(LedgerError, match="no run"):
            Checkpoint(origin, 3, ROOT).run  # noqa: B018
    with pytest.raises(LedgerError, match="32 bytes"):
        run_origin(RUN[:-1])


@pytest.mark.parametrize(
    "bad",
    [
        # After transparency-dev/formats, log/checkpoint_test.go.
        f"{ORIGIN}\n9944\n",
        f"\n9944\n{ROOT_LINE}\n",
        f"{ORIGIN}\n123\n{ROOT_LINE}",
        f"{ORIGIN}\nbananas\n{ROOT_LINE}\n",
        f"{ORIGIN}\n-34\n{ROOT_LINE}\n",
        f"{ORIGIN}\n3438945738945739845734895735\n{ROOT_LINE}\n",
        f"{ORIGIN}\n123\nThisIsn'tBase64\n",
        # And what is written otherwise than it may be.
        f"{ORIGIN}\n0123\n{ROOT_LINE}\n",
        f"{ORIGIN}\n+123\n{ROOT_LINE}\n",
        f"{ORIGIN}\n1_23\n{ROOT_LINE}\n",
        f"{ORIGIN}\n12٣\n{ROOT_LINE}\n",
        f"{ORIGIN}\n 123\n{ROOT_LINE}\n",
        f"{ORIGIN}\n123 \n{ROOT_LINE}\n",
        f"{ORIGIN}\n\n{ROOT_LINE}\n",
        f"{ORIGIN}\n{MAX_SIZE + 1}\n{ROOT_LINE}\n",
        f"{ORIGIN}\n123\n{ROOT_LINE[:-1]}\n",
        f"{ORIGIN}\n123\n{ROOT_LINE[:-2]}J=\n",
        f"{ORIGIN}\n123\nYmFuYW5hcw==\n",
        f"{ORIGIN}\n123\n\n",
        f"{ORIGIN}\n123\n{ROOT_LINE}\n\n",
        f"{ORIGIN}\n123\n{ROOT_LINE}\n\nmore\n",
        f"{ORIGIN}\n123\n{ROOT_LINE}\nmore",
        f"{ORIGIN}\r\n123\r\n{ROOT_LINE}\r\n",
        f"{ORIGIN}\n123\n{ROOT_LINE}\n" + "more\n" * (MAX_EXTENSIONS + 1),
        f"{ORIGIN}\n123\n{ROOT_LINE}\n{'x' * (MAX_LINE_BYTES + 1)}\n",
        f"{ORIGIN}\n123\n{ROOT_LINE}\n\x7f\t\n",
        f"{ORIGIN}\n123\n{ROOT_LINE}\n\ud800\n",
        "",
        "\n\n\n",
    ],
)
def test_what_is_no_checkpoint_or_written_otherwise_is_refused(bad: str) -> None:
    with pytest.raises(LedgerError):
        Checkpoint.from_text(bad)


def test_the_limits_are_within() -> None:
    assert Checkpoint.from_text(f"{ORIGIN}\n{MAX_SIZE}\n{ROOT_LINE}\n").root == ROOT
    full = Checkpoint(ORIGIN, 3, ROOT, ("x" * MAX_LINE_BYTES,) * MAX_EXTENSIONS)
    assert Checkpoint.from_text(full.text) == full
    for size in (True, 1.0, -1, "3"):
        with pytest.raises(LedgerError, match="size"):
            Checkpoint(ORIGIN, size, ROOT)  # type: ignore[arg-type]
    for line in ("two\nlines", "", "x\0"):
        with pytest.raises(LedgerError):
            Checkpoint(ORIGIN, 3, ROOT, (line,))


def fuzz(count: int) -> None:
    good = [SPEC_TEXT, Checkpoint(ORIGIN, 0, EMPTY_ROOT).text, Checkpoint(ORIGIN, 7, ROOT, ("more", "ö")).text]
    for data in tampered([text.encode() for text in good], count, seed=3):
        text = data.decode("utf-8", "surrogateescape")
        try:
            assert Checkpoint.from_text(text).text == text
        except LedgerError:
            continue


def test_damaged_texts_give_our_error_and_nothing_else() -> None:
    fuzz(10_000)


@pytest.mark.slow
def test_a_hundred_thousand_damaged_texts() -> None:
    fuzz(100_000)
