"""Fine-tuning behind the trunk: adapters on its taps are tuned to the classes, in a branch of the class head's own.

The trunk itself stays as it is, because the anomaly head stands on it: its scores, and the guarantee on them, must not
depend on which defects are known. So what is tuned lies behind the taps: on each a residual adapter (Rebuffi et al.,
2017), a 1x1 convolution into few channels, a rectifier and a 1x1 convolution back, added to the tap. It begins at zero,
that is, at the frozen trunk, and is trained by cross-entropy through the pooling; the discriminant follows on what is
then pooled. Training a copy of the trunk's last stage instead was rejected: some 35 times the multiplications, and that
in every fold.

Measured on printed circuit boards (DeepPCB, six kinds, crops 1.5 × the box at 128 px, strides 8/16, 7 turned copies, 20
examples a class, 674 crops of other boards judged, 4 drawings): accuracy 0.929, 0.926, 0.944 and 0.930, of the
discriminant on the frozen taps 0.914, 0.901, 0.929 and 0.920. The gain of 1.6 points is too small for cross-validation
on 120 examples to be sure of: ``auto`` chose it in one of the four. A tail took 2.7 s of one core, ``auto`` with it 11
to 21 s. Steps, batch and sizes were chosen on these same crops, which flatters it a little. Without the limit on
cells and with twice the batch: 0.936, in 6.5 s. Tried before, for 200 steps, in 3
drawings: 3x3 convolutions in place of the first 1x1 gain nothing (0.927 to 0.935); the layer that was trained with the
adapters is worse than the discriminant on their features (0.911 to 0.935); beginning from the discriminant's map
instead of from zero is worse than not tuning (0.884 to 0.914, one drawing).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineside.graph.onnx_export import export_module
from lineside.transfer.classes.pooling import CLASS_WEIGHT, LEAST, ClassPool, PoolShape, pool_reference
from lineside.transfer.head import tap_name

if TYPE_CHECKING:
    import onnx

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int64] | npt.NDArray[np.bool_]

CLASS_TUNED = "class_tuned"
"""Name of the embedding behind the adapters."""
LEAST_EXAMPLES = 20
"""Of each class, from which on tuning is tried."""
MOST_BYTES = 2**29
"""Of cached taps: with more, memory would be the price of a choice that is seldom made."""
HIDDEN = 32
"""Channels between the two convolutions of an adapter."""
STEPS, BATCH, RATE = 100, 32, 3e-3
DROPPED, SMOOTHING, DECAY = 0.3, 0.1, 0.01
"""Share of the embedding's dimensions dropped, label smoothing, weight decay. Choices: others were not measured."""
MOST_CELLS = 128
"""Of each tap and frame that are trained on, drawn among those that are looked at: the work of a large frame is that of
a small one."""
LEAST_SCALE = 0.3
"""Share of the mean deviation that is added to every dimension's, as in `lineside.transfer.classes.fit`."""
CHUNK = 128
"""Frames that are pooled at once."""


@dataclass(frozen=True, eq=False)
class Cells:
    """What the adapters are trained on: the frozen trunk's taps of n examples, and where to look.

    Attributes
    ----------
    shape : PoolShape
    taps : tuple of ndarray of float32 [m, C, h, w]
        Of all examples that there are; shared by every selection.
    weight : ndarray of float32 [m, 1, gh, gw]
    rows : ndarray of int64 [n]
        Which of the m these are.
    """

    shape: PoolShape
    taps: tuple[F32, ...]
    weight: F32
    rows: I64

    def take(self, rows: Rows) -> "Cells":
        """Return some of the n, without copying any feature."""
        return Cells(self.shape, self.taps, self.weight, self.rows[rows])

    def tensors(self, at: Rows) -> tuple[list[Tensor], Tensor]:
        """Return taps and weights of some of the n."""
        rows = self.rows[at]
        return [torch.from_numpy(tap[rows]) for tap in self.taps], torch.from_numpy(self.weight[rows])


def cells_of(shape: PoolShape, taps: Sequence[F32], weight: F32) -> Cells:
    """Return the cells of all m examples."""
    return Cells(shape, tuple(taps), weight, np.arange(len(weight)))


def may_tune(method: str, counts: Sequence[int], rows: int, shape: PoolShape) -> bool:
    """Say whether cells are worth keeping: whether tuning is asked for or possible with so many examples.

    Parameters
    ----------
    method : str
        The recipe's.
    counts : sequence of int
        Examples of each class, copies not counted.
    rows : int
        With copies.
    shape : PoolShape
    """
    cells = sum(c * h * w for c, (h, w) in zip(shape.channels, shape.grids_hw, strict=True))
    each = cells + shape.grid_hw[0] * shape.grid_hw[1]
    enough = min(counts, default=0) >= LEAST_EXAMPLES
    return method in ("auto", "finetune") and enough and 4 * each * rows <= MOST_BYTES


@dataclass(frozen=True)
class TailValues:
    """Trained adapters, one a tap of C channels, with h hidden ones; all float32."""

    shape: PoolShape
    """Of the pooling behind them."""
    down: tuple[F32, ...]
    """[h, C]"""
    bias: tuple[F32, ...]
    """[h]"""
    up: tuple[F32, ...]
    """[C, h]"""

    def feed(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return the arrays under the names of the graph's inputs, in the order in which the graph takes them."""
        fed: dict[str, npt.NDArray[np.generic]] = {}
        for number, (down, bias, up) in enumerate(zip(self.down, self.bias, self.up, strict=True)):
            fed |= {f"class_down{number}": down, f"class_down_bias{number}": bias, f"class_up{number}": up}
        return fed


class ClassTail(nn.Module):
    """Adapters and pooling; it holds no numbers of its own."""

    def __init__(self, shape: PoolShape) -> None:
        super().__init__()
        self.pool, self.count = ClassPool(shape), len(shape.channels)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Tune and pool.

        Parameters
        ----------
        *inputs : Tensor
            The taps [N, C, h, w], the weight map [N, 1, gh, gw], then for each tap down [h, C], bias [h], up [C, h].

        Returns
        -------
        Tensor of float32 [N, D]
        """
        taps, weight, values = inputs[: self.count], inputs[self.count], inputs[self.count + 1 :]
        tuned = [_tuned(tap, *values[3 * i : 3 * i + 3]) for i, tap in enumerate(taps)]
        pooled: Tensor = self.pool(*tuned, weight)
        return pooled


def _tuned(tap: Tensor, down: Tensor, bias: Tensor, up: Tensor) -> Tensor:
    flat = tap.flatten(2)  # [N, C, h * w]
    hidden = torch.relu(torch.matmul(down, flat) + bias[:, None])
    return (flat + torch.matmul(up, hidden)).reshape(tap.shape)


def fit_tail(cells: Cells, labels: I64, seed: int) -> TailValues:
    """Train the adapters on examples and their copies.

    Parameters
    ----------
    cells : Cells
        Of n examples.
    labels : ndarray of int64 [n]
    seed : int
        Of beginning, batches and dropped dimensions.
    """
    random = torch.Generator().manual_seed(seed)
    moments = [_moments(tap[cells.rows]) for tap in cells.taps]
    flat, windows = _looked_at(cells, moments, random)
    adapters = [_beginning(channels, random) for channels in cells.shape.channels]
    _train(adapters, flat, windows, torch.from_numpy(labels), random)
    return _in_units_of_taps([[t.detach() for t in adapter] for adapter in adapters], moments, cells.shape)


def _train(
    adapters: Sequence[Sequence[Tensor]],
    flat: Sequence[Tensor],
    windows: Sequence[Tensor],
    targets: Tensor,
    random: torch.Generator,
) -> None:
    """Follow the gradient, adapters and a linear layer behind the pooling together; the adapters change in place."""
    centre, scale = _spread(flat, windows, adapters)
    last = [torch.zeros(int(targets.max()) + 1, len(centre)), torch.zeros(int(targets.max()) + 1)]
    free = [tensor.requires_grad_() for tensor in (*(t for adapter in adapters for t in adapter), *last)]
    optimizer = torch.optim.AdamW(free, lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=RATE, total_steps=STEPS)
    for _ in range(STEPS):
        at = torch.randint(len(targets), (BATCH,), generator=random)
        z = (_pooled([t[at] for t in flat], [w[at] for w in windows], adapters) - centre) / scale
        kept = (torch.rand(z.shape, generator=random) >= DROPPED) / (1.0 - DROPPED)
        loss = F.cross_entropy(F.linear(z * kept, *last), targets[at], label_smoothing=SMOOTHING)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()


def tuned_embeddings(values: TailValues, cells: Cells) -> F32:
    """Return embeddings [n, D] as the graph gives them."""
    tail, fed = ClassTail(cells.shape), [torch.from_numpy(v) for v in _ordered(values)]
    parts = []
    with torch.inference_mode():
        for start in range(0, len(cells.rows), CHUNK):
            taps, weight = cells.tensors(np.arange(start, min(start + CHUNK, len(cells.rows))))
            parts.append(tail(*taps, weight, *fed).numpy())
    return np.concatenate(parts)


def tail_reference(values: TailValues, taps: Mapping[int, npt.NDArray[np.generic]], weight: F32) -> F64:
    """Tune and pool in plain NumPy and double precision: [N, D] of taps [N, C, h, w] and weights [N, 1, gh, gw]."""
    tuned: dict[int, npt.NDArray[np.generic]] = {}
    for number, (down, bias, up) in enumerate(zip(values.down, values.bias, values.up, strict=True)):
        tap = taps[number].astype(np.float64)
        hidden = np.maximum(np.einsum("dc,nchw->ndhw", down, tap) + bias[:, None, None], 0.0)
        tuned[number] = tap + np.einsum("cd,ndhw->nchw", up, hidden)
    return pool_reference(values.shape, tuned, weight)


def export_tail(values: TailValues) -> "onnx.ModelProto":
    """Export adapters and pooling: taps, ``class_weight`` and the values of these shapes -> ``class_tuned``."""
    shape, inputs = values.shape, dict[str, Tensor]()
    for number, (channels, grid) in enumerate(zip(shape.channels, shape.grids_hw, strict=True)):
        inputs[tap_name(number)] = torch.zeros(2, channels, *grid)
    inputs[CLASS_WEIGHT] = torch.ones(2, 1, *shape.grid_hw)
    dynamic = {name: {0: "N"} for name in inputs}
    inputs |= {name: torch.from_numpy(np.array(value, np.float32)) for name, value in values.feed().items()}
    return export_module(ClassTail(shape), inputs, (CLASS_TUNED,), dynamic, key=repr(shape))


def _ordered(values: TailValues) -> list[F32]:
    return [np.asarray(value, np.float32) for value in values.feed().values()]


def _moments(tap: F32) -> tuple[Tensor, Tensor]:
    """Return mean and deviation [C, 1, 1] of each channel."""
    deviation = torch.from_numpy(tap.std(axis=(0, 2, 3), dtype=np.float64).astype(np.float32))
    mean = torch.from_numpy(tap.mean(axis=(0, 2, 3), dtype=np.float64).astype(np.float32))
    deviation = deviation + 1e-3 * deviation.mean().clamp(min=LEAST)
    return mean[:, None, None], deviation[:, None, None]


def _beginning(channels: int, random: torch.Generator) -> list[Tensor]:
    """Return down, bias and up of an adapter that changes nothing."""
    down = torch.randn((HIDDEN, channels), generator=random) / channels**0.5
    return [down, torch.zeros(HIDDEN), torch.zeros(channels, HIDDEN)]


def _looked_at(
    cells: Cells, moments: Sequence[tuple[Tensor, Tensor]], random: torch.Generator
) -> tuple[list[Tensor], list[Tensor]]:
    """Return standardised taps [n, C, p] and the pooling's windows [n, p, 2] at the p cells that are trained on."""
    taps, weight = cells.tensors(np.arange(len(cells.rows)))
    pool, flat, windows = ClassPool(cells.shape), [], []
    both = (weight, pool.tight(weight))
    for number, (tap, (mean, deviation)) in enumerate(zip(taps, moments, strict=True)):
        window = torch.cat([pool.on_tap(number, one).flatten(2) for one in both], dim=1)  # [n, 2, h * w]
        key = torch.rand((len(window), window.shape[2]), generator=random) + (window[:, 0] > 0)
        at = key.topk(min(MOST_CELLS, window.shape[2]), dim=1).indices[:, None]  # [n, 1, p], those with weight first
        window = window.gather(2, at.expand(-1, 2, -1))
        windows.append((window / window.sum(dim=2, keepdim=True).clamp(min=LEAST)).transpose(1, 2))
        seen = tap.flatten(2).gather(2, at.expand(-1, tap.shape[1], -1))
        flat.append((seen - mean.flatten(1)) / deviation.flatten(1))
    return flat, windows


def _spread(
    flat: Sequence[Tensor], windows: Sequence[Tensor], adapters: Sequence[Sequence[Tensor]]
) -> tuple[Tensor, Tensor]:
    """Return mean and deviation [D] of what is pooled before any training."""
    with torch.no_grad():
        starts = range(0, len(flat[0]), CHUNK)
        pooled = torch.cat(
            [_pooled([t[i : i + CHUNK] for t in flat], [w[i : i + CHUNK] for w in windows], adapters) for i in starts]
        )
    deviation = pooled.std(dim=0)
    return pooled.mean(dim=0), deviation + LEAST_SCALE * deviation.mean().clamp(min=LEAST)


def _pooled(flat: Sequence[Tensor], windows: Sequence[Tensor], adapters: Sequence[Sequence[Tensor]]) -> Tensor:
    """Tune and pool standardised taps [N, C, h * w]; the pooling's statistics from sums, which is faster, [N, D]."""
    parts = []
    for tap, window, (down, bias, up) in zip(flat, windows, adapters, strict=True):
        tuned = tap + torch.matmul(up, torch.relu(torch.matmul(down, tap) + bias[:, None]))
        mean = torch.bmm(tuned, window)  # [N, C, 2]
        variance = (torch.bmm(tuned.square(), window) - mean.square()).clamp(min=0.0)
        parts += [mean.flatten(1), (variance + LEAST).sqrt().flatten(1)]
    return torch.cat(parts, dim=1)


def _in_units_of_taps(
    adapters: Sequence[Sequence[Tensor]], moments: Sequence[tuple[Tensor, Tensor]], shape: PoolShape
) -> TailValues:
    """Fold the taps' standardisation into the adapters, so that they stand behind the taps as they are."""
    downs, biases, ups = [], [], []
    for (down, bias, up), (mean, deviation) in zip(adapters, moments, strict=True):
        folded = down / deviation.flatten()
        downs.append(folded.numpy())
        biases.append((bias - folded @ mean.flatten()).numpy())
        ups.append((up * deviation.flatten()[:, None]).numpy())
    return TailValues(shape, tuple(downs), tuple(biases), tuple(ups))
