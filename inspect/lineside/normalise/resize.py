"""The one resize of the product: antialiased, on the camera's uint8, in the camera's own [N, H, W, C] layout.

One operator in torch and one node in ONNX. `torch.nn.functional.interpolate` exports as a Resize on [N, C, H, W] with
other border weights, behind a transposition of the full frame, which ONNX Runtime 1.31 then miscompiles; so the
operator is ours and brings its own translation. Both sides follow PIL's reduction (bilinear with antialias, weights
renormalised at the border); they differ by at most one grey level (a test).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def resize_u8(frame: Tensor, height: int, width: int) -> Tensor:
    """Resize uint8 frames with antialiasing.

    Parameters
    ----------
    frame : Tensor of uint8 [N, H, W, C]
    height, width : int
        Size wanted, in pixels.

    Returns
    -------
    Tensor of uint8 [N, height, width, C]
    """
    if torch.compiler.is_exporting():
        resized: Tensor = _operator(frame, height, width)
        return resized
    return _resized(frame, height, width)  # calling an operator of ours loads torch's compiler, which takes seconds


def _resized(frame: Tensor, height: int, width: int) -> Tensor:
    planes = frame.permute(0, 3, 1, 2)  # [N, C, H, W]
    resized = torch.nn.functional.interpolate(
        planes, size=(height, width), mode="bilinear", antialias=True, align_corners=False
    )
    return resized.permute(0, 2, 3, 1).contiguous()


_operator = torch.library.custom_op("lineside::resize_u8", _resized, mutates_args=())


@_operator.register_fake
def _(frame: Tensor, height: int, width: int) -> Tensor:
    return frame.new_empty((frame.shape[0], height, width, frame.shape[3]))


def onnx_translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Return the exporter's translation table for the operators of this module."""
    from onnxscript import opset20 as op

    def translate(frame: Any, height: int, width: int) -> Any:
        sizes = op.Constant(value_ints=[height, width])
        return op.Resize(frame, None, None, sizes, mode="linear", antialias=1, exclude_outside=1, axes=[1, 2])

    return {torch.ops.lineside.resize_u8.default: translate}
