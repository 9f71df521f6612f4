"""Images per second for the console."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from lineside.batch.table import plain_table, plural
from lineside.bench.throughput import ALLOWED_LIMIT, TWO_WORKERS_LIMIT, Rates, Spread, Throughput

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


def throughput_table(found: Throughput) -> "RenderableType":
    """Return what `measure_throughput` found as something that rich can print."""
    from rich.console import Group
    from rich.text import Text

    return Group(_table(found), *(Text(line) for line in promises(found)), Text(_conditions(found), style="dim"))


def promises(found: Throughput) -> tuple[str, ...]:
    """Say what the project promises of two workers, and whether it was kept; empty where two were not measured."""
    two = next((rates for rates in found.rates if rates.workers == 2), None)
    if two is None:
        return ()
    return (
        _promise("two workers over one", two.of_one, TWO_WORKERS_LIMIT, found.pinned),
        _promise("two workers over what decoding and inference allow", two.of_allowed, ALLOWED_LIMIT, found.pinned),
    )


def _promise(words: str, measured: Spread, limit: float, pinned: bool) -> str:
    kept = "kept" if measured.median >= limit else "BROKEN"
    answer = kept if pinned else "not judged, workers could not be held to processors"
    return f"{words}: {_ratio(measured)}; promised: at least {limit:g}: {answer}"


def _table(found: Throughput) -> "Table":
    table = plain_table(f"{found.part}: {plural(found.images, 'image')}; median (least to most)")
    table.add_column("images per second", no_wrap=True)
    for rates in found.rates:
        table.add_column(plural(rates.workers, "worker"), justify="right", no_wrap=True)
    for name, cell in _LINES.items():
        table.add_row(name, *map(cell, found.rates))
    return table


def _speed(value: Spread) -> str:
    return f"{value.median:.1f} ({value.least:.1f} to {value.most:.1f})"


def _ratio(value: Spread) -> str:
    return f"{value.median:.2f} ({value.least:.2f} to {value.most:.2f})"


_LINES: Mapping[str, Callable[[Rates], str]] = {
    "decoding alone": lambda rates: _speed(rates.decode),
    "inference alone": lambda rates: _speed(rates.infer),
    "inspect": lambda rates: _speed(rates.inspect),
    "inspect, of what both allow": lambda rates: _ratio(rates.of_allowed),
    "inspect, of one worker": lambda rates: _ratio(rates.of_one),
    "CPU ms an image, both alone": lambda rates: _speed(rates.decode_and_infer_cpu_ms),
    "CPU ms an image, inspect": lambda rates: _speed(rates.inspect_cpu_ms),
}


def _conditions(found: Throughput) -> str:
    held = "w workers held to w processors" if found.pinned else "not held to processors"
    memory = ""
    if found.memory_mb:
        first, last = found.memory_mb
        memory = f"\nresident memory {first:.0f} MB after a quarter of the images, {last:.0f} MB after the last"
    return (
        f"{plural(found.rounds, 'round')} in turns, {held}; inspection with overlays of what is not OK, and report"
        f"{memory}\nmodel.onnx {found.model_bytes / 1e6:.1f} MB; cold start to the first verdict "
        f"{found.cold_start_ms.median:.0f} ms ({found.cold_start_ms.least:.0f} to {found.cold_start_ms.most:.0f})"
        f"\n{found.machine}"
    )
