"""Peers beside the whole graph for the console."""

from typing import TYPE_CHECKING

from lineside.batch.table import plain_table
from lineside.bench.peers import PeerTimes
from lineside.bench.stage_table import busy
from lineside.bench.timing import Timing

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


def peer_table(times: PeerTimes) -> "RenderableType":
    """Return what `time_peers` measured as something that rich can print."""
    from rich.console import Group
    from rich.text import Text

    lines = [Text(f"{peer.name}: {' '.join(peer.words)}") for peer in times.peers]
    return Group(_table(times), *lines, Text(_conditions(times), style="dim"))


def _table(times: PeerTimes) -> "Table":
    width, height, channels = times.frame_whc
    title = f"{times.part}: one frame of {width}x{height}, {'grey' if channels == 1 else 'colour'}; median in ms"
    table = plain_table(title)
    table.add_column("", overflow="fold", min_width=18)
    for name in ("median", "95 %", "ratio", "95 %", "MB", "AUROC"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_row(*_measured(times.whole), "1", "", f"{times.megabytes:.1f}", _share(times.auroc), style="bold")
    for peer in times.peers:
        low, high = peer.to_whole.interval
        factor = f"{peer.to_whole.value:.2f}", f"{low:.2f} to {high:.2f}"
        table.add_row(*_measured(peer.timing), *factor, f"{peer.megabytes:.1f}", _share(peer.auroc))
    return table


def _measured(timing: Timing) -> tuple[str, ...]:
    low, high = timing.interval_ms
    return timing.name, f"{timing.median_ms:.1f}", f"{low:.1f} to {high:.1f}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _conditions(times: PeerTimes) -> str:
    threads = "one thread" if times.threads == 1 else f"{times.threads} threads"
    return (
        f"{times.rounds} rounds, each model once a round in drawn order; one process, {threads}; peers fitted on "
        f"{times.fitted_on}. Ratio: a peer's time over the whole graph's; intervals: bootstrap over "
        f"rounds.\n{times.machine}{busy(times.machine)}"
    )
