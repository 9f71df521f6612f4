"""What a comparison shows while it runs: a bar, and a line for every run, on stderr."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lineside.bench.compare import Step


@contextmanager
def compare_bar() -> Iterator[Callable[[Step], None]]:
    """Show a bar for as long as the block runs, and hand over what `compare` takes as `told`."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("comparing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("comparing", total=None)

        def told(step: Step) -> None:
            bar.update(task, completed=step.done, total=step.total)
            bar.console.print(escape(step_words(step)), highlight=False, soft_wrap=True)

        yield told


def step_words(step: Step) -> str:
    """Return one line on a run that is done."""
    measures = step.row.measures
    if measures is None:
        return f"{step.job}: failed: {step.row.error}"
    named = (("AUROC", measures.auroc), ("AUPRO", measures.aupro), ("classes", measures.class_accuracy))
    said = ", ".join(f"{name} {value:.4f}" for name, value in named if value is not None)
    return f"{step.job}: {said}, {measures.fit_s or 0.0:.0f} s"
