"""The front of the graph: raw frame in, working tensor out, with the numbers behind the gate.

Light, pose, region and size are torch modules of this room, applied here in this order and exported with the backbone
behind them. Exposure gain is the first of them; an exposure beyond the gain's limits is not corrected away but refused.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lineside.normalise.resize import resize_u8

GATE_BITS = ("exposure",)
GATE_WORDS = ("the frame is darker or brighter than the exposure correction may mend",)
QUALITY_NAMES = ("mean_level", "exposure_gain")


@dataclass(frozen=True)
class FrontSettings:
    """What the front does that no image has a say in.

    Attributes
    ----------
    channels : int
        Of the frame: 1 or 3.
    working_wh : tuple of int
        Size of the working image in pixels.
    gain_limits : tuple of float or None
        Smallest and largest exposure gain; None switches the correction off.
    mean, std : tuple of float
        What the backbone was trained with, of samples scaled to 0 to 1, red, green, blue.
    """

    channels: int
    working_wh: tuple[int, int]
    gain_limits: tuple[float, float] | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class Front(nn.Module):
    """Frames to working tensors.

    `forward` takes the frames and the golden mean level, and returns the working tensor, pose, transform, gate and
    quality of the contract. The golden level is an argument, not a constant, so that cross-fitting can refit it
    without exporting again; it becomes a constant when the graph is assembled.
    """

    slope: Tensor
    offset: Tensor
    pose_row: Tensor

    def __init__(self, settings: FrontSettings) -> None:
        super().__init__()
        self.settings = settings
        std = torch.tensor(settings.std)
        self.register_buffer("slope", 1.0 / (255.0 * std))
        self.register_buffer("offset", torch.tensor(settings.mean) / std)
        self.register_buffer("pose_row", torch.tensor([[0.0, 0.0, 0.0, 1.0, 0.0]]))

    def forward(self, frame: Tensor, golden_level: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Normalise frames.

        Parameters
        ----------
        frame : Tensor of uint8 [N, H, W, C]
        golden_level : Tensor of float32 [1]
            Mean grey level of the good frames, 0 to 255.

        Returns
        -------
        working [N, 3, h, w], pose [N, 5], transform [N, 3, 3], gate int64 [N], quality [N, 2]
        """
        width, height = self.settings.working_wh
        small = resize_u8(frame, height, width).to(torch.float32)  # [N, h, w, C]
        level = small.mean(dim=(1, 2, 3))  # [N]
        wanted = golden_level / level.clamp(min=1.0)  # [N]
        if self.settings.gain_limits is None:
            gain, gate = torch.ones_like(level), torch.zeros_like(level, dtype=torch.int64)
        else:
            low, high = self.settings.gain_limits
            gain = wanted.clamp(min=low, max=high)
            gate = ((wanted < low) | (wanted > high)).to(torch.int64)
        working = small * (gain[:, None, None, None] * self.slope) - self.offset  # [N, h, w, 3]: grey is spread here
        quality = torch.stack((level, wanted), dim=1)
        return working.permute(0, 3, 1, 2), self._pose(frame), self._transform(frame), gate, quality

    def _pose(self, frame: Tensor) -> Tensor:
        return self.pose_row.expand(frame.shape[0], 5)

    def _transform(self, frame: Tensor) -> Tensor:
        """Frame pixel -> working pixel: the resize alone, pixel centres at whole numbers."""
        width, height = self.settings.working_wh
        sx = width / torch.full((1,), frame.shape[2], dtype=torch.float32)
        sy = height / torch.full((1,), frame.shape[1], dtype=torch.float32)
        zero, one = torch.zeros(1), torch.ones(1)
        rows = torch.cat((sx, zero, 0.5 * sx - 0.5, zero, sy, 0.5 * sy - 0.5, zero, zero, one))
        return rows.reshape(1, 3, 3).expand(frame.shape[0], 3, 3)
