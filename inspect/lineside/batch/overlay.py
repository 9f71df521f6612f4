"""The heatmap overlay: where on the frame the score came from.

The colour scale is tied to the threshold, never to the image's own minimum and maximum: with min-max scaling the most
harmless spot of every good part glows red. Below the threshold the frame stays as it was; at the threshold a contour
is drawn and colour sets in; at twice the threshold it is full. The same colour means the same score on every image.
"""

import hashlib
from collections.abc import Sequence
from pathlib import PurePath, PurePosixPath
from typing import cast

import numpy as np
import numpy.typing as npt

from lineside.batch.regions import Region

Rgb = npt.NDArray[np.uint8]
ALPHA_AT_THRESHOLD, ALPHA_FULL = 0.30, 0.65
JPEG_QUALITY = 88
BOX_RGB = (90, 230, 255)  # no colour of the heat scale is near it
_LUT_START = 100  # of 256: the darker part of inferno would read as a shadow on the part, not as heat
_RING_SHARE = 0.055  # radius of the ring, of the longer side: around a spot, not over it
_THUMBNAIL_PX = 200  # from here on a box has two pixels: JPEG takes the colour of a single one
_NAME_BYTES = 200  # file systems allow 255; a temporary name and the suffix must fit too


def overlay(frame: Rgb, anomaly_map: npt.NDArray[np.float32], threshold: float) -> Rgb:
    """Lay an anomaly map over its frame.

    Parameters
    ----------
    frame : ndarray of uint8 [H, W, 1 or 3]
        RGB or grey; not changed.
    anomaly_map : ndarray of float32 [h, w]
        Over the whole frame, in the unit of the score.
    threshold : float
        Where colour sets in, in the same unit.

    Returns
    -------
    ndarray of uint8 [H, W, 3], RGB
    """
    import cv2

    height, width = frame.shape[:2]
    picture = np.repeat(frame, 3, axis=2) if frame.shape[2] == 1 else frame.copy()
    heat = cv2.resize(np.nan_to_num(anomaly_map), (width, height), interpolation=cv2.INTER_LINEAR)  # [H, W]
    above = heat > threshold
    inside = np.flatnonzero(above)  # [n]
    if inside.size:
        excess = np.minimum((heat.ravel()[inside] - threshold) / scale_span(threshold), 1.0)[:, None]  # [n, 1]: 0 to 1
        alpha = ALPHA_AT_THRESHOLD + (ALPHA_FULL - ALPHA_AT_THRESHOLD) * excess
        pixels = picture.reshape(-1, 3)  # [H·W, 3], a view
        pixels[inside] = np.rint((1.0 - alpha) * pixels[inside] + alpha * _colours(excess[:, 0])).astype(np.uint8)
        outline, _ = cv2.findContours(above.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        line = max(1, round(max(height, width) / 500))
        cv2.drawContours(picture, outline, -1, (0, 0, 0), 3 * line)
        cv2.drawContours(picture, outline, -1, (255, 255, 255), line)
    return picture


def mark_peak(picture: Rgb, anomaly_map: npt.NDArray[np.float32]) -> Rgb:
    """Ring the highest place of a map on its picture; a flat map, as of a frame without a call, has none.

    Parameters
    ----------
    picture : ndarray of uint8 [H, W, 3]
        RGB; not changed.
    anomaly_map : ndarray of float32 [h, w]
        Over the whole picture.

    Returns
    -------
    ndarray of uint8 [H, W, 3], RGB
    """
    import cv2

    heat = np.nan_to_num(anomaly_map)
    if heat.max() <= heat.min():
        return picture
    row, column = np.unravel_index(int(heat.argmax()), heat.shape)
    height, width = picture.shape[:2]
    centre_xy = (int((column + 0.5) * width / heat.shape[1]), int((row + 0.5) * height / heat.shape[0]))
    radius, line = max(3, round(max(height, width) * _RING_SHARE)), max(1, round(max(height, width) / 500))
    ringed = picture.copy()
    cv2.circle(ringed, centre_xy, radius, (0, 0, 0), 3 * line, cv2.LINE_AA)
    cv2.circle(ringed, centre_xy, radius, (255, 255, 255), line, cv2.LINE_AA)
    return ringed


def draw_boxes(picture: Rgb, regions: Sequence[Region], frame_wh: tuple[int, int]) -> Rgb:
    """Draw the boxes of regions on a picture of the frame, at whatever size.

    Parameters
    ----------
    picture : ndarray of uint8 [h, w, 3]
        RGB; not changed.
    regions : sequence of Region
        Their boxes are in px of the frame.
    frame_wh : tuple of int
        Width and height of the frame in px.

    Returns
    -------
    ndarray of uint8 [h, w, 3], RGB
    """
    import cv2

    if not regions:
        return picture
    boxed = picture.copy()
    height, width = picture.shape[:2]
    longer, across, down = max(height, width), width / frame_wh[0], height / frame_wh[1]
    line = max(2 if longer >= _THUMBNAIL_PX else 1, round(longer / 500))
    for region in regions:
        x, y, w, h = region.box_xywh
        corners = (round(x * across) - 1, round(y * down) - 1), (round((x + w) * across), round((y + h) * down))
        cv2.rectangle(boxed, *corners, (0, 0, 0), 3 * line)
        cv2.rectangle(boxed, *corners, BOX_RGB, line)
    return boxed


def scale_span(threshold: float) -> float:
    """Return the score range over which colour goes from its start to full: up to twice the threshold."""
    return abs(threshold) or 1.0


def _colours(excess: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Colours [n, 3] in RGB for excess over the threshold, 0 to 1."""
    table = colour_table()
    return table[np.rint(excess * (len(table) - 1)).astype(np.intp)].astype(np.float64)


def colour_table() -> Rgb:
    """Return the scale's colours [n, 3] in RGB, from the threshold to full: the upper part of matplotlib's inferno."""
    import cv2

    ramp = np.arange(_LUT_START, 256, dtype=np.uint8)[:, None]
    return cast(Rgb, cv2.applyColorMap(ramp, cv2.COLORMAP_INFERNO)[:, 0, ::-1])


def encode_jpeg(picture: Rgb, quality: int = JPEG_QUALITY) -> bytes:
    """Return an RGB or grey picture [H, W, 1 or 3] as JPEG bytes."""
    import cv2

    stored = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.shape[2] == 3 else picture
    return bytes(cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])


def encode_png(mask: npt.NDArray[np.uint8]) -> bytes:
    """Return a mask [H, W] as PNG bytes."""
    import cv2

    return bytes(cv2.imencode(".png", mask)[1])


def mirrored_name(path: PurePath, suffix: str) -> str:
    """Return where an image's overlay or mask lies below its folder; different images never share a name.

    Folders are mirrored and the suffix is kept (``a.png`` and ``a.jpg`` stay apart). What would leave the folder is
    renamed: ``..`` to ``@up``, a root to ``@root``; a part that starts with ``@`` gets one more.
    """
    anchor = ["@root", *(part for part in path.anchor.replace(":", "").replace("\\", "/").split("/") if part)]
    parts = path.parts[1:] if path.anchor else path.parts
    mirrored = ["@up" if part == ".." else "@" + part if part.startswith("@") else part for part in parts]
    mirrored[-1] = _shortened(mirrored[-1]) + suffix
    return str(PurePosixPath(*(anchor if path.anchor else []), *mirrored))


def _shortened(name: str) -> str:
    raw = name.encode("utf-8", "surrogateescape")
    if len(raw) <= _NAME_BYTES:
        return name
    return raw[:_NAME_BYTES].decode("utf-8", "ignore") + "@" + hashlib.sha256(raw).hexdigest()[:12]
