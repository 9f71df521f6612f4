"""The capture-quality gate: numbers about a frame, their limits, and a bit for every reason not to judge it.

A frame is refused when a number lies outside what the good frames showed, with a margin, or outside what the recipe
states. Nothing here looks for defects, and a defect must not trip it: measures are means over the middle of many cells,
and a part whose rotation cannot be found while it is in its place is a matter for the head, not for the gate.
"""

import torch
from torch import Tensor, nn

from lineside.normalise.gate_measures import Measures
from lineside.normalise.gate_rules import GATE_BITS, GATE_WORDS, UNFAMILIAR, GateSettings
from lineside.normalise.geometry import pose_to_matrix, transform_points

__all__ = ["GATE_BITS", "GATE_WORDS", "UNFAMILIAR", "Gate", "GateSettings"]


class Gate(nn.Module):
    """From the front's images and numbers to the gate's bits.

    Parameters
    ----------
    settings : GateSettings
    """

    reasons: Tensor
    powers: Tensor

    def __init__(self, settings: GateSettings) -> None:
        super().__init__()
        self.settings = settings
        self.measures = Measures(settings.working_wh, settings.channels) if settings.on else None
        reasons = torch.zeros(len(settings.bits), len(GATE_BITS))
        for row, bit in enumerate(settings.bits):
            if bit is not None:
                reasons[row, bit] = 1.0
        self.register_buffer("reasons", reasons)  # [q, b]
        self.register_buffer("powers", 2.0 ** torch.arange(len(GATE_BITS), dtype=torch.float32))  # [b]

    def forward(
        self,
        working: Tensor,
        valid: Tensor,
        part: Tensor,
        light_numbers: Tensor,
        pose_numbers: Tensor,
        pose: Tensor,
        frame_wh: Tensor,
        limits: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Judge frames.

        Parameters
        ----------
        working : Tensor of float32 [N, C, h, w]
            Aligned to the golden part and evened out in light, 0 to 255.
        valid : Tensor of float32 [N, 1, h, w]
            1 where a sample comes from inside the frame.
        part : Tensor of float32 [1, 1, h, w]
            1 where the golden part is, 0 beside it; ones where that is not known.
        light_numbers, pose_numbers : Tensor of float32 [N, kl], [N, kp]
            Columns as the settings name them.
        pose : Tensor of float32 [N, 5]
            The contract's: angle_deg, dx_px, dy_px, scale, confidence.
        frame_wh : Tensor of float32 [2]
        limits : Tensor of float32 [q, 2]
            Lower and upper limit of each quality number; a frame at a limit passes.

        Returns
        -------
        gate : Tensor of int64 [N]
        quality : Tensor of float32 [N, q]
        """
        if self.measures is None:
            quality = torch.cat((light_numbers, pose_numbers), dim=1)
            return quality.new_zeros((working.shape[0],), dtype=torch.int64), quality
        searches = self.settings.searches
        columns = [light_numbers, self.measures(working, valid if searches else None)]
        if searches:
            columns += [pose_numbers, view_share(valid, part), _pose_size(pose, part, frame_wh)]
        if self.settings.frame_wh is not None:
            columns.append(frame_wh[None].expand(working.shape[0], 2))
        quality = torch.cat(columns, dim=1)  # [N, q]
        passes = (quality >= limits[:, 0]) & (quality <= limits[:, 1])  # not a number passes nothing
        outside = 1.0 - passes.to(torch.float32)
        spoken = torch.matmul(outside, self.reasons).clamp(max=1.0)  # [N, b]
        return (spoken * self.powers).sum(dim=1).to(torch.int64), quality


def view_share(valid: Tensor, part: Tensor) -> Tensor:
    """Share of the golden part that lies inside the frame, [N, 1]."""
    return (valid * part).sum(dim=(1, 2, 3))[:, None] / part.sum().clamp(min=1.0)


def _pose_size(pose: Tensor, part: Tensor, frame_wh: Tensor) -> Tensor:
    """`gate_rules.RANGE_NAMES` of poses, [N, 3]; the shift is that of the part's own centre: turning is none."""
    centre = (_centre(part) * frame_wh - 0.5)[None, None]  # [1, 1, 2], px of the frame
    moved = transform_points(pose_to_matrix(pose[:, :4], frame_wh), centre) - centre  # [N, 1, 2]
    shift = moved[:, 0].abs().amax(dim=1) / frame_wh.amax(dim=0)
    return torch.stack((pose[:, 0].abs(), shift, (pose[:, 3] - 1.0).abs()), dim=1)


def _centre(part: Tensor) -> Tensor:
    """Centre of the part [1, 1, h, w] as shares of width and height, [2]; the middle where there is no part."""
    height, width = part.shape[2:]
    held = part + 1e-6
    total = held.sum()
    across = (held.sum(dim=(0, 1, 2)) * (torch.arange(width, dtype=torch.float32) + 0.5)).sum() / (total * width)
    down = (held.sum(dim=(0, 1, 3)) * (torch.arange(height, dtype=torch.float32) + 0.5)).sum() / (total * height)
    return torch.stack((across, down))
