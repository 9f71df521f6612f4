"""What a training run looks like on the console: one bar a stage, then what was made."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from lineside.train.record import TrainingRecord


class TrainingView:
    """A watcher of `lineside.train` that draws to stderr; a context manager."""

    def __init__(self) -> None:
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        """Start drawing."""
        self._started = time.perf_counter()
        self._progress.start()
        self.stage("loading torch", None)
        return self

    def __exit__(self, *error: object) -> None:
        """Stop drawing."""
        if error[0] is None:
            self._finish()
        self._progress.stop()

    def stage(self, name: str, steps: int | None) -> None:
        """Finish the bar of the stage before, and begin one."""
        self._finish()
        self._task = self._progress.add_task(name, total=steps)

    def step(self) -> None:
        """Move the bar."""
        if self._task is not None:
            self._progress.advance(self._task)

    def note(self, text: str) -> None:
        """Leave decisions to the result."""

    def _finish(self) -> None:
        if self._task is not None:
            total = next(t.total for t in self._progress.tasks if t.id == self._task) or 1
            self._progress.update(self._task, total=total, completed=total)


def _steps(steps: Mapping[str, str]) -> Table:
    """The steps before the network in a line each; why they are as they are stands in report and card."""
    table = Table("light and pose (why: card.md)", "", box=None, header_style="", padding=(0, 2, 0, 0))
    for name, how in steps.items():
        table.add_row(f"  {name}", how)
    return table


def print_result(record: "TrainingRecord") -> None:
    """Print what a training run did, how long it took and what it made, to stdout."""
    console = Console(highlight=False, soft_wrap=True)
    seconds = sum(duration for _, duration in record.stage_seconds)
    slowest = sorted(record.stage_seconds, key=lambda item: -item[1])[:3]
    console.print()
    for decision in record.other_decisions:
        console.print(f"• {decision}", markup=False)
    console.print(_steps(record.contract.normalisation))
    result = record.evaluation
    if result.good or result.defective:
        table = Table("on the test images", "", box=None, show_header=False, padding=(0, 2, 0, 0))
        table.add_row("image AUROC", "–" if result.auroc is None else f"{result.auroc:.4f}")
        table.add_row("overkill", f"{result.overkill} of {result.good} good")
        table.add_row("escapes", f"{result.escapes} of {result.defective} defective")
        table.add_row("no call", str(result.no_call))
        if result.classes and result.classes.named:
            table.add_row("class right", f"{result.classes.right} of {result.classes.named} that were named")
        console.print(table)
    console.print(
        f"{record.out}: model.onnx {record.model_bytes / 1e6:.1f} MB, SHA-256 {record.model_sha256[:12]}…; "
        f"{seconds:.1f} s ({', '.join(f'{name} {duration:.1f} s' for name, duration in slowest)})",
        markup=False,
    )
