"""The machine and the software that a measurement was taken on: without them a time means nothing."""

import os
import platform
from dataclasses import dataclass

import numpy as np

from lineside import __version__
from lineside.session import ort, processor_name


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
        cpu=processor_name(),
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
