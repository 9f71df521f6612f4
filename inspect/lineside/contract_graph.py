"""Whether a graph is what its contract says: its inputs and outputs, and how large each output is for one frame."""

import math
from collections.abc import Collection, Mapping, Sequence

from lineside.contract import INPUT_FRAME, MAX_FRAME_PIXELS, OUTPUTS, POSE_FIELDS, Contract
from lineside.errors import BundleError


def output_shapes(
    contract: Contract, inputs: Collection[str], outputs: Mapping[str, Sequence[object]], where: str
) -> dict[str, tuple[int, ...]]:
    """Return the shape of each output for one frame.

    Parameters
    ----------
    contract : Contract
    inputs : collection of str
        The graph's inputs.
    outputs : mapping of str to sequence
        The graph's outputs, and the shape that it declares of each, number of frames first.
    where : str
        Where it came from, for the error message.

    Raises
    ------
    BundleError
        When something is missing, is declared otherwise than the contract says, or fits into no memory.
    """
    missing = sorted(({INPUT_FRAME} - set(inputs)) | (set(OUTPUTS) - set(outputs)))
    if missing:
        raise BundleError(f"{where}: the graph lacks {', '.join(missing)}; it does not follow the contract.")
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(OUTPUTS, ())
    width, height = contract.map_wh
    shapes |= {"anomaly_map": (height, width), "pose": (len(POSE_FIELDS),), "transform": (3, 3)}
    shapes |= {"quality": (len(contract.quality_names),), "class_prob": (len(contract.class_names),)}
    # how long it is, the contract leaves to the graph, but not whether that is a number
    shapes["embedding"] = tuple(d if isinstance(d, int) else -1 for d in outputs["embedding"][1:2])
    for name, shape in shapes.items():
        if not _agree(outputs[name][1:], shape):
            declared, expected = (", ".join(map(str, sizes)) for sizes in (outputs[name], ("N", *shape)))
            raise BundleError(f"{where}: the graph's {name} is [{declared}], by the contract it is [{expected}].")
    return shapes


def _agree(declared: Sequence[object], shape: Sequence[int]) -> bool:
    """Whether sizes that are known are equal, and a frame's output fits into memory."""
    if len(declared) != len(shape) or min(shape, default=0) < 0 or math.prod(shape) > MAX_FRAME_PIXELS:
        return False
    return all(given == size for given, size in zip(declared, shape, strict=True) if isinstance(given, int))
