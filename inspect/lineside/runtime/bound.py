"""The graph bound to memory: frames are read where they lie, outputs are written into arrays that each thread keeps.

ONNX Runtime's plain `run` takes memory for every output; here a result is copied out of what the run before it used.
What a frame may need (red and blue exchanged, 16 bits reduced, rows that do not lie in one piece) has a buffer as well.
To bind a result's own arrays was rejected: all of them bound anew cost 0.11 ms a frame more than `run`, this way costs
0.02 (measured: the tests' tiny graph, one core, 2026-11). ONNX Runtime keeps what its largest run took: that is given
back behind a run of less than half its samples. Behind every run was rejected: a frame of 1280 x 1024 then takes 1.49
times as long, one of 256 x 256 1.06 times (measured: ball-screw drives, thread time, 60 and 100 rounds, 2026-11).
"""

import math
import threading
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from lineside.bit_depth import to_uint8
from lineside.contract import INPUT_FRAME, Contract
from lineside.contract_graph import output_shapes
from lineside.session import ort

Array = npt.NDArray[np.generic]
Outputs = dict[str, Array]
WHOLE_NUMBERS = ("verdict", "gate", "defect_class")
_ROWS = 16
"""Rows that are reduced to 8 bits together: what that needs beside stays in the processor's cache."""


class BoundGraph:
    """One session, run from any number of threads.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
    contract : Contract
        Says how large each output is.
    feed : mapping of str to ndarray
        Inputs that are the same for every frame.
    bgr : bool
        Whether frames come with blue first.
    where : str
        Where the model came from, for the error message.

    Raises
    ------
    BundleError
        When the graph does not follow the contract.
    """

    def __init__(
        self, session: ort.InferenceSession, contract: Contract, feed: Mapping[str, Array], *, bgr: bool, where: str
    ) -> None:
        self._session = session
        self._depth = contract.frame.bit_depth
        self._turned = bgr and contract.frame.channels == 3
        self._largest, self._giving_back = 0, ort.RunOptions()
        self._giving_back.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        inputs = [item.name for item in session.get_inputs()]
        outputs = {item.name: item.shape for item in session.get_outputs()}
        self._own = _Own(session, feed, output_shapes(contract, inputs, outputs, where))

    def run(self, frames: npt.NDArray[np.uint8]) -> Outputs:
        """Return every output by name, read-only; frames are as the graph takes them, in one piece."""
        own = self._own
        own.bind_outputs(len(frames))
        own.binding.bind_input(INPUT_FRAME, "cpu", 0, np.uint8, frames.shape, _address(frames))
        smaller = 2 * frames.size < self._largest
        self._largest = frames.size if smaller else max(frames.size, self._largest)
        self._session.run_with_iobinding(own.binding, self._giving_back if smaller else None)
        outputs = {name: value.copy() for name, value in own.outputs.items()}
        for value in outputs.values():
            value.flags.writeable = False
        return outputs

    def prepared(self, frames: Sequence[Array], *, reduced: bool) -> npt.NDArray[np.uint8]:
        """Return checked frames of one size as the graph takes them: one that is so already as it lies, else copied.

        The copy is overwritten by this thread's next call.
        """
        depth = 8 if reduced else self._depth
        self._own.keep_at_most(2 * len(frames) * frames[0].size)
        if len(frames) == 1 and depth == 8 and not self._turned and frames[0].flags.c_contiguous:
            return to_uint8(frames[0][None], depth)
        copy = self._own.buffer((len(frames), *frames[0].shape))
        for frame, target in zip(frames, copy, strict=True):
            for row in range(0, len(frame), _ROWS):
                self._copy(to_uint8(frame[row : row + _ROWS], depth), target[row : row + _ROWS])
        return copy

    def _copy(self, samples: npt.NDArray[np.uint8], target: npt.NDArray[np.uint8]) -> None:
        if not self._turned:
            target[:] = samples
            return
        for channel in range(3):  # a third of the time that a reversed view takes
            target[..., channel] = samples[..., 2 - channel]


class _Own(threading.local):
    """What each thread has for itself; made anew in each."""

    def __init__(
        self, session: ort.InferenceSession, feed: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]]
    ) -> None:
        self.binding = session.io_binding()
        self.outputs: Outputs = {}
        """Bound at present; the next run writes over them."""
        self._feed, self._shapes = feed, shapes
        self._samples = np.empty(0, np.uint8)
        for name, value in feed.items():  # bind_cpu_input knows no optional inputs
            self.binding.bind_input(name, "cpu", 0, value.dtype, value.shape, _address(value))

    def bind_outputs(self, n: int) -> None:
        """Bind outputs for `n` frames, unless they are."""
        if self.outputs and len(self.outputs["score"]) == n:
            return
        self.outputs = {}
        kinds = {name: np.int64 if name in WHOLE_NUMBERS else np.float32 for name in self._shapes}
        outputs: Outputs = {name: np.empty((n, *shape), kinds[name]) for name, shape in self._shapes.items()}
        for name, value in outputs.items():
            self.binding.bind_output(name, "cpu", 0, kinds[name], value.shape, _address(value))
        self.outputs = outputs

    def keep_at_most(self, size: int) -> None:
        """Let a larger buffer go."""
        if self._samples.size > size:
            self._samples = np.empty(0, np.uint8)

    def buffer(self, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
        """Return room for samples; it is the same memory each time, unless more is needed."""
        size = math.prod(shape)
        if size > self._samples.size:
            self._samples = np.empty(size, np.uint8)
        return self._samples[:size].reshape(shape)


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])
