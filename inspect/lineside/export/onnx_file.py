"""Whether a model is one file: no tensor of it may name another file.

ONNX lets a tensor lie in a file beside the model (external data), by a path that may lead anywhere. A lineside graph
never has one. ONNX Runtime refuses some such models and not others, depending on what its optimiser touches, so the
file's protobuf fields are walked here; the runtime has no onnx package, and needs only the fields that lead to tensors.
"""

from lineside.errors import BundleError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}
_TENSOR = "tensor"
_INSIDE: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: _TENSOR, 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: _TENSOR, 6: "graph", 10: _TENSOR, 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: _TENSOR, 2: _TENSOR},
}
"""By message and field number of onnx.proto, the message inside: all ways from a model to its tensors."""
_EXTERNAL_FIELDS = (13, 14)
"""Of a tensor: external_data and data_location. In a tensor that lies in the file, the second is absent or 0."""
_LARGEST_KEY = 2**32 - 1
"""Some readers drop the bits above, and would see another field than is seen here."""
_DEEPEST = 64
"""Messages within messages: beyond it a file is made to exhaust the reader."""


def refuse_external_data(model: bytes, where: str) -> None:
    """Refuse a model that refers to another file, or that is no ONNX file.

    Parameters
    ----------
    model : bytes
        The serialised model.
    where : str
        Where it came from, for the error message.

    Raises
    ------
    BundleError
        When a tensor of it lies in another file, or the bytes are no complete ONNX file.
    """
    try:
        found = _has_external(model, 0, len(model), "model", 0)
    except (IndexError, _Malformed):
        raise BundleError(f"{where}: cut off, or no ONNX file. Copy the bundle again from where it was made.") from None
    if found:
        raise BundleError(
            f"{where}: a tensor of the model lies in another file (external data), which is never read. "
            "Export the model as one file."
        )


class _Malformed(Exception):
    """The bytes are no protobuf message."""


def _has_external(model: bytes, at: int, end: int, kind: str, depth: int) -> bool:
    """Whether the message of a kind in ``model[at:end]`` holds such a tensor. One loop: a start waits for it."""
    if depth > _DEEPEST:
        raise _Malformed
    inside = _INSIDE.get(kind, {})
    while at < end:
        key, at = _varint(model, at)
        if key > _LARGEST_KEY:
            raise _Malformed
        number, wire = key >> 3, key & 7
        size = _FIXED_SIZES.get(wire, 0)
        if wire in (_VARINT, _BYTES):
            size, at = _varint(model, at)  # of a varint: its value
            if kind == _TENSOR and number in _EXTERNAL_FIELDS and size:
                return True
        elif not size:
            raise _Malformed
        if wire == _VARINT:
            continue
        if at + size > end:
            raise _Malformed
        if number in inside and wire == _BYTES and _has_external(model, at, at + size, inside[number], depth + 1):
            return True
        at += size
    if at > end:
        raise _Malformed
    return False


def _varint(model: bytes, at: int) -> tuple[int, int]:
    """Read a whole number of 1 to 10 bytes; return it and the place behind it."""
    byte = model[at]
    if byte < 0x80:
        return byte, at + 1
    value = byte & 0x7F
    for shift in range(7, 70, 7):
        at += 1
        byte = model[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + 1
    raise _Malformed
