"""The machine and the software that a measurement was taken on: without them a time means nothing."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lineside import __version__
from lineside.session import ort

_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Machine:
    """Where a measurement was taken."""

    cpu: str
    cores: int
    """Logical processors of the machine, whatever share of them was used."""
    load_1min: float | None
    """Processes that wanted a processor over the last minute, when the measurement began; None where unknown."""
    system: str
    software: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        load = "" if self.load_1min is None else f", load {self.load_1min:.1f}"
        versions = ", ".join(f"{name} {version}" for name, version in self.software)
        return f"{self.cpu}, {self.cores} logical processors{load}; {self.system}; {versions}"


def this_machine() -> Machine:
    """Return what is known of this machine."""
    return Machine(
        cpu=_cpu_name(),
        cores=os.cpu_count() or 1,
        load_1min=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        system=f"{platform.system()} {platform.machine()}",
        software=(
            ("lineside", __version__),
            ("onnxruntime", ort.__version__),
            ("numpy", np.__version__),
            ("Python", platform.python_version()),
        ),
    )


def _cpu_name() -> str:
    """Return the processor's name; `platform.processor` says only its architecture on most Linux systems."""
    try:
        for line in _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
