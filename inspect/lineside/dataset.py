"""The images of a recipe: which are good, which stand on which side of the split, which mask and part belong to each.

Torch-free, and no pixel is decoded here. The split is by physical part, not by image, because two views of one part on
both sides make every number that follows too good. In the plain layout the parts are ordered by a hash of the seed and
their name rather than by a shuffled list, so that the order of two parts never depends on the others.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from lineside.errors import ImageError
from lineside.image_files import IMAGE_SUFFIXES, is_own_output, is_text, shown, walk_images
from lineside.marked_boxes import MarkedBox, boxes_by_image
from lineside.part_pattern import fits_none, grouping
from lineside.recipe import LoadedRecipe

GOOD = "good"
GOOD_NAMES = (GOOD, "ok", "OK", "normal")
MASK_FOLDER = "ground_truth"
LAYOUTS = (
    "Expected train/good, test/good, test/<class> and ground_truth/<class>/<name>_mask.png (MVTec AD), or good/ and a "
    f"folder per defect class; {', '.join(GOOD_NAMES)} all mean good."
)
CLASS_FOLDERS = "expected a folder of images per class, below train/ and test/ or by themselves."
Split = Literal["train", "test"]
_NAMED = 12


@dataclass(frozen=True)
class Sample:
    """One image and what is known of it."""

    path: Path
    name: str
    """POSIX path relative to the folder of images."""
    split: Split
    label: str
    """``good``, or the name of the defect class's folder."""
    mask: Path | None
    group: str
    """The physical part: images of one part stand on one side of every split."""
    boxes: tuple[MarkedBox, ...] = ()
    """Around its defects; they count as a mask where there is none."""
    copy_of: str | None = None
    """Of a test image: the training image of which it is a copy, so that it proves nothing."""

    @property
    def is_good(self) -> bool:
        """Whether the folder says good."""
        return self.label == GOOD

    @property
    def is_marked(self) -> bool:
        """Whether somebody marked where its defects are."""
        return self.mask is not None or bool(self.boxes)


@dataclass(frozen=True)
class Dataset:
    """The images of a recipe, sorted by name."""

    root: Path
    layout: Literal["mvtec", "plain"]
    samples: tuple[Sample, ...]
    left_out: tuple[str, ...] = ()
    """Folders among the images that lineside itself wrote (bundles, overlays), relative to `root`."""

    def select(self, split: Split, good: bool | None = None) -> tuple[Sample, ...]:
        """Return one side of the split: all of it, the good images, or the defects; no test image that is a copy."""
        return tuple(s for s in self._counting if s.split == split and good in (None, s.is_good))

    @property
    def _counting(self) -> tuple[Sample, ...]:
        return tuple(s for s in self.samples if s.copy_of is None)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Defect classes of both sides, sorted."""
        return tuple(sorted({s.label for s in self.samples if not s.is_good}))

    @property
    def training_classes(self) -> tuple[str, ...]:
        """Defect classes that there are training images of, sorted."""
        return tuple(sorted({s.label for s in self.select("train", good=False)}))

    def counts(self) -> dict[str, int]:
        """Return the images per side and label, such as ``{"train/good": 50}``; train first, good first; no copies."""
        counted = Counter((s.split, s.label) for s in self._counting)
        ordered = sorted(counted, key=lambda pair: (pair[0] != "train", pair[1] != "good", pair[1]))
        return {f"{split}/{label}": counted[split, label] for split, label in ordered}


def load_dataset(loaded: LoadedRecipe) -> Dataset:
    """List a recipe's images.

    Parameters
    ----------
    loaded : LoadedRecipe
        Its `capture.group` names the physical part, its `seed` draws the split of a plain layout. With `transfer.task`
        classify a folder of good images may be missing: then every folder is a kind of part.

    Raises
    ------
    ImageError
        When the folder has neither layout, no good images to train on (to sort parts, images of two classes), file
        names that are no text, or a file of boxes that is wrong.
    RecipeError
        When `capture.group` fits no file name, or puts images of one part on both sides of the split that the folders
        make.
    """
    root = loaded.images_dir
    sorts = loaded.recipe.transfer.task == "classify"
    layout = find_layout(root, needs_good=not sorts)
    read = _mvtec if layout == "mvtec" else _plain
    tree = _Tree(root, [], sorts)
    listed = read(tree, grouping(loaded.recipe.capture.group), loaded.recipe.seed)
    samples = _with_boxes(root, sorted(listed, key=lambda s: s.name))
    dataset = Dataset(root, layout, samples, tuple(sorted(shown(path) for path in tree.left_out)))
    refuse_odd_names(root, (sample.name for sample in samples))
    if sorts and len({s.label for s in dataset.select("train")}) < 2:
        raise ImageError(f"sorting needs training images of at least two classes; {CLASS_FOLDERS}", path=root)
    if not sorts and not dataset.select("train", good=True):
        found = (
            ", ".join(f"{count} in {name}" for name, count in dataset.counts().items())
            or f"no images at all ({', '.join(IMAGE_SUFFIXES)} are read)"
        )
        raise ImageError(f"no good images to train on; found {found}. {LAYOUTS}", path=root)
    group = loaded.recipe.capture.group
    if group and (name := fits_none(group, (sample.path for sample in samples))):
        raise loaded.error(
            f"{group!r} fits no file name, such as {name}: every image would count as a part of its own. Mend the "
            "pattern, or take it out.",
            "capture.group",
        )
    _refuse_crossing(loaded, samples)
    return dataset


def find_layout(root: Path, *, needs_good: bool = True) -> Literal["mvtec", "plain"]:
    """Tell which layout a folder has.

    Parameters
    ----------
    root : Path
    needs_good : bool
        False: any two folders are a plain layout, good or not.

    Raises
    ------
    ImageError
        When it has neither; the message says what was found.
    """
    folders = [name for name in _folders(root) if not is_own_output(root / name)]
    if "train" in folders:
        return "mvtec"
    classes = [name for name in folders if name != MASK_FOLDER]
    if any(name in GOOD_NAMES for name in classes) or (not needs_good and len(classes) >= 2):
        return "plain"
    named = ", ".join(map(shown, folders[:8])) + (" …" if len(folders) > 8 else "")
    seen = f"the folders {named}" if folders else "no folders"
    loose = sum(1 for path in walk_images(root) if path.parent == root) if not folders else 0
    raise ImageError(f"no known layout: found {seen}{f' and {loose} images' if loose else ''}. {LAYOUTS}", path=root)


def _folders(root: Path) -> list[str]:
    if not root.is_dir():
        return []
    return sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def label_of(folder: str) -> str:
    """Return the label that a folder's name stands for."""
    return GOOD if folder in GOOD_NAMES else folder


def refuse_odd_names(root: Path, names: Iterable[str]) -> None:
    """Refuse file names that cannot be written into the lock file, the report or a hash.

    Raises
    ------
    ImageError
        With the names, escaped.
    """
    odd = sorted(shown(name) for name in names if not is_text(name))
    if odd:
        more = f" and {len(odd) - _NAMED} more" if len(odd) > _NAMED else ""
        raise ImageError(
            f"expected file and folder names in UTF-8, found {', '.join(odd[:_NAMED])}{more}. Rename them.", path=root
        )


@dataclass(frozen=True)
class _Tree:
    """The folders that are walked; what lineside itself wrote among them is noted, not walked."""

    root: Path
    left_out: list[str]
    sorts: bool
    """Whether parts are sorted, so that none need be good."""

    def walk(self, top: Path) -> Iterator[tuple[str, Path]]:
        """Yield the images of the class folders below `top`, each with its folder's name."""
        for folder in _folders(top):
            if top / folder != self.root / MASK_FOLDER and not self._skip(top / folder):
                for path in walk_images(top / folder, self._skip):
                    yield folder, path

    def _skip(self, folder: Path) -> bool:
        own = is_own_output(folder)
        if own:
            self.left_out.append(folder.relative_to(self.root).as_posix())
        return own


def _mvtec(tree: _Tree, group_of: Callable[[Path, str], str], seed: int) -> Iterator[Sample]:
    """Take the split from the folders. A mask that fits an image on both sides belongs to the one under test/."""
    root = tree.root
    taken: set[Path] = set()
    sides: tuple[Split, Split] = ("test", "train")
    for split in sides:
        for folder, path in tree.walk(root / split):
            mask = find_mask(root, folder, path.relative_to(root / split / folder))
            mask = None if mask in taken else mask
            taken.update({mask} if mask and split == "test" else ())
            name = path.relative_to(root).as_posix()
            yield Sample(path, name, split, label_of(folder), mask, group_of(path, name))


def _plain(tree: _Tree, group_of: Callable[[Path, str], str], seed: int) -> Iterator[Sample]:
    """Draw the split: about three quarters of the good parts to train, and half of those of each defect class.

    Where parts are sorted and no folder is good, every class is a kind of good part.
    """
    found: list[tuple[Path, str, str, Path | None, str]] = []
    for folder, path in tree.walk(tree.root):
        name = path.relative_to(tree.root).as_posix()
        mask = find_mask(tree.root, folder, path.relative_to(tree.root / folder))
        found.append((path, name, label_of(folder), mask, group_of(path, name)))
    train = _training_groups([(label, group) for _, _, label, _, group in found], seed, sorts=tree.sorts)
    for path, name, label, mask, group in found:
        yield Sample(path, name, "train" if group in train else "test", label, mask, group)


def _training_groups(labelled: Iterable[tuple[str, str]], seed: int, *, sorts: bool) -> set[str]:
    """Draw the parts to train on, good ones first; a part seen under several labels is drawn once."""
    parts: dict[str, set[str]] = {}
    for label, group in labelled:
        parts.setdefault(label, set()).add(group)
    kept = parts if sorts and GOOD not in parts else (GOOD,)
    train: set[str] = set()
    drawn: set[str] = set()
    for label in sorted(parts, key=lambda name: (name != "good", name)):
        n = len(parts[label])
        wanted = max(1, n - max(1, int(n / 4 + 0.5))) if label in kept else n // 2
        free = sorted(parts[label] - drawn, key=lambda group: _drawing_order(seed, group))
        train.update(free[: max(0, wanted - len(parts[label] & train))])
        drawn |= parts[label]
    return train


def _drawing_order(seed: int, group: str) -> bytes:
    return hashlib.sha256(f"{seed}:{group}".encode(errors="surrogatepass")).digest()  # odd names are refused later


def find_mask(root: Path, folder: str, relative: Path) -> Path | None:
    """Find an image's mask below ``ground_truth``; images of good parts have none.

    Parameters
    ----------
    root : Path
        Folder in which ``ground_truth`` lies.
    folder : str
        Name of the class's folder.
    relative : Path
        The image, seen from there.
    """
    if label_of(folder) == "good":
        return None
    base = root / MASK_FOLDER / folder / relative.parent
    candidates = (base / f"{relative.stem}_mask.png", base / f"{relative.stem}.png")
    return next((path for path in candidates if path.is_file()), None)


def _with_boxes(root: Path, samples: Iterable[Sample]) -> tuple[Sample, ...]:
    """Give each image its boxes; one on a good image is a mistake."""
    samples = tuple(samples)
    boxes = boxes_by_image(root, (sample.path for sample in samples))
    for sample in samples:
        if sample.is_good and sample.path in boxes:
            raise ImageError("stands among the good images and has a box around a defect.", path=sample.path)
    return tuple(replace(s, boxes=boxes[s.path]) if s.path in boxes else s for s in samples)


def _refuse_crossing(loaded: LoadedRecipe, samples: Iterable[Sample]) -> None:
    first: dict[str, Sample] = {}
    for sample in samples:
        other = first.setdefault(sample.group, sample)
        if other.split != sample.split:
            raise loaded.error(
                f"the part {sample.group!r} stands on both sides of the split: {other.name} and {sample.name}. "
                "Move one of them, or change the pattern so that different parts get different names.",
                "capture.group",
            )


def joined(loaded: LoadedRecipe, dataset: Dataset, sets: Iterable[Sequence[str]]) -> Dataset:
    """Join what turned out to show one part: every split from now on keeps it together.

    Parameters
    ----------
    loaded : LoadedRecipe
        Its seed draws the split of a plain layout again, by the new parts.
    dataset : Dataset
    sets : iterable of sequences of str
        Names of images. Parts that share a set, or sets that share a part, become one, called by the first name of
        all. Where folders make the split, images on its two sides are not joined: that one is a copy is another's to
        say (`Sample.copy_of`).
    """
    fixed = dataset.layout == "mvtec"
    key: dict[str, tuple[str, str]] = {s.name: (s.split if fixed else "", s.group) for s in dataset.samples}
    part = {own: own for own in key.values()}

    def first(own: tuple[str, str]) -> tuple[str, str]:
        while part[own] != own:
            own = part[own]
        return own

    for names in sets:
        by_side: dict[str, set[tuple[str, str]]] = {}
        for name in names:
            by_side.setdefault(key[name][0], set()).add(first(key[name]))
        for ends in by_side.values():
            part.update(dict.fromkeys(ends, min(ends)))
    grouped = tuple(replace(s, group=first(key[s.name])[1]) for s in dataset.samples)
    if not fixed:
        sorts = loaded.recipe.transfer.task == "classify"
        train = _training_groups(((s.label, s.group) for s in grouped), loaded.recipe.seed, sorts=sorts)
        grouped = tuple(replace(s, split="train" if s.group in train else "test") for s in grouped)
    return replace(dataset, samples=grouped)
