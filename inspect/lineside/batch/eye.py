"""What a model sees in a frame, for pictures in a report: its map, the places of defects, and the working image.

The working image, what the network was given after light and pose, is an inner value of the deployed graph, no output,
and is read from that very graph: an output is added to the bytes in memory, which changes no other. Making it anew
outside the graph was rejected, since then nobody could say that it is what the network saw. In protobuf a message that
is written twice is merged, and what is repeated in it is appended (Protocol Buffers, "Encoding", "Last One Wins"), so
that a few bytes behind the model add an output without the package onnx, which the base install lacks. One pass through
the graph gives all of it: nodes that lead to no output asked for are computed all the same.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lineside.batch.regions import DEFECT, Region, find_regions
from lineside.contract import INPUT_FRAME, INPUT_THRESHOLDS, Contract, Verdict
from lineside.errors import BundleError
from lineside.session import open_session

Pixels = npt.NDArray[np.uint8]

WORKING, SLOPE, OFFSET = "working", "front/slope", "front/offset"
"""Inner values: the working tensor [N, 3, h, w] is grey levels × slope - offset, both [1, 3, 1, 1]."""
_TOLD = ("anomaly_map", "verdict", "defect_class")
_MODEL_GRAPH, _GRAPH_OUTPUT, _VALUE_NAME = 7, 12, 1
"""Field numbers of onnx.proto: ModelProto.graph, GraphProto.output, ValueInfoProto.name."""


@dataclass(frozen=True)
class Seen:
    """What a model makes of a frame."""

    anomaly_map: npt.NDArray[np.float32]
    """[h, w]"""
    regions: tuple[Region, ...] = ()
    """Defects to draw a box around; none on a frame that is OK or got no call."""
    working: Pixels | None = None
    """The working image [h, w, 3], where the model tells it."""


class Eye:
    """Looks at frames with one model. Safe to share between threads.

    Parameters
    ----------
    model : bytes
        model.onnx.
    contract : Contract
        Its own.
    thresholds : (float, float)
        By which it judges: NG and REVIEW above.
    where : str
        Where it came from, for an error message.
    """

    def __init__(self, model: bytes, contract: Contract, thresholds: tuple[float, float], where: str) -> None:
        self._contract = contract
        self._given = {
            name: np.array([value], np.float32) for name, value in zip(INPUT_THRESHOLDS, thresholds, strict=True)
        }
        self._inner: tuple[str, ...] = (WORKING, SLOPE, OFFSET)
        try:
            self._session = open_session(_with_outputs(model, self._inner), where)
        except BundleError:  # it has no such values, as of another way of scoring
            self._inner, self._session = (), open_session(model, where)

    def __call__(self, frame: Pixels) -> Seen:
        """Look at a frame [H, W, C] as the graph takes it."""
        told = self._session.run((*_TOLD, *self._inner), {INPUT_FRAME: frame[None], **self._given})
        anomaly_map, verdict, defect_class = (value[0] for value in told[:3])
        regions: tuple[Region, ...] = ()
        if Verdict(int(verdict)) not in (Verdict.OK, Verdict.NO_CALL):
            category = self._contract.class_name(int(defect_class)) or DEFECT
            size_wh = (frame.shape[1], frame.shape[0])
            regions = find_regions(anomaly_map, self._contract.map_threshold, size_wh, category)
        return Seen(anomaly_map, regions, _levels(*told[3:]) if self._inner else None)


def _levels(
    working: npt.NDArray[np.float32], slope: npt.NDArray[np.float32], offset: npt.NDArray[np.float32]
) -> Pixels:
    """Levels rounded to uint8 [h, w, 3]; what lies beyond 0 to 255 after the evening out of light is cut."""
    levels = ((working + offset) / slope)[0].transpose(1, 2, 0)
    return np.asarray(np.clip(np.rint(levels), 0, 255), np.uint8)


def _with_outputs(model: bytes, names: tuple[str, ...]) -> bytes:
    """Add inner values to a model's outputs."""
    outputs = b"".join(_message(_GRAPH_OUTPUT, _message(_VALUE_NAME, name.encode())) for name in names)
    return model + _message(_MODEL_GRAPH, outputs)


def _message(field: int, content: bytes) -> bytes:
    """Encode a length-delimited field of less than 128 bytes (wire type 2)."""
    assert len(content) < 128
    return bytes(((field << 3) | 2, len(content))) + content
