"""The embedded backbone, exported in a process of its own while this one reads images and looks for light and pose.

torch's exporter is one long thread of Python, which leaves the second core idle: 13 seconds of a first training. A
thread was rejected: it would hold Python's lock, and that something is being exported is a switch of the whole process.
The other process hands its graph over as one that was kept (`lineside.graph.export_cache`), so it is only asked where
graphs can be kept, and should it fail in whatever way, the backbone is exported here, where errors show. It needs 1 GB
while it runs, and 5 seconds of processor more than an export here, since it loads torch once more.
"""

import json
import os
import subprocess
import sys
import weakref
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lineside.graph.export_cache import cache_folder
from lineside.graph.run import usual_workers
from lineside.graph.trunk import backbone_kept, tap_grids
from lineside.transfer.backbone import Backbone, load_backbone

if TYPE_CHECKING:
    import onnx


class ApartExport:
    """A backbone's export, begun elsewhere where that is worth a process.

    Parameters
    ----------
    backbone : Backbone
    outputs : sequence of str
    working_wh : tuple of int
        As of `Backbone.exported`.
    """

    def __init__(self, backbone: Backbone, outputs: Sequence[str], working_wh: tuple[int, int]) -> None:
        self._backbone, self._outputs, self._working_wh = backbone, tuple(outputs), working_wh
        self._process = self._begun()

    def _begun(self) -> "subprocess.Popen[bytes] | None":
        key = self._backbone.full_key
        if key is None or cache_folder() is None or usual_workers() < 2 or not sys.executable:
            return None
        if backbone_kept(self._outputs, self._working_wh, key):
            return None
        licences = [component.licence for component in self._backbone.components]
        wish = json.dumps([self._backbone.strides, licences, self._outputs, self._working_wh])
        paths = os.pathsep.join(path for path in sys.path if path)
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", __name__, wish],
                env={**os.environ, "PYTHONPATH": paths},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        except OSError:
            return None
        weakref.finalize(self, _stop, process)  # a training that is refused leaves nothing behind
        return process

    @property
    def grids_hw(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of each tap; known before the export where the backbone is the embedded one."""
        if self._process is None:
            return tap_grids(self.model)
        width, height = self._working_wh
        return tuple((-(-height // stride), -(-width // stride)) for stride in self._backbone.strides)

    @cached_property
    def model(self) -> "onnx.ModelProto":
        """The graph; waits for it."""
        if self._process is not None:
            self._process.wait()
        return self._backbone.exported(self._outputs, self._working_wh)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()


def _export(wish: str) -> None:
    """Export as the other process asked for in `ApartExport`."""
    strides, licences, outputs, (width, height) = json.loads(wish)
    load_backbone("lite0", strides, licences, Path()).exported(outputs, (width, height))


if __name__ == "__main__":
    _export(sys.argv[1])
