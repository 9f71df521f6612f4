"""The progress bar of a stress test: on stderr, so that stdout holds nothing but the answer."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lineside.bench.stress import Progress


@contextmanager
def progress_bar() -> Iterator[Callable[[Progress], None]]:
    """Show a bar for as long as the block runs, and hand over what `stress` takes as `progress`."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("disturbing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("disturbing", total=None)
        yield lambda progress: bar.update(task, completed=progress.done, total=progress.total)
