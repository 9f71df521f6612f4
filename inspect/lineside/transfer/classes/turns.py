"""Turned and mirrored copies of a frame: more views of a defect that has no orientation.

Which is learnt from them is decided by cross-validation (`lineside.transfer.classes.fit`): a class may be just that,
the part the wrong way round. A frame that is not square is not turned by a quarter, which would change what the
working size makes of it.
"""

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


def turns(height: int, width: int) -> tuple[tuple[int, bool], ...]:
    """Return the copies of a frame of this size, as quarter turns and whether mirrored: 7 of a square, else 3."""
    quarters = (0, 1, 2, 3) if height == width else (0, 2)
    return tuple((k, mirrored) for mirrored in (False, True) for k in quarters if k or mirrored)


def turned(frame: Pixels, quarters: int, *, mirrored: bool) -> Pixels:
    """Return a frame [H, W, C] (or mask [H, W]) mirrored left to right where asked, then turned by quarters."""
    seen = frame[:, ::-1] if mirrored else frame
    return np.ascontiguousarray(np.rot90(seen, quarters))


def turned_copies(frame: Pixels) -> list[Pixels]:
    """Return all copies of a frame [H, W, C], in the order of `turns`."""
    return [turned(frame, k, mirrored=mirrored) for k, mirrored in turns(*frame.shape[:2])]
