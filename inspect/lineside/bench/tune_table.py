"""What was tuned, for the console."""

from typing import TYPE_CHECKING

from lineside.batch.table import plain_table, plural
from lineside.bench.tune import Measured, Tuned

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


def tune_table(found: Tuned) -> "RenderableType":
    """Return what `tune` found as something that rich can print."""
    from rich.console import Group
    from rich.text import Text

    return Group(_table(found), *(Text(line) for line in _choice(found)), Text(str(found.machine), style="dim"))


def _table(found: Tuned) -> "Table":
    width, height = found.frame_wh
    table = plain_table(f"{found.part}: one frame of {width}x{height}")
    for name in ("workers", "threads each", "frames per second", "ms a frame"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in found.measured:
        speed = f"{one.frames_per_s:.1f} ({one.least:.1f} to {one.most:.1f})"
        style = "bold" if _is_chosen(one, found) else None
        table.add_row(str(one.plan.workers), str(one.plan.threads), speed, f"{one.frame_ms:.1f}", style=style)
    return table


def _is_chosen(one: Measured, found: Tuned) -> bool:
    use, plan = found.tuning, (one.plan.workers, one.plan.threads)
    return plan in ((1, use.frame_threads), (use.batch_workers, use.batch_threads))


def _choice(found: Tuned) -> tuple[str, ...]:
    use = found.tuning
    lines = [
        f"Inspector: {plural(use.frame_threads, 'thread')}",
        f"inspect: {plural(use.batch_workers, 'worker')} of {plural(use.batch_threads, 'thread')}",
        f"written to {found.path}, for this model on this machine",
    ]
    if found.dropped:
        lines.append(f"left out, for their outputs differ from those of one thread: {found.dropped} threads")
    load = found.machine.load_1min
    if load is not None and load >= found.machine.cores:
        lines.append("Other work ran on this machine; run it again on a quiet one.")
    return tuple(lines)
