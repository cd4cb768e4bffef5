"""The command line as a test types it."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import pytest

from wardround.cli.main import main


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The one line on standard error; anything else there is a failed test."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("wardround: "), self.err
        assert "Traceback" not in self.err
        assert "defect" not in self.err
        return lines[0].removeprefix("wardround: ")


def wardround(capsys: pytest.CaptureFixture[str], *words: object) -> Said:
    """Run one command in this process."""
    capsys.readouterr()
    before = sys.argv
    sys.argv = ["wardround", *map(str, words)]
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.argv = before
    captured = capsys.readouterr()
    return Said(code, captured.out, captured.err)
