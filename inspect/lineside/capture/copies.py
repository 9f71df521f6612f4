"""Which images of a recipe show one part although nobody said so, and the data set that keeps them on one side.

Exact copies have the same pixels. A near copy lies closer than camera noise explains (`lineside.capture.duplicates`),
and that alone would take good parts in a fixture for one: they are alike by nature, and where they differ by little
more than noise, single ones lie below any limit. So near copies must stand out: a set of them counts only where every
other picture is at least `GAP` times the limit away from all of it, and where it is small (`_most`); what does not
stand out is counted and said, never joined. Pictures with nothing in them (a blank tile of a board) are compared with
none: two of them are alike whatever they show.

Measured, smallest distance of two pictures in limits: 273 ball-screw drives 2.8, 175 caps 32, 141 weaves 26. Of 400
tiles of DeepPCB in each of two sets, whose masters are printed without noise, four pairs have the same pixels and one
near pair is of one place of one board; of 480 crops the one pair below the limit, of two boards, does not stand out.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from lineside.capture import duplicates
from lineside.capture.decode import read_image
from lineside.dataset import Dataset, Sample, joined, load_dataset
from lineside.recipe import LoadedRecipe
from lineside.session import processors

GAP = 2.0
"""How many limits away everything else must be from a set of near copies."""
SIGMAS = 24
"""Good training images whose noise is measured; the median of more is no other."""
_NAMED = 6
Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Look:
    """What is kept of one image to compare it with others."""

    thumb: Floats
    """Flat, [64 * 64]."""
    pixel_sha256: str
    pixels: int
    sigma: float | None = None
    """Camera noise in grey levels, where it was measured."""


@dataclass(frozen=True)
class CopyPair:
    """Two images of one part."""

    first: Sample
    second: Sample
    distance: float
    """RMS difference of the thumbnails at one mean level, in grey levels; 0 for the same pixels."""
    exact: bool
    """Whether their pixels are the same."""

    @property
    def across(self) -> bool:
        """Whether they stand on both sides of the split."""
        return self.first.split != self.second.split

    @property
    def same_label(self) -> bool:
        """Whether they stand under one label."""
        return self.first.label == self.second.label

    @property
    def words(self) -> str:
        """Both names, and how far apart they are."""
        between = "=" if self.exact else "~"
        apart = "the same pixels" if self.exact else f"{self.distance:.2f} grey levels apart"
        return f"{self.first.name} {between} {self.second.name} ({apart})"


@dataclass(frozen=True)
class Copies:
    """What was found among a recipe's images."""

    pairs: tuple[CopyPair, ...] = ()
    """For each image of a set but one, the image of the set that tells most of it (the same pixels, else its own label,
    else the nearest): in training for a test image, where there is one. Exact copies first, then the closest."""
    unsure: tuple[str, ...] = ()
    """Images closer than the limit to another one, without standing out; they are taken for parts of their own."""
    limit: float = 0.0
    """Grey levels below which two pictures are near."""
    looks: Mapping[str, Look] = field(default_factory=dict, repr=False, compare=False)
    """Of every image, by name."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What follows from it, a few sentences for each kind; none where nothing was found."""
        within = [p for p in self.pairs if not p.across]
        gone = [p for p in self.pairs if p.across and p.second.copy_of]
        other = [p for p in self.pairs if p.across and not p.second.copy_of]
        twice = [p for p in self.pairs if p.exact and not p.same_label]
        found = (
            (within, "Images of one part, which stand on one side of every split and count once: {}."),
            (
                gone,
                "Test images that are copies of training images prove nothing and do not count in the evaluation: {}.",
            ),
            (
                other,
                "A test image looks like a training image under another label, as one part before and after damage "
                "does; it counts: {}.",
            ),
            (twice, "The same picture stands under two labels, and one of them is wrong: {}."),
        )
        said = [text.format(_listed([pair.words for pair in pairs])) for pairs, text in found if pairs]
        return (*said, *([unsure_words(self.unsure, self.limit)] if self.unsure else ()))


def unsure_words(names: Sequence[str], limit: float, remedy: str = "say so by capture.group") -> str:
    """Say which images may be copies and are taken for parts of their own; see `Copies.unsure` and `Copies.limit`."""
    return (
        f"{len(names)} images lie closer than {limit:.2f} grey levels to another one, as copies do, but others lie "
        "nearly as close: parts in a fixture are alike by nature, so they are taken for parts of their own "
        f"({_listed(names)}). If they are frames of one part, {remedy}."
    )


def load_grouped(loaded: LoadedRecipe) -> tuple[Dataset, Copies]:
    """List a recipe's images as `load_dataset`, with copies of one part on one side of every split.

    Every image is decoded once. In a plain layout the split is drawn after copies were joined; where folders make it,
    a test image that is a copy of a training image does not count (`Sample.copy_of`).

    Raises
    ------
    ImageError, RecipeError
        As `load_dataset`, and when an image cannot be read.
    """
    dataset, depth = load_dataset(loaded), loaded.recipe.capture.bit_depth
    measured = measured_for_noise(dataset)

    def look(sample: Sample) -> Look:
        return look_at(read_image(sample.path, bit_depth=depth), noise=sample.name in measured)

    with ThreadPoolExecutor(processors()) as pool:
        looks = dict(zip((s.name for s in dataset.samples), pool.map(look, dataset.samples), strict=True))
    dataset, copies = grouped(loaded, dataset, looks)
    return dataset, replace(copies, looks=looks)


def measured_for_noise(dataset: Dataset) -> frozenset[str]:
    """Return the names of the images whose noise is measured: good training images, evenly spread."""
    goods = dataset.select("train", good=True) or dataset.select("train")
    chosen = np.linspace(0, len(goods) - 1, min(SIGMAS, len(goods))).astype(int)
    return frozenset(goods[i].name for i in chosen)


def look_at(image: Pixels, *, noise: bool) -> Look:
    """Keep of a picture [H, W, C] what is compared."""
    grey = duplicates.to_grey(image)
    pixels = hashlib.sha256(f"{image.shape}".encode() + image.tobytes()).hexdigest()
    return Look(duplicates.thumbnail(grey), pixels, grey.size, duplicates.noise_sigma(grey) if noise else None)


def grouped(loaded: LoadedRecipe, dataset: Dataset, looks: Mapping[str, Look]) -> tuple[Dataset, Copies]:
    """Return the data set with copies of one part joined, and what was found.

    Parameters
    ----------
    loaded : LoadedRecipe
    dataset : Dataset
    looks : mapping of str to Look
        By name; images without one are compared with none.
    """
    names = [s.name for s in dataset.samples if s.name in looks]
    if len(names) < 2 or all(look.sigma is None for look in looks.values()):
        return dataset, Copies()
    limit = near_limit_of(looks.values())
    thumbs = duplicates.level(np.stack([looks[name].thumb for name in names]))
    hashes = [looks[name].pixel_sha256 for name in names]
    found = _Found(thumbs, hashes, limit)
    sets = [[names[i] for i in rows] for rows in found.sets]
    dataset = joined(loaded, dataset, sets) if sets else dataset
    by_name = {s.name: s for s in dataset.samples}
    pairs = [pair for rows in found.sets for pair in found.pairs(rows, [by_name[names[i]] for i in rows])]
    copies = {p.second.name: p.first.name for p in pairs if p.across and (p.exact or p.same_label)}
    marked = {name: replace(s, copy_of=copies.get(name)) for name, s in by_name.items()}
    pairs = [replace(p, first=marked[p.first.name], second=marked[p.second.name]) for p in pairs]
    pairs.sort(key=lambda p: (not p.exact, p.distance, p.first.name, p.second.name))
    unsure = tuple(names[i] for i in found.unsure)
    return replace(dataset, samples=tuple(marked.values())), Copies(tuple(pairs), unsure, limit)


def near_limit_of(looks: Collection[Look]) -> float:
    """Return the difference in grey levels below which two of these are near; one at least has its noise measured."""
    sigma = np.median([look.sigma for look in looks if look.sigma is not None])
    return duplicates.near_limit(float(sigma), int(np.median([look.pixels for look in looks])))


@dataclass(frozen=True)
class SameParts:
    """Which of some images show one part, by their number."""

    sets: tuple[tuple[int, ...], ...] = ()
    unsure: tuple[int, ...] = ()
    """As `Copies.unsure`."""
    limit: float = 0.0
    """Grey levels below which two pictures are near."""

    def names(self, parts: Sequence[str]) -> tuple[str, ...]:
        """Return the images' parts, those that share a picture joined under the first of their names."""
        joined = list(parts)
        for rows in self.sets:
            names = {joined[i] for i in rows}
            joined = [min(names) if name in names else name for name in joined]
        return tuple(joined)


def same_parts(looks: Sequence[Look]) -> SameParts:
    """Find which of some images, whatever recipe they are of, show one part."""
    if len(looks) < 2 or all(look.sigma is None for look in looks):
        return SameParts()
    limit = near_limit_of(looks)
    thumbs = duplicates.level(np.stack([look.thumb for look in looks]))
    found = _Found(thumbs, [look.pixel_sha256 for look in looks], limit)
    return SameParts(tuple(map(tuple, found.sets)), tuple(found.unsure), limit)


class _Found:
    """Sets of rows that show one part, among thumbnails at one mean level."""

    def __init__(self, thumbs: Floats, hashes: Sequence[str], limit: float) -> None:
        self._thumbs, self._hashes = thumbs, np.array(hashes)
        shown = thumbs.std(axis=1) > limit  # else there is nothing to compare
        one, other, apart = duplicates.closer(thumbs, GAP * limit)
        counts = shown[one] & shown[other]
        one, other, apart = one[counts], other[counts], apart[counts]
        exact, near = self._hashes[one] == self._hashes[other], apart < limit
        label = _components(len(thumbs), one[near], other[near])
        beside = np.zeros(len(thumbs), np.bool_)  # sets that do not stand out, by label
        beside[label[one[label[one] != label[other]]]] = beside[label[other[label[one] != label[other]]]] = True
        size = np.bincount(label, minlength=len(thumbs))
        unlike = _distinct(label, self._hashes)  # different pictures in each set
        doubtful = (unlike > 1) & (beside | (size > _most(len(thumbs))))
        self.unsure = np.flatnonzero(doubtful[label]).tolist()
        sure = exact | (near & ~doubtful[label[one]])
        self.sets = _sets(_components(len(thumbs), one[sure], other[sure]))

    def pairs(self, rows: Sequence[int], samples: Sequence[Sample]) -> Iterator[CopyPair]:
        """Yield for each image of a set but one the one that tells most of it; of a test image, in training if any.

        That is the same pixels, else its own label, else the nearest: a picture of the same damage, although a good
        one of the part is as near, makes a test image a copy.
        """
        order = sorted(range(len(rows)), key=lambda i: (samples[i].split != "train", samples[i].name))
        for position, i in enumerate(order[1:], 1):
            before = order[:position]
            trained = [j for j in before if samples[j].split == "train"]
            pairs = [self._pair(rows, samples, j, i) for j in (trained or before)]
            yield min(pairs, key=lambda p: (not p.exact, not p.same_label, p.distance, p.first.name))

    def _pair(self, rows: Sequence[int], samples: Sequence[Sample], first: int, second: int) -> CopyPair:
        same = bool(self._hashes[rows[first]] == self._hashes[rows[second]])
        return CopyPair(samples[first], samples[second], round(self._apart(rows[first], rows[second]), 4), same)

    def _apart(self, one: int, other: int) -> float:
        difference = self._thumbs[one].astype(np.float64) - self._thumbs[other]
        return float(np.sqrt(np.mean(difference**2)))


def _most(n: int) -> int:
    """Return how many of n pictures may show one part, before that is taken for parts that are alike."""
    return max(2, min(max(8, n // 5), n // 2))


def _components(n: int, one: npt.NDArray[np.int64], other: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return for each of n rows the lowest row that links lead to."""
    label = np.arange(n)
    while True:
        low, lower = np.minimum(label[one], label[other]), label.copy()
        np.minimum.at(lower, one, low)
        np.minimum.at(lower, other, low)
        lower = lower[lower]
        if np.array_equal(lower, label):
            return label
        label = lower


def _distinct(label: npt.NDArray[np.int64], hashes: npt.NDArray[np.str_]) -> npt.NDArray[np.int64]:
    """Return for each label how many different pictures carry it."""
    own = sorted(set(zip(label.tolist(), hashes.tolist(), strict=True)))
    return np.bincount([number for number, _ in own], minlength=len(label))


def _sets(label: npt.NDArray[np.int64]) -> list[list[int]]:
    """Return the rows of each label that has two or more."""
    count = np.bincount(label)
    return [np.flatnonzero(label == number).tolist() for number in np.flatnonzero(count > 1)]


def _listed(words: Sequence[str]) -> str:
    more = f" and {len(words) - _NAMED} more" if len(words) > _NAMED else ""
    return ", ".join(words[:_NAMED]) + more
