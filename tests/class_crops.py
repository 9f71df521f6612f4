"""Crops around the defects of DeepPCB (Tang et al., 2019; MIT), which lies elsewhere, and how well they are sorted.

``python tests/class_crops.py`` prints the accuracy with 5 and 20 examples of each of the six kinds, over 10 drawings of
them, and with ``finetune`` by name over 4 drawings of 20. The box is in the middle of a square crop half as wide again
as its longer side, brought to 128 px. Crops to learn from are of one half of the boards' images, crops to be judged by
are all of the other half.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from deeppcb import places_of
from lineside.graph.run import Graph
from lineside.graph.trunk import tap_grids
from lineside.transfer.backbone import Backbone, load_backbone
from lineside.transfer.classes.examples import Examples
from lineside.transfer.classes.fit import ClassFit, fit_classes
from lineside.transfer.classes.head import classify_reference
from lineside.transfer.classes.pooling import CLASS_EMBEDDING, CLASS_WEIGHT, PoolShape, export_pool
from lineside.transfer.classes.tail import Cells, cells_of, tuned_embeddings
from lineside.transfer.classes.turns import turned_copies

Pixels = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]

MARGIN, SIDE_PX = 1.5, 128
KINDS = ("copper", "mousebite", "open", "pin-hole", "short", "spur")


@dataclass(frozen=True)
class Crop:
    """A defect: where it is, and its kind."""

    image: Path
    box_xyxy: tuple[int, int, int, int]
    kind: int

    def read(self) -> Pixels:
        """Return the crop [128, 128, 3]; beyond the image its border is mirrored."""
        x1, y1, x2, y2 = self.box_xyxy
        side = round(MARGIN * max(x2 - x1, y2 - y1))
        grey = cv2.imread(str(self.image), cv2.IMREAD_GRAYSCALE)
        assert grey is not None, self.image
        wide = cv2.copyMakeBorder(grey, side, side, side, side, cv2.BORDER_REFLECT_101)
        left, top = round((x1 + x2 - side) / 2) + side, round((y1 + y2 - side) / 2) + side
        crop = wide[top : top + side, left : left + side]
        return np.repeat(cv2.resize(crop, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_LINEAR)[:, :, None], 3, axis=2)


class Eye:
    """Embeddings by the embedded backbone and the product's pooling, weights alike all over."""

    def __init__(self) -> None:
        backbone: Backbone = load_backbone("lite0", (8, 16), ("apache-2.0",), Path())
        exported = backbone.exported(("tap0", "tap1"), (SIDE_PX, SIDE_PX))
        grids = tap_grids(exported)
        shape = PoolShape(backbone.channels, grids, grids[0])
        self._trunk = Graph(exported)
        self._pool = Graph(export_pool(shape))
        self.shape, self._weight = shape, np.ones((1, 1, *grids[0]), np.float32)
        self._mean, self._std = np.array(backbone.mean, np.float32), np.array(backbone.std, np.float32)

    def __call__(self, crop: Pixels) -> F32:
        """Return the embedding [D] of a crop [128, 128, 3]."""
        pooled = self._pool({**self._taps(crop), CLASS_WEIGHT: self._weight})[CLASS_EMBEDDING]
        return np.asarray(pooled[0], np.float32)

    def _taps(self, crop: Pixels) -> dict[str, F32]:
        working = ((crop.astype(np.float32) / 255.0 - self._mean) / self._std).transpose(2, 0, 1)[None]
        taps = self._trunk({"working": np.ascontiguousarray(working)})
        return {name: np.asarray(tap, np.float32) for name, tap in taps.items()}

    def cells(self, crops: Sequence[Pixels]) -> Cells:
        """Return what the trunk's tail may be tuned on, of some crops."""
        seen = [self._taps(crop) for crop in crops]
        taps = [np.concatenate([one[f"tap{i}"] for one in seen]) for i in range(len(self.shape.channels))]
        return cells_of(self.shape, taps, np.repeat(self._weight, len(crops), axis=0))

    def views(self, crop: Pixels) -> F32:
        """Return the embeddings [8, D] of a crop and its turned copies."""
        return np.stack([self(view) for view in (crop, *turned_copies(crop))])


def crops_of(data: Path) -> tuple[list[Crop], list[Crop]]:
    """Return crops to learn from and crops to be judged by, of disjoint images."""
    places = (place for group in places_of(data).values() for place in group)
    found = [Crop(p.group / "test" / p.name, box.box_xyxy, KINDS.index(box.kind)) for p in places for box in p.boxes]
    images = sorted({crop.image for crop in found})
    learnt = set(np.random.default_rng(0).permutation(np.array(images, dtype=object))[: len(images) // 2].tolist())
    return [crop for crop in found if crop.image in learnt], [crop for crop in found if crop.image not in learnt]


def drawn(crops: Sequence[Crop], per_kind: int, seed: int) -> list[int]:
    """Draw as many crops of each kind; return their positions."""
    rng, kinds = np.random.default_rng(seed), np.array([crop.kind for crop in crops])
    return [int(i) for kind in range(len(KINDS)) for i in rng.choice(np.flatnonzero(kinds == kind), per_kind, False)]


def fitted(crops: Sequence[Crop], views: F32, seed: int, method: str = "auto", cells: Cells | None = None) -> ClassFit:
    """Fit the product's class head on crops and their views [n, 8, D], whose cells [n * 8] it may be given."""
    count, copies, size = views.shape
    images = sorted({crop.image for crop in crops})
    is_copy = np.tile(np.arange(copies) > 0, count)
    examples = Examples(
        views.reshape(-1, size),
        np.repeat([crop.kind for crop in crops], copies),
        np.repeat([images.index(crop.image) for crop in crops], copies),
        ~is_copy,
        is_copy,
        cells,
    )
    return fit_classes(examples, np.zeros((0, size), np.float32), method, 0.05, seed)


def main() -> None:
    """Print the accuracy with 5 and 20 examples a kind."""
    from scipy.stats import t

    learn, judge = crops_of(Path(os.environ["LINESIDE_DATA"]))
    eye, seeds = Eye(), 10
    used = {per: [drawn(learn, per, seed) for seed in range(seeds)] for per in (5, 20)}
    needed = {i for draws in used.values() for draw in draws for i in draw}
    views = {i: eye.views(learn[i].read()) for i in sorted(needed)}
    seen, truth = np.stack([eye(crop.read()) for crop in judge]), np.array([crop.kind for crop in judge])
    for per, draws in used.items():
        shares, methods, claims, unknown = [], [], [], []
        for seed, draw in enumerate(draws):
            fit = fitted([learn[i] for i in draw], np.stack([views[i] for i in draw]), seed)
            said = classify_reference(fit.values, seen)
            shares.append(float((said.prob.argmax(axis=1) == truth).mean()))
            unknown.append(float((said.index < 0).mean()))
            methods.append(fit.words[0].split(";")[0])
            claims.append(fit.accuracy.value if fit.accuracy else float("nan"))
        half = float(t.ppf(0.975, seeds - 1)) * float(np.std(shares, ddof=1)) / seeds**0.5
        print(
            f"{per} a kind, {len(truth)} judged, {seeds} drawings: accuracy {np.mean(shares):.3f} ± {half:.3f} (95 %), "
            f"from {min(shares):.3f} to {max(shares):.3f}; claimed {np.mean(claims):.3f}; "
            f"called unknown {np.mean(unknown):.3f}; {sorted(set(methods))}"
        )
    _print_tuned(learn, used[20][:4], views, judge, eye)


def _print_tuned(
    learn: Sequence[Crop], draws: Sequence[list[int]], views: dict[int, F32], judge: Sequence[Crop], eye: Eye
) -> None:
    """Print the accuracy with a tuned tail, drawing by drawing."""
    truth, shown = np.array([crop.kind for crop in judge]), eye.cells([crop.read() for crop in judge])
    for seed, draw in enumerate(draws):
        crops = [learn[i] for i in draw]
        cells = eye.cells(
            [view for pixels in (crop.read() for crop in crops) for view in (pixels, *turned_copies(pixels))]
        )
        fit = fitted(crops, np.stack([views[i] for i in draw]), seed, "finetune", cells)
        assert fit.tail is not None
        called = classify_reference(fit.values, tuned_embeddings(fit.tail, shown)).prob.argmax(axis=1)
        claimed = fit.accuracy.value if fit.accuracy else float("nan")
        print(f"finetune, 20 a kind, drawing {seed}: accuracy {(called == truth).mean():.3f}, claimed {claimed:.3f}")


if __name__ == "__main__":
    main()
