"""The progress bar of an inspection: on stderr, so that stdout holds nothing but the answer."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lineside.batch.run import Progress


@contextmanager
def progress_bar() -> Iterator[Callable[[Progress], None]]:
    """Show a bar for as long as the block runs, and hand over what `inspect_images` takes as `progress`."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("inspecting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("inspecting", total=None)
        yield lambda progress: bar.update(task, completed=progress.done, total=progress.total)
