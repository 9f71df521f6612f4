"""A line in a few lines: a camera's pictures, a verdict for each, and an output that takes a part off the line.

    python -m lineside.examples.line_loop models/caps camera:0 [public.pem]

With a key, a model that it did not sign is refused.
Replace `print_reject` by what sets your output. A part leaves the line unless its verdict is OK: NO_CALL says nothing
of the part, and never counts as good. The loop ends with the source; a camera never ends by itself.
"""

import sys
from collections.abc import Callable
from contextlib import closing

from lineside.capture.source import open_source
from lineside.contract import Verdict
from lineside.runtime import Inspector, Result

Reject = Callable[[str, Result], None]


def run_line(inspector: Inspector, source: str, reject: Reject) -> int:
    """Judge every picture of a source and hand over what must leave the line; return how many were OK.

    Parameters
    ----------
    inspector : Inspector
    source : str
        Such as ``camera:0`` or a folder; see `lineside.capture.source`.
    reject : callable
        Called at once with the picture's name and its result, unless the verdict is OK.

    Raises
    ------
    LinesideError
        When the source breaks off, or a picture does not fit the model. Stop the line then: nothing is judged any more.
    """
    passed = 0
    with closing(open_source(source)) as shots:
        for shot in shots:
            frame = shot.frame(inspector.contract.frame.bit_depth)
            result = inspector.inspect(frame.image, reduced=True)
            if result.verdict is Verdict.OK:
                passed += 1
            else:
                reject(frame.name, result)
    return passed


def print_reject(name: str, result: Result) -> None:
    """Stand in for an output."""
    print(f"{name}: {result.verdict.name}, score {result.score:.3f} {' '.join(result.reasons)}")


if __name__ == "__main__":
    model, camera, *keys = sys.argv[1:]
    (key,) = keys or (None,)
    print(run_line(Inspector(model, require_key=key), camera, print_reject), "parts passed")
