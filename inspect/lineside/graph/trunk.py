"""Front and trunk as one exported graph, and the features that ONNX Runtime computes with it.

Exported before anything is fitted on its outputs: whatever the export changes is inside the features, not on top of
them (design: the graph comes first).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lineside.graph.join import fix_input, select_outputs
from lineside.graph.onnx_export import export_module
from lineside.graph.run import Graph, parallel

if TYPE_CHECKING:
    import onnx
    import torch

    from lineside.normalise.front import Front

FRONT_OUTPUTS = ("working", "pose", "transform", "gate", "quality")
GOLDEN_LEVEL = "golden_level"

Frames = npt.NDArray[np.uint8]
Arrays = dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class Trunk:
    """The exported front and trunk, open for running.

    Attributes
    ----------
    model : onnx.ModelProto
        Inputs ``frame`` and ``golden_level``; outputs the front's, then one for each tap.
    graph : Graph
        The same, in ONNX Runtime.
    level_graph : Graph
        What of it gives the frame's mean level.
    taps : tuple of str
        Names of the tap outputs; none where the front stands alone.
    """

    model: "onnx.ModelProto"
    graph: Graph
    level_graph: Graph
    taps: tuple[str, ...]

    def run(self, frame: Frames, golden_level: float, outputs: Sequence[str]) -> Arrays:
        """Run one frame [H, W, C]; the outputs keep their batch dimension of 1."""
        return self.graph({"frame": frame[None], GOLDEN_LEVEL: np.array([golden_level], np.float32)}, outputs)

    def mean_level(self, frame: Frames) -> float:
        """Mean grey level of a frame [H, W, C], 0 to 255, as the front measures it."""
        return float(self.level_graph({"frame": frame[None]})["quality"][0, 0])

    def stack(
        self,
        frames: Iterable[Frames],
        count: int,
        golden_level: float,
        outputs: Sequence[str],
        done: Callable[[], None],
    ) -> Arrays:
        """Run `count` frames, each by itself, and stack every output: name -> [count, ...]; `done` follows each."""
        stacked: Arrays = {}

        def one(frame: Frames) -> Arrays:
            row = self.run(frame, golden_level, outputs)
            done()
            return row

        for index, row in enumerate(parallel(one, frames)):
            for name, values in row.items():
                if index == 0:
                    stacked[name] = np.empty((count, *values.shape[1:]), values.dtype)
                stacked[name][index] = values[0]
        return stacked


def export_trunk(front: "Front", backbone: "torch.nn.Module | None", taps: Sequence[str]) -> Trunk:
    """Export a front, with a backbone behind it or alone.

    Parameters
    ----------
    front : Front
    backbone : torch.nn.Module or None
        Takes the working tensor, returns one feature map for each of `taps`.
    taps : sequence of str
        Names of the backbone's outputs.
    """
    import torch

    height = width = 96
    inputs: Mapping[str, torch.Tensor] = {
        "frame": torch.zeros((2, height, width + 8, front.settings.channels), dtype=torch.uint8),
        GOLDEN_LEVEL: torch.full((1,), 128.0),
    }
    model = export_module(
        _front_and_trunk(front, backbone), inputs, (*FRONT_OUTPUTS, *taps), {"frame": {0: "N", 1: "H", 2: "W"}}
    )
    level_model = select_outputs(model, ("quality",))
    fix_input(level_model, GOLDEN_LEVEL, np.array([128.0], np.float32))
    return Trunk(model, Graph(model), Graph(level_model), tuple(taps))


def _front_and_trunk(front: "Front", backbone: "torch.nn.Module | None") -> "torch.nn.Module":
    import torch

    class FrontAndTrunk(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.front = front
            self.backbone = backbone

        def forward(self, frame: torch.Tensor, golden_level: torch.Tensor) -> tuple[torch.Tensor, ...]:
            outputs: tuple[torch.Tensor, ...] = self.front(frame, golden_level)
            if self.backbone is None:
                return outputs
            return (*outputs, *self.backbone(outputs[0]))

    return FrontAndTrunk()
