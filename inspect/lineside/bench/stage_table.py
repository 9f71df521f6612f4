"""The times of a graph's stages for the console."""

from typing import TYPE_CHECKING

import numpy as np

from lineside.batch.table import plain_table
from lineside.bench.machine import Machine
from lineside.bench.stages import (
    FLOOR,
    FRAME_WH,
    FRONT,
    FRONT_LIMIT,
    INT8_LIMIT,
    PLAIN_LIMIT,
    POSE_AND_GATE_LIMIT,
    WHOLE,
    WHOLE_LIMIT,
    StageTimes,
)

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


def stage_table(times: StageTimes) -> "RenderableType":
    """Return what `time_stages` measured as something that rich can print."""
    from rich.console import Group
    from rich.text import Text

    lines = [Text(line) for line in promises(times)]
    return Group(_table(times), *lines, Text(whole_bundle(times)), Text(_conditions(times), style="dim"))


def whole_bundle(times: StageTimes) -> str:
    """Say what the model takes beside its time for a frame: size, memory, cold start."""

    def middle(name: str) -> float:
        return float(np.median([getattr(start, name) for start in times.starts]))

    total_ms = [start.total_ms for start in times.starts]
    resident = "" if times.starts[0].resident_mb is None else f"{middle('resident_mb'):.0f} MB resident then; "
    return (
        f"model.onnx {times.model_bytes / 1e6:.1f} MB; {resident}cold start to the first verdict "
        f"{middle('total_ms'):.0f} ms ({min(total_ms):.0f} to {max(total_ms):.0f} in {len(total_ms)} processes): "
        f"interpreter and imports {middle('import_ms'):.0f}, opening {middle('open_ms'):.0f}, "
        f"first frame {middle('verdict_ms'):.0f}"
    )


def promises(times: StageTimes) -> tuple[str, ...]:
    """Say the costs that the project promises, each with its limit; empty where no stages were timed."""
    named = {timing.name for timing in times.timings}
    if named <= {WHOLE, FLOOR}:
        return ()
    return _whole_line(times), _front_line(times), _pose_and_gate_line(times)


def _whole_line(times: StageTimes) -> str:
    promised = (
        f"promised: at most {WHOLE_LIMIT:g}, in int8 {INT8_LIMIT:g}, with light, pose and gate on a frame of "
        f"{FRAME_WH[0]}x{FRAME_WH[1]}, in fp32 {PLAIN_LIMIT:g} with none of them on one of the working size"
    )
    found, limit = times.whole_to_trunk, times.whole_limit
    if found is None:
        return f"whole graph: this graph does not name its trunk ({promised})"
    low, high = found.interval
    words = f"whole graph / bare trunk: {found.value:.2f} (95 % interval {low:.2f} to {high:.2f}; {promised})"
    if limit is None:
        return f"{words}: not judged, this is neither"
    return f"{words}: {'kept' if found.value <= limit else 'BROKEN'}"


def _front_line(times: StageTimes) -> str:
    promised = f"promised: at most {FRONT_LIMIT:g} on a frame of {FRAME_WH[0]}x{FRAME_WH[1]}"
    found = times.front_to_floor
    if found is None:
        return f"whole front: this graph does not name where it ends ({promised})"
    low, high = found.interval
    words = f"whole front / resize alone: {found.value:.2f} (95 % interval {low:.2f} to {high:.2f}; {promised})"
    return f"{words}: {_kept(times, found.value <= FRONT_LIMIT)}"


def _pose_and_gate_line(times: StageTimes) -> str:
    promised = f"promised: at most {POSE_AND_GATE_LIMIT:g} on one core"
    found, taken = times.pose_and_gate_to_trunk, times.pose_and_gate
    if found is None or taken is None:
        return f"pose search and gate: this graph has not both, or does not name where they end ({promised})"
    low, high = found.interval
    words = f"pose search and gate / bare trunk: {found.value:.2f} (95 % interval {low:.2f} to {high:.2f}; {promised})"
    if times.network == "int8":
        return f"{words}: not judged, the promise is for a trunk in fp32, {taken.median_ms:.2f} ms"
    return f"{words}: {_kept(times, found.value <= POSE_AND_GATE_LIMIT)}, {taken.median_ms:.2f} ms"


def _kept(times: StageTimes, kept: bool) -> str:
    if times.frame_whc[:2] != FRAME_WH or times.threads != 1:
        return "not judged, the promise is for one thread and that frame"
    return "kept" if kept else "BROKEN"


def _table(times: StageTimes) -> "Table":
    width, height, channels = times.frame_whc
    title = f"{times.part}: one frame of {width}x{height}, {'grey' if channels == 1 else 'colour'}; in ms"
    table = plain_table(title)
    table.add_column("", no_wrap=True)
    for name in ("median", "95 % interval", "p95", "p99", "of whole"):
        table.add_column(name, justify="right", no_wrap=True)
    whole = next(timing.median_ms for timing in times.timings if timing.name == WHOLE)
    for timing in times.timings:
        main = timing.name in (WHOLE, FLOOR, FRONT)
        low, high = timing.interval_ms
        table.add_row(
            timing.name if main else f"  {timing.name}",
            f"{timing.median_ms:.2f}",
            f"{low:.2f} to {high:.2f}",
            f"{timing.p95_ms:.2f}",
            f"{timing.p99_ms:.2f}",
            f"{100 * timing.median_ms / whole:.0f} %",
            style="bold" if main else None,
        )
    return table


def _conditions(times: StageTimes) -> str:
    threads = "one thread" if times.threads == 1 else f"{times.threads} threads"
    width, height = times.working_wh
    return (
        f"{times.rounds} rounds, each model once a round in drawn order; one process, {threads}; "
        f"working size {width}x{height}. A stage is fed what the stages before it computed."
        f"\n{times.machine}{busy(times.machine)}"
    )


def busy(machine: Machine) -> str:
    """Return a line that says so where other work ran on the machine, else nothing."""
    if machine.load_1min is None or machine.load_1min < machine.cores:
        return ""
    return "\nOther work ran on this machine: times are longer than on a quiet one."
