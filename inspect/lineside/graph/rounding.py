"""Weights moved onto their integer grid so that their errors cancel in what a convolution is given.

Rounding each weight to the nearest step is best where inputs are independent, and neighbouring pixels and channels are
not: errors of one sign add up. So rounding starts from the nearest step and single weights move to the other side as
long as that lowers the expected squared error of the output, ``d' C d`` with the inputs' covariance C (the choice of
AdaRound, Nagel et al., ICML 2020, who learn it by gradient; one flip at a time needs no torch and no rate). What the
mean input makes of the remaining error goes into the bias.

Measured on 8 images of ball-screw drives (lite0, stride 8 and 16), relative error of the two taps on 4 others, 7-bit
weights, depthwise ones 8: 0.17 and 0.18 with the nearest steps, 0.10 and 0.10 so, of which the weights have 0.03 and
the activations the rest; 2 s. Damping of 0.001 to 0.1 gave the same to two digits.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lineside.graph.rewrite import with_constants, with_outputs
from lineside.graph.run import Graph

if TYPE_CHECKING:
    import onnx

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

PLACES = 256
"""Drawn of every image and convolution."""
MOST_INPUTS = 1024
"""Of one output: a covariance of more takes too long, and such weights are left to be rounded to the nearest step."""
DAMPING = 0.1
"""Of the mean variance, added to every input: what a defect shows may vary in ways that these images do not."""


@dataclass(frozen=True)
class Convolution:
    """What is read of a node: its name, those of input, weight and bias (empty without one), strides and pads."""

    node: str
    source: str
    weight: str
    bias: str
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    depthwise: bool


def rounded(model: "onnx.ModelProto", images: Floats, steps: Mapping[str, int], seed: int = 0) -> "onnx.ModelProto":
    """Return a model whose convolutions' weights lie on their grids.

    Parameters
    ----------
    model : onnx.ModelProto
        With one input.
    images : ndarray of float32 [m, 3, h, w]
        What the covariances are taken from.
    steps : mapping of weight name to int
        Steps from 0 to the largest weight of a channel, such as 127; convolutions that it does not name stay.
    seed : int
        Of the places that are drawn.
    """
    from onnx import numpy_helper

    held = {w.name: w for w in model.graph.initializer}
    found = [one for one in convolutions(model) if one.weight in steps and one.bias in held]
    weights = {one.weight: numpy_helper.to_array(held[one.weight]) for one in found}
    found = [one for one in found if one.depthwise or weights[one.weight][0].size <= MOST_INPUTS]
    seen = Graph(with_outputs(model, [one.source for one in found if one.source != model.graph.input[0].name]))
    sums = {one.weight: Moments() for one in found}
    for number, image in enumerate(images):
        values = {**seen({model.graph.input[0].name: image[None]}), model.graph.input[0].name: image[None]}
        rng = np.random.default_rng([seed, number])
        for one in found:
            drawn = _patches(values[one.source][0].astype(np.float32), one, weights[one.weight].shape, rng)
            sums[one.weight].add(drawn)
    changed: dict[str, npt.NDArray[np.generic]] = {}
    for one in found:
        weight, moments = weights[one.weight], sums[one.weight]
        flat = weight.reshape(len(weight), -1).astype(np.float64)
        onto = on_grid(flat, moments.covariance(), steps[one.weight])
        shift = ((flat - onto) * moments.mean()).sum(axis=1)
        changed[one.weight] = onto.reshape(weight.shape).astype(np.float32)
        changed[one.bias] = (numpy_helper.to_array(held[one.bias]) + shift).astype(np.float32)
    return with_constants(model, changed)


def on_grid(weights: Doubles, covariance: Doubles, steps: int) -> Doubles:
    """Round weights [n, d] to multiples of each row's largest over `steps`.

    Parameters
    ----------
    weights : ndarray of float64 [n, d]
    covariance : ndarray of float64 [1 or n, d, d]
        Of the inputs, one for all rows or one each.
    steps : int

    Returns
    -------
    ndarray of float64 [n, d]
        With ``d' C d`` of the error no larger than for the nearest steps; the largest weight stays.
    """
    size = np.abs(weights).max(axis=1, keepdims=True)
    scale = np.where(size > 0, size, 1.0) / steps
    exact = weights / scale
    whole, rows = np.rint(exact), np.arange(len(weights))
    of = np.zeros(len(weights), np.int64) if len(covariance) == 1 else rows
    slope = (
        np.einsum("ni,nij->nj", whole - exact, covariance) if len(covariance) > 1 else (whole - exact) @ covariance[0]
    )
    curve = np.diagonal(covariance, axis1=1, axis2=2)[of]
    for _ in range(2 * weights.shape[1]):
        step = -np.sign(slope)
        change = 2.0 * step * slope + curve
        moved = whole + step
        allowed = (np.abs(moved - exact) < 1.0) & (np.abs(moved) <= steps) & (np.abs(whole) < steps)
        change = np.where(allowed, change, 0.0)
        best = change.argmin(axis=1)
        better = np.flatnonzero(change[rows, best] < 0.0)
        if not len(better):
            break
        at = best[better]
        by = step[better, at]
        whole[better, at] += by
        slope[better] += by[:, None] * covariance[of[better], at]
    return np.asarray(whole * scale)


class Moments:
    """Mean and covariance of inputs, from sums."""

    def __init__(self) -> None:
        self._count, self._sum, self._squares = 0, np.zeros(()), np.zeros(())

    def add(self, drawn: Floats) -> None:
        """Add inputs [g, p, d] at p places, for one group of outputs or for each output."""
        self._count += drawn.shape[1]
        self._sum = self._sum + drawn.sum(axis=1, dtype=np.float64)
        self._squares = self._squares + (drawn.transpose(0, 2, 1) @ drawn).astype(np.float64)

    def mean(self) -> Doubles:
        """Return [g, d]."""
        return np.asarray(self._sum / self._count)

    def covariance(self) -> Doubles:
        """Return [g, d, d], damped."""
        mean = self.mean()
        plain = self._squares / self._count - mean[:, :, None] * mean[:, None, :]
        damped = DAMPING * np.trace(plain, axis1=1, axis2=2) / plain.shape[1] + 1e-12
        return np.asarray(plain + damped[:, None, None] * np.eye(plain.shape[1]))


def convolutions(model: "onnx.ModelProto") -> Iterator[Convolution]:
    """Read all convolutions of two dimensions that are dense or depthwise, and not dilated."""
    shapes = {w.name: tuple(w.dims) for w in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "Conv" or len(shapes.get(node.input[1], ())) != 4:
            continue
        settings: dict[str, Sequence[int] | int] = {a.name: a.ints or a.i for a in node.attribute}
        groups, shape = settings.get("group", 1), shapes[node.input[1]]
        depthwise = groups == shape[0] and shape[1] == 1
        if (groups == 1 or depthwise) and set(_ints(settings.get("dilations"), (1, 1))) == {1}:
            strides, pads = _ints(settings.get("strides"), (1, 1)), _ints(settings.get("pads"), (0, 0, 0, 0))
            source, weight, bias = (*node.input, "")[:3]
            yield Convolution(node.name, source, weight, bias, strides, pads, depthwise)


def _ints(value: Sequence[int] | int | None, default: tuple[int, ...]) -> tuple[int, ...]:
    return default if value is None or isinstance(value, int) else tuple(value)


def _patches(values: Floats, one: Convolution, shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """Return what a convolution is given at drawn places of an image [C, h, w]: [1 or C, p, inputs of an output]."""
    height, width = shape[2:]
    top, left, bottom, right = one.pads
    padded = np.pad(values, ((0, 0), (top, bottom), (left, right)))
    rows = (padded.shape[1] - height) // one.strides[0] + 1
    columns = (padded.shape[2] - width) // one.strides[1] + 1
    places = rng.choice(rows * columns, min(PLACES, rows * columns), replace=False)
    y, x = places // columns * one.strides[0], places % columns * one.strides[1]
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
    drawn = windows[:, y, x].reshape(len(values), len(places), -1)  # [C, p, k * k]
    return drawn if one.depthwise else drawn.transpose(1, 0, 2).reshape(1, len(places), -1)
