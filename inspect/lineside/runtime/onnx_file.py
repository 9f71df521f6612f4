"""Whether a model is one file: no tensor of it may name another file.

ONNX lets a tensor lie in a file beside the model (external data), by a path that may lead anywhere. A lineside graph
never has one. ONNX Runtime refuses some such models and not others, depending on what its optimiser touches, so the
file's protobuf fields are walked here; the runtime has no onnx package, and needs only the fields that lead to tensors.
"""

from collections.abc import Iterator

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
        found = _has_external(memoryview(model), "model", 0)
    except (IndexError, _Malformed):
        raise BundleError(f"{where}: cut off, or no ONNX file. Copy the bundle again from where it was made.") from None
    if found:
        raise BundleError(
            f"{where}: a tensor of the model lies in another file (external data), which is never read. "
            "Export the model as one file."
        )


class _Malformed(Exception):
    """The bytes are no protobuf message."""


def _has_external(message: memoryview, kind: str, depth: int) -> bool:
    if depth > _DEEPEST:
        raise _Malformed
    if kind == _TENSOR:
        return any(number in _EXTERNAL_FIELDS and value not in (0, b"") for number, value in _fields(message))
    inside = _INSIDE[kind]
    return any(
        isinstance(value, memoryview) and _has_external(value, inside[number], depth + 1)
        for number, value in _fields(message)
        if number in inside
    )


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of each field: a whole number, or the bytes of what has a length or a fixed size."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire == _BYTES:
            size, at = _varint(message, at)
        elif wire in _FIXED_SIZES:
            size = _FIXED_SIZES[wire]
        else:
            raise _Malformed
        if at + size > len(message):
            raise _Malformed
        yield number, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Read a whole number of 1 to 10 bytes; return it and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _Malformed
