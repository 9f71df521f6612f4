"""The working image: what the network saw of a frame, after light and pose, for pictures in a report.

It is an inner value of the deployed graph, no output, and is read from that very graph: an output is added to the bytes
in memory, which changes no other. Making it anew outside the graph was rejected, since then nobody could say that it is
what the network saw. In protobuf a message that is written twice is merged, and what is repeated in it is appended
(Protocol Buffers, "Encoding", "Last One Wins"), so that a few bytes behind the model add an output without the package
onnx, which the base install lacks.
"""

import numpy as np
import numpy.typing as npt

from lineside.contract import INPUT_FRAME
from lineside.errors import BundleError
from lineside.session import open_session, ort

Pixels = npt.NDArray[np.uint8]

WORKING, SLOPE, OFFSET = "working", "front/slope", "front/offset"
"""Inner values: the working tensor [N, 3, h, w] is grey levels × slope - offset, both [1, 3, 1, 1]."""
_MODEL_GRAPH, _GRAPH_OUTPUT, _VALUE_NAME = 7, 12, 1
"""Field numbers of onnx.proto: ModelProto.graph, GraphProto.output, ValueInfoProto.name."""


class WorkingImages:
    """Shows working images of one model. Safe to share between threads.

    Parameters
    ----------
    model : bytes
        model.onnx.
    where : str
        Where it came from, for an error message.
    """

    def __init__(self, model: bytes, where: str) -> None:
        self._session = _opened(model, where)

    def __call__(self, frame: Pixels) -> Pixels | None:
        """Return the working image [h, w, 3] of a frame [H, W, C] as the graph takes it; None where it has none.

        Levels are rounded to uint8; what lies beyond 0 to 255 after the evening out of light is cut.
        """
        if self._session is None:
            return None
        options = ort.RunOptions()
        options.only_execute_path_to_fetches = True  # light and pose alone: neither network nor heads
        working, slope, offset = self._session.run((WORKING, SLOPE, OFFSET), {INPUT_FRAME: frame[None]}, options)
        levels = ((working + offset) / slope)[0].transpose(1, 2, 0)
        return np.asarray(np.clip(np.rint(levels), 0, 255), np.uint8)


def _opened(model: bytes, where: str) -> "ort.InferenceSession | None":
    """Open the graph with the further outputs; None where it has no such values, as of another way of scoring."""
    outputs = b"".join(_message(_GRAPH_OUTPUT, _message(_VALUE_NAME, n.encode())) for n in (WORKING, SLOPE, OFFSET))
    try:
        return open_session(model + _message(_MODEL_GRAPH, outputs), where)
    except BundleError:
        return None


def _message(field: int, content: bytes) -> bytes:
    """Encode a length-delimited field of less than 128 bytes (wire type 2)."""
    assert len(content) < 128
    return bytes(((field << 3) | 2, len(content))) + content
