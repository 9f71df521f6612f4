"""Front and trunk as exported graphs, and what ONNX Runtime computes with them.

Exported before anything is fitted on their outputs: whatever the export changes is inside the features, not on top of
them (design: the graph comes first). Two graphs: the reduction, which holds nothing fitted and runs once an image, and
everything behind it, whose fitted values are inputs; joined they are the beginning of the deployed graph.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lineside.graph.export_cache import is_kept, known_sha256
from lineside.graph.join import fix_input, join
from lineside.graph.onnx_export import export_known, export_module
from lineside.graph.reduction import reduction_model
from lineside.graph.run import Graph

if TYPE_CHECKING:
    import onnx
    import torch

    from lineside.normalise.front import FrontSettings

Pixels = npt.NDArray[np.uint8]
Arrays = dict[str, npt.NDArray[np.generic]]
Values = Mapping[str, npt.NDArray[np.float32]]


TRUNK_PREFIX = "front/"
"""Of the names of nodes that belong to front and backbone."""


@dataclass(frozen=True)
class Reduction:
    """The exported reduction: frame -> middle, frame_wh."""

    model: "onnx.ModelProto"

    @cached_property
    def graph(self) -> Graph:
        """The same, in ONNX Runtime."""
        return Graph(self.model)

    def __call__(self, frame: Pixels) -> tuple[Pixels, npt.NDArray[np.float32]]:
        """Reduce a frame [H, W, C] to middle [1, h, w, C], and give its size [2] (W, H)."""
        out = self.graph({"frame": frame[None]})
        return out["middle"].astype(np.uint8, copy=False), out["frame_wh"].astype(np.float32, copy=False)


@dataclass(frozen=True)
class Trunk:
    """The exported front and trunk.

    Attributes
    ----------
    reduction : Reduction
    model : onnx.ModelProto
        Inputs ``middle``, ``frame_wh`` and the front's values; outputs the front's, then one for each tap.
    taps : tuple of str
        Names of the tap outputs; none where the front stands alone.
    backbone : onnx.ModelProto or None
        The backbone by itself, working tensor -> taps; None where the front stands alone.
    """

    reduction: Reduction
    model: "onnx.ModelProto"
    taps: tuple[str, ...]
    backbone: "onnx.ModelProto | None" = None

    @cached_property
    def graph(self) -> Graph:
        """Everything behind the reduction, in ONNX Runtime, values still inputs."""
        return Graph(self.model)

    def before(self, backbone: "onnx.ModelProto", taps: Sequence[str]) -> "Trunk":
        """Return a front that stands alone with a backbone behind it, whose outputs are `taps`."""
        return Trunk(self.reduction, join(self.model, backbone, "backbone/"), tuple(taps), backbone)

    def joined(self, values: Values) -> "onnx.ModelProto":
        """Return the beginning of the deployed graph: reduction, front and trunk, with these values written in."""
        whole = join(self.reduction.model, self.model, TRUNK_PREFIX)
        for name, value in values.items():
            fix_input(whole, name, value)
        return whole


def export_reduction(middle_wh: tuple[int, int], channels: int) -> Reduction:
    """Return the reduction to `middle_wh` for frames of any size."""
    return Reduction(reduction_model(middle_wh, channels))


def export_backbone(
    module: "torch.nn.Module", taps: Sequence[str], working_wh: tuple[int, int], key: str | None
) -> "onnx.ModelProto":
    """Export a backbone by itself: working -> one output for each of `taps`.

    Parameters
    ----------
    module : torch.nn.Module
        Takes the working tensor [N, 3, h, w], returns one feature map for each tap.
    taps : sequence of str
    working_wh : tuple of int
    key : str or None
        What the module was made from, see `lineside.graph.onnx_export.export_module`.
    """
    return export_module(module, _working(working_wh), tuple(taps), {"working": {0: "N"}}, key=key)


def export_known_backbone(
    build: "Callable[[], torch.nn.Module]", taps: Sequence[str], working_wh: tuple[int, int], key: str
) -> "onnx.ModelProto":
    """Export a backbone of which the key says everything (`lineside.graph.onnx_export.export_known`)."""
    return export_known(build, _working(working_wh), tuple(taps), {"working": {0: "N"}}, key)


def backbone_kept(taps: Sequence[str], working_wh: tuple[int, int], key: str) -> bool:
    """Return whether the export of such a backbone was kept; parameters as of `export_known_backbone`."""
    return is_kept(known_sha256(key, _working(working_wh), tuple(taps), {"working": {0: "N"}}))


def _working(working_wh: tuple[int, int]) -> "dict[str, torch.Tensor]":
    import torch

    return {"working": torch.zeros(2, 3, working_wh[1], working_wh[0])}


def tap_grids(backbone: "onnx.ModelProto") -> tuple[tuple[int, int], ...]:
    """Return rows and columns of each tap of an exported backbone."""
    shapes = [tap.type.tensor_type.shape.dim for tap in backbone.graph.output]
    return tuple((height.dim_value, width.dim_value) for _, _, height, width in shapes)


def export_front(settings: "FrontSettings", values: Values, reduction: Reduction) -> Trunk:
    """Export a front that stands alone; `Trunk.before` puts a backbone behind it.

    Parameters
    ----------
    settings : FrontSettings
    values : mapping of str to ndarray
        The front's values; only their shapes matter here.
    reduction : Reduction
        What makes its input.
    """
    import torch

    from lineside.normalise.front import FRONT_OUTPUTS, Front

    front, (width, height) = Front(settings), settings.middle_wh
    inputs: dict[str, torch.Tensor] = {
        "middle": torch.full((2, height, width, settings.channels), 128, dtype=torch.uint8),
        "frame_wh": torch.tensor([float(width), float(height)]),
    }
    inputs.update({name: torch.from_numpy(np.array(values[name], np.float32)) for name in front.value_names})
    model = export_module(front, inputs, FRONT_OUTPUTS, {"middle": {0: "N"}}, key=repr(settings))
    return Trunk(reduction, model, ())
