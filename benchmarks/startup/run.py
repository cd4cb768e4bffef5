"""How long a user waits for ``wardround --help`` and a program for ``import wardround``."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from measure import Report, Row, Spread, finish, options, run_child  # noqa: E402

REPEATS = 9
HELP_LIMIT_S = 0.4


def main() -> None:
    """Measure in turn, so that a busy moment of the machine hits all commands alike."""
    chosen = options(__doc__ or "")
    repeats = 3 if chosen.quick else REPEATS
    commands = {
        "wardround --help": [str(Path(sys.executable).with_name("wardround")), "--help"],
        "import wardround": [sys.executable, "-c", "import wardround"],
        "python -c pass": [sys.executable, "-c", "pass"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for repeat in range(repeats + 1):
        for name, command in commands.items():
            began, ended, _ = run_child(command, timeout_s=60)
            if repeat:  # the first call fills the caches of disk and bytecode
                seconds[name].append(ended - began)
    report = Report("startup", {"repeats": repeats}, samples=dict(seconds))
    for name, samples in seconds.items():
        limit = HELP_LIMIT_S if name == "wardround --help" else None
        report.rows.append(Row(name, Spread.of(samples), at_most=limit))
    finish(report, HERE, chosen)


if __name__ == "__main__":
    main()
