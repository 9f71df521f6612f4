"""Recipe folders from DeepPCB (Tang et al., 2019; MIT), which lies elsewhere: ``python tests/deeppcb.py OUT``.

pcb_other, pcb_same: tiles of the test images; defective where a tile overlaps a box, good where it overlaps none. The
good tiles to learn from are of the templates: of other places of the boards, or of the very same places.
pcb_kinds: crops around the boxes, a folder for each of the six kinds; training and test crops are of different images.
"""

import argparse
import csv
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
GROUPS = ("12300", "44000")
SIDE_PX = 640
"""Of every image of DeepPCB."""


@dataclass(frozen=True)
class Box:
    """A marked defect."""

    box_xyxy: tuple[int, int, int, int]
    kind: str

    def share_in(self, x: int, y: int, side: int) -> float:
        """Share of the box's area that lies in a tile."""
        x1, y1, x2, y2 = self.box_xyxy
        width, height = min(x2, x + side) - max(x1, x), min(y2, y + side) - max(y1, y)
        return max(0, width) * max(0, height) / ((x2 - x1) * (y2 - y1))


@dataclass(frozen=True)
class Place:
    """A place of a board: its template, its test image and the boxes in that."""

    group: Path
    name: str
    boxes: tuple[Box, ...]

    @property
    def stem(self) -> str:
        """File name without suffix, the same for template and test image."""
        return Path(self.name).stem

    def read(self, side: str) -> Pixels:
        """Return ``template`` or ``test``, uint8 [640, 640]."""
        image = cv2.imread(str(self.group / side / self.name), cv2.IMREAD_GRAYSCALE)
        assert image is not None, self.group / side / self.name
        return image.astype(np.uint8)


def places_of(data: Path) -> dict[str, list[Place]]:
    """Return the places of both groups, by name."""
    found: dict[str, list[Place]] = {}
    for group in GROUPS:
        folder, boxes = data / "deeppcb" / group, defaultdict[str, list[Box]](list)
        with (folder / "boxes.csv").open(newline="") as file:
            for line in csv.DictReader(file):
                x1, y1, x2, y2 = (int(line[key]) for key in ("x1", "y1", "x2", "y2"))
                boxes[line["image"]].append(Box((x1, y1, x2, y2), line["defect"]))
        found[group] = [Place(folder, name, tuple(boxes[name])) for name in sorted(boxes)]
    return found


def write_tiles(
    data: Path, out: Path, *, same: bool, places: int = 8, tile: int = 128, least: float = 0.0
) -> Mapping[str, int]:
    """Write a recipe folder of tiles; return how many images each folder got.

    Parameters
    ----------
    data, out : Path
        ``$LINESIDE_DATA``; the recipe's folder, made anew.
    same : bool
        Learn from the templates of the tested places themselves, else from as many others.
    places : int
        Tested places, half of them from each group, evenly spaced.
    tile : int
        Side in px; a divisor of 640.
    least : float
        A tile that holds less than this share of every box it overlaps counts neither as good nor as defective: boxes
        are drawn wider than the defect, and at 0.25 the tiles left out are 1 in 6 of those that overlap one.
    """
    tested, others = _spread(places_of(data), places)
    counts: dict[str, int] = defaultdict(int)

    def write(folder: str, name: str, image: Pixels) -> None:
        _write(out / "images" / folder / name, image)
        counts[folder] += 1

    for place in tested if same else others:
        image = place.read("template")
        for x, y in _corners(tile):
            write("train/good", f"{place.stem}_{y:03d}_{x:03d}.png", image[y : y + tile, x : x + tile])
    for place in tested:
        image = place.read("test")
        for x, y in _corners(tile):
            name, shares = f"{place.stem}_{y:03d}_{x:03d}", [box.share_in(x, y, tile) for box in place.boxes]
            if not any(shares):
                write("test/good", f"{name}.png", image[y : y + tile, x : x + tile])
            elif max(shares) >= least:
                write("test/defect", f"{name}.png", image[y : y + tile, x : x + tile])
                write("ground_truth/defect", f"{name}_mask.png", _mask(place.boxes)[y : y + tile, x : x + tile])
    # the template and the test image of one place are one place, so parts are not named: they would cross the split
    _recipe(out, "pcb_same" if same else "pcb_other", "")
    return counts


def write_kinds(data: Path, out: Path, *, side: int = 96, train: int = 40, test: int = 40) -> Mapping[str, int]:
    """Write a recipe folder of crops around boxes, for sorting; return how many images each folder got.

    Parameters
    ----------
    data, out : Path
        ``$LINESIDE_DATA``; the recipe's folder, made anew.
    side : int
        Of the square crop in px, the box in its middle; beyond the image its border is mirrored.
    train, test : int
        At most so many crops of each kind; those to train on are of every other image, the tests of the rest.
    """
    counts: dict[str, int] = defaultdict(int)
    for number, pair in enumerate(zip(*places_of(data).values(), strict=False)):  # by turns from both groups
        split, most = ("train", train) if number % 2 == 0 else ("test", test)
        for place in pair:
            image = place.read("test")
            for position, box in enumerate(place.boxes):
                folder = f"{split}/{box.kind}"
                if counts[folder] < most:
                    _write(out / "images" / folder / f"{place.stem}_{position:02d}.png", _crop(image, box, side))
                    counts[folder] += 1
    _recipe(out, "pcb_kinds", "capture: {group: '^[0-9]+'}\ntransfer: {task: classify}\n")
    return counts


def _spread(groups: Mapping[str, Sequence[Place]], places: int) -> tuple[list[Place], list[Place]]:
    """Choose tested places, and as many others half-way between them."""
    tested, others = list[Place](), list[Place]()
    for of_group in groups.values():
        step = 2 * len(of_group) // places
        assert step >= 2, f"at most {len(of_group)} places"
        tested += of_group[::step][: places // 2]
        others += of_group[step // 2 :: step][: places // 2]
    return tested, others


def _corners(tile: int) -> Iterator[tuple[int, int]]:
    assert SIDE_PX % tile == 0, f"{tile} does not divide {SIDE_PX}"
    return ((x, y) for y in range(0, SIDE_PX, tile) for x in range(0, SIDE_PX, tile))


def _mask(boxes: Sequence[Box]) -> Pixels:
    mask = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    for x1, y1, x2, y2 in (box.box_xyxy for box in boxes):
        mask[y1:y2, x1:x2] = 255
    return mask


def _crop(image: Pixels, box: Box, side: int) -> Pixels:
    x1, y1, x2, y2 = box.box_xyxy
    wide = cv2.copyMakeBorder(image, side, side, side, side, cv2.BORDER_REFLECT_101).astype(np.uint8)
    left, top = (x1 + x2 - side) // 2 + side, (y1 + y2 - side) // 2 + side
    return wide[top : top + side, left : left + side]


def _write(path: Path, image: Pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


def _recipe(out: Path, part: str, more: str) -> None:
    (out / "recipe.yaml").write_text(f"part: {part}\nimages: images\n{more}", encoding="utf-8")


def main() -> None:
    """Write the three recipe folders, and say how many images they hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--places", type=int, default=8)
    parser.add_argument("--tile", type=int, default=128)
    parser.add_argument("--least", type=float, default=0.0)
    parser.add_argument("--side", type=int, default=96)
    wanted = parser.parse_args()
    data = Path(os.environ["LINESIDE_DATA"])
    tiles = {"places": wanted.places, "tile": wanted.tile, "least": wanted.least}
    for name, counts in (
        ("pcb_other", write_tiles(data, wanted.out / "pcb_other", same=False, **tiles)),
        ("pcb_same", write_tiles(data, wanted.out / "pcb_same", same=True, **tiles)),
        ("pcb_kinds", write_kinds(data, wanted.out / "pcb_kinds", side=wanted.side)),
    ):
        print(f"{name}: {', '.join(f'{folder} {count}' for folder, count in sorted(counts.items()))}")


if __name__ == "__main__":
    main()
