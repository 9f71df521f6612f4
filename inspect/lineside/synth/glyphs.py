"""A few letters as pen strokes, set along a circle.

The letters are our own because cv2's Hershey fonts changed their look between OpenCV 4 and 5, and a font file would be
one more licence to carry.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from lineside.synth.scene import F32

Stroke = npt.NDArray[np.float64]


def _arc(cx: float, cy: float, rx: float, ry: float, start_deg: float, stop_deg: float) -> Stroke:
    """Return points along an ellipse, shape (17, 2), counter-clockwise from the right."""
    a = np.deg2rad(np.linspace(start_deg, stop_deg, 17))
    return np.column_stack([cx + rx * np.cos(a), cy + ry * np.sin(a)])


def _line(*points: tuple[float, float]) -> Stroke:
    """Return the points of a polyline, shape (n, 2)."""
    return np.array(points, dtype=np.float64)


def _letters() -> dict[str, tuple[float, list[Stroke]]]:
    """Return width and strokes of each letter; x to the right, y up, the capital height being 1."""
    bowl = np.vstack([_line((0, 1)), _arc(0.30, 0.745, 0.255, 0.255, 90, -90), _line((0, 0.49))])
    s = np.vstack([_arc(0.28, 0.745, 0.255, 0.255, 35, 250), _arc(0.28, 0.255, 0.275, 0.255, 70, -145)])
    d = np.vstack([_line((0, 0), (0, 1)), _arc(0.22, 0.5, 0.36, 0.5, 90, -90), _line((0, 0))])
    two = np.vstack([_arc(0.27, 0.72, 0.27, 0.28, 165, -35), _line((0, 0), (0.56, 0))])
    return {
        "D": (0.58, [d]),
        "E": (0.46, [_line((0.46, 1), (0, 1), (0, 0), (0.46, 0)), _line((0, 0.51), (0.40, 0.51))]),
        "I": (0.0, [_line((0, 0), (0, 1))]),
        "L": (0.44, [_line((0, 1), (0, 0), (0.44, 0))]),
        "N": (0.60, [_line((0, 0), (0, 1), (0.60, 0), (0.60, 1))]),
        "P": (0.55, [_line((0, 0), (0, 1)), bowl]),
        "R": (0.56, [_line((0, 0), (0, 1)), bowl, _line((0.26, 0.49), (0.56, 0))]),
        "S": (0.55, [s]),
        "2": (0.56, [two]),
        "8": (0.54, [_arc(0.27, 0.75, 0.23, 0.25, 0, 360), _arc(0.27, 0.25, 0.27, 0.25, 0, 360)]),
        ".": (0.0, [_line((0, 0.5), (0, 0.501))]),
        " ": (0.25, []),
    }


def ring_text(side: int, text: str, radius_px: float, height_px: float, pen_px: float, middle_deg: float) -> F32:
    """Return text set around the middle of a square, read from outside with its feet to the centre.

    Parameters
    ----------
    text
        Made of the letters D E I L N P R S, 2, 8, the full stop (a centred dot) and spaces.
    radius_px, height_px, pen_px
        Radius of the base line, capital height and pen width.
    middle_deg
        Where the middle of the text stands, counter-clockwise from the right.

    Returns
    -------
    Coverage 0 to 1, float32, shape (side, side).
    """
    letters, gap = _letters(), 0.29
    widths = [letters[c][0] for c in text]
    x = -(sum(widths) + gap * (len(text) - 1)) / 2
    canvas, fine = np.zeros((side, side), np.uint8), 4
    for char, width in zip(text, widths, strict=True):
        for points in letters[char][1]:
            angle = np.deg2rad(middle_deg) - (x + points[:, 0]) * height_px / (radius_px + height_px / 2)
            radius = radius_px + points[:, 1] * height_px
            flat = np.column_stack([radius * np.cos(angle), -radius * np.sin(angle)]) + (side - 1) / 2
            path = np.rint(flat * 2**fine).astype(np.int32)
            cv2.polylines(canvas, [path], False, 255, round(pen_px), cv2.LINE_AA, fine)
        x += width + gap
    return np.asarray(canvas, np.float32) / np.float32(255)
