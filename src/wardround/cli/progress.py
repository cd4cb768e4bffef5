"""What a person sees while a run goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from wardround.rounds.listener import Listener
from wardround.rounds.plan import Plan
from wardround.rounds.record import RoundRecord

SHOWN = {"auc": "AUC", "dice": "Dice", "psnr_db": "PSNR, dB"}
"""The metric that is shown, by its name in a record: the first that is defined."""


class ProgressListener:
    """Feeds a progress bar, and prints failures and repairs above it. The bar appears with the first answer."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task
        self._bytes = 0
        self._metric = ""

    def answered(self, round_index: int, site: str, failure: str | None) -> None:
        """Show whose answer came last."""
        self._progress.start()
        if failure:
            self._progress.console.print(f"round {round_index}: {site} failed: {failure}", style="red", markup=False)
        self._progress.update(self._task, site=site)

    def completed(self, record: RoundRecord) -> None:
        """Move the bar."""
        self._progress.start()
        for event in record.events:
            self._progress.console.print(f"round {record.round}: {event}", style="yellow", markup=False)
        self._bytes += record.bytes_up + record.bytes_down
        pooled = record.validation.get("pooled", {})
        name = next((name for name in SHOWN if pooled.get(name) is not None), None)
        if name is not None:
            self._metric = f"val {SHOWN[name]} {pooled[name]:.3f}"
        self._progress.update(
            self._task,
            completed=record.round + 1,
            loss=f"loss {record.loss:.3f}",
            metric=self._metric,
            sent=f"{self._bytes / 1e6:.1f} MB",
        )


@contextmanager
def shown(plan: Plan, title: str = "") -> Iterator[Listener]:
    """Show a plan's rounds on standard error: round, site, loss, metric, bytes, time left; under the plan's name."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[site]}"),
        TextColumn("{task.fields[loss]}"),
        TextColumn("{task.fields[metric]}"),
        TextColumn("{task.fields[sent]}"),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=Console(stderr=True))
    task = progress.add_task(title or plan.name, total=plan.rounds, site="", loss="", metric="", sent="")
    try:
        yield ProgressListener(progress, task)
    finally:
        if progress.live.is_started:  # what is refused before the first round leaves one sentence on the screen
            progress.stop()
