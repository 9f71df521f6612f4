"""Whether a recipe's images are fit to train on, found out before any training.

Every file is decoded once, as training decodes it, and only its numbers are kept, so that memory grows by 16 kB an
image. What is wrong is collected rather than raised: a person with 2,000 images wants the whole list at once.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Literal

from lineside.capture.check_copies import copy_problems, likeness_of, near_problems
from lineside.capture.copies import Look, grouped, look_at, measured_for_noise
from lineside.capture.decode import decode_image
from lineside.capture.findings import CheckReport, Probe, Problem
from lineside.capture.header import read_header
from lineside.capture.masks import mask_problems
from lineside.dataset import Dataset, Sample, load_dataset
from lineside.errors import ImageError, RecipeError
from lineside.evidence import holdout_parts, holdout_total, parts_needed, supported_overkill
from lineside.image_files import is_own_output, read_content, shown
from lineside.least_defect import estimated
from lineside.recipe import LoadedRecipe, Recipe
from lineside.wish_images import FACTORS, deciding_defects, intolerable, undecidable

Progress = Callable[[int, int], None]
"""Called with (images done, images in all)."""


class _Seen:
    """What has been read so far: filled image by image, then only read."""

    def __init__(self) -> None:
        self.probes: dict[str, Probe] = {}
        self.unreadable: dict[str, str] = {}
        self.looks: dict[str, Look] = {}


def check_recipe(loaded: LoadedRecipe, progress: Progress | None = None) -> CheckReport:
    """Check a recipe's images.

    Parameters
    ----------
    loaded : LoadedRecipe
        A recipe that was read without error.
    progress : callable, optional
        Called after each image.

    Raises
    ------
    ImageError
        When the folder has no known layout, no good images, or file names that are no text.
    RecipeError
        When `capture.group` puts one part on both sides of the split.
    """
    recipe, dataset = loaded.recipe, load_dataset(loaded)
    seen, measured = _Seen(), measured_for_noise(dataset)
    for number, sample in enumerate(dataset.samples, 1):
        _look(sample, recipe, seen, noise=sample.name in measured)
        if progress:
            progress(number, len(dataset.samples))
    channels = _frame_channels(recipe, dataset, seen.probes)
    if recipe.capture.color == "auto" and channels == 1:
        _refuse_colour(dataset, recipe, seen)
    dataset, copies = grouped(loaded, dataset, seen.looks)
    likeness = likeness_of(dataset, seen.looks, copies)
    listed = _good_parts(dataset)
    goods = [s for s in listed if s.name in seen.probes]
    groups = len({s.group for s in goods})
    problems = [
        *_unreadable(seen.unreadable, len(dataset.samples)),
        *_empty_folders(dataset),
        *_own_output(dataset),
        *_enough(recipe, groups, len({s.group for s in listed})),
        *_wish(loaded, dataset),
        *_least_defect(loaded, goods, seen.probes),
        *_mixed(seen.probes, goods, recipe),
        *copy_problems(dataset, seen.probes),
        *near_problems(copies, likeness),
        *mask_problems(dataset, seen.probes),
    ]
    sizes = Counter(_size(p) for p in seen.probes.values())
    kinds = Counter("mono" if p.channels == 1 else "rgb" for p in seen.probes.values())
    return CheckReport(
        part=recipe.part,
        recipe=str(loaded.file),
        layout=dataset.layout,
        counts=dataset.counts(),
        masks=dict(Counter(f"{s.split}/{s.label}" for s in dataset.samples if s.mask)),
        sizes=dict(sizes.most_common()),
        frame_channels=channels,
        file_channels=dict(kinds.most_common()),
        bit_depth=recipe.capture.bit_depth,
        groups=groups,
        likeness=likeness,
        problems=tuple(sorted(problems, key=lambda p: p.severity)),
    )


def _good_parts(dataset: Dataset) -> tuple[Sample, ...]:
    """Return the training images that the threshold comes from: all where none is good, for then every class is."""
    return dataset.select("train", good=True) or dataset.select("train")


def _look(sample: Sample, recipe: Recipe, seen: _Seen, *, noise: bool) -> None:
    """Read one image and keep its numbers, or why it cannot be read."""
    wanted: Literal[1] | None = 1 if recipe.capture.color == "mono" else None
    try:
        content = read_content(sample.path)
        image = decode_image(content, sample.path, channels=wanted, bit_depth=recipe.capture.bit_depth)
    except ImageError as error:
        seen.unreadable[sample.name] = error.message.removeprefix(f"{sample.path}: ")
        return
    height, width, _ = image.shape
    look, channels = look_at(image, noise=noise), read_header(content).channels
    file_sha256 = hashlib.sha256(content).hexdigest()
    seen.probes[sample.name] = Probe((width, height), channels, file_sha256, look.pixel_sha256)
    seen.looks[sample.name] = look


def _frame_channels(recipe: Recipe, dataset: Dataset, probes: Mapping[str, Probe]) -> Literal[1, 3]:
    if recipe.capture.color != "auto":
        return 1 if recipe.capture.color == "mono" else 3
    goods = [probes[s.name].channels for s in _good_parts(dataset) if s.name in probes]
    return 1 if goods and all(channels == 1 for channels in goods) else 3


def _refuse_colour(dataset: Dataset, recipe: Recipe, seen: _Seen) -> None:
    """Find colour files among the rest once the good ones have said that frames are grey."""
    for sample in dataset.samples:
        if sample.name in seen.probes and seen.probes[sample.name].channels == 3:
            try:
                decode_image(read_content(sample.path), sample.path, channels=1, bit_depth=recipe.capture.bit_depth)
            except ImageError as error:
                seen.unreadable[sample.name] = error.message.removeprefix(f"{sample.path}: ")
                del seen.probes[sample.name], seen.looks[sample.name]


def _unreadable(unreadable: Mapping[str, str], total: int) -> list[Problem]:
    if not unreadable:
        return []
    files = tuple(f"{name}: {reason}" for name, reason in sorted(unreadable.items()))
    return [Problem("error", f"{len(files)} of {total} images cannot be used", files, ImageError.exit_code)]


def _empty_folders(dataset: Dataset) -> list[Problem]:
    tops = [dataset.root / "train", dataset.root / "test"] if dataset.layout == "mvtec" else [dataset.root]
    used = {s.path.relative_to(dataset.root).parts[: 2 if dataset.layout == "mvtec" else 1] for s in dataset.samples}
    empty = [
        shown(folder.relative_to(dataset.root).as_posix())
        for top in tops
        if top.is_dir()
        for folder in sorted(top.iterdir())
        if folder.is_dir() and not folder.name.startswith(".") and folder.name != "ground_truth"
        if folder.relative_to(dataset.root).parts not in used and not is_own_output(folder)
    ]
    return [Problem("warning", "folders hold no images", tuple(empty))] if empty else []


def _own_output(dataset: Dataset) -> list[Problem]:
    text = "folders that lineside wrote lie among the images, and are left out; better write them elsewhere with --out"
    return [Problem("warning", text, dataset.left_out)] if dataset.left_out else []


def _enough(recipe: Recipe, groups: int, listed: int) -> list[Problem]:
    """Compare the readable good parts with what training and the wish for overkill need, counted as training counts."""
    if groups < 2 <= listed:
        return []  # that files cannot be used has been said
    if groups < 2:
        text = (
            f"{_parts(listed)} to train on, and at least 2 are needed. Add good images, or mend capture.group if it "
            "takes different parts for one"
        )
        return [Problem("error", text, exit_code=2)]
    calibrate = recipe.calibrate
    by_itself = calibrate.crossfit == "auto" and recipe.transfer.method.startswith("anomalib.")
    holdout = calibrate.crossfit == "holdout" or by_itself
    problems = []
    folds = calibrate.folds_of(groups)
    if not holdout and groups < folds:
        text = (
            f"{_parts(groups)} to train on: calibration uses {groups} folds instead of the {folds} of "
            "calibrate.folds, since each needs a part"
        )
        problems.append(Problem("warning", text))
    if calibrate.overkill is None:
        return problems
    n = holdout_parts(groups) if holdout else groups
    sure = calibrate.confidence
    needed, told = parts_needed(calibrate.overkill, sure), "" if sure is None else f" with {100 * sure:g}% confidence"
    if n < needed:
        kept = f" (held out of {groups})" if holdout else ""
        best = supported_overkill(n, sure)
        total = holdout_total(needed) if holdout else needed
        text = (
            f"{_parts(n)}{kept} can support an overkill of {best:.1%}{told} at best, and {calibrate.overkill:.1%} is "
            f"asked for: that needs {total}, {total - groups} more. Add good images, or set "
            f"calibrate.overkill: {math.ceil(1000 * best - 1e-9) / 1000:g}"
        )
        problems.append(Problem("warning", text))
    return problems


def _wish(loaded: LoadedRecipe, dataset: Dataset) -> list[Problem]:
    """Say what the defective images cannot support of the wish that they decide."""
    wish = loaded.recipe.calibrate.wish
    reason = undecidable(loaded, dataset)
    intolerance = intolerable(loaded, dataset)
    if intolerance:
        return [Problem("error", f"{FACTORS}: {intolerance.rstrip('.')}", exit_code=RecipeError.exit_code)]
    if reason:
        return [Problem("error", f"calibrate.{wish.kind}: {reason.rstrip('.')}", exit_code=RecipeError.exit_code)]
    escape = loaded.recipe.calibrate.escape
    n = len({sample.group for sample in deciding_defects(loaded, dataset)})
    if escape is None or n >= parts_needed(escape):
        return []
    text = (
        f"{n} defective part{'' if n == 1 else 's'} can support an escape of {supported_overkill(n):.1%} at best, and "
        f"{escape:.2%} is asked for: that needs {parts_needed(escape)}, {parts_needed(escape) - n} more. "
        "Add images to train/<class>, or set calibrate.escape: "
        f"{math.ceil(1000 * supported_overkill(n) - 1e-9) / 1000:g}"
    )
    return [Problem("warning", text)]


def _least_defect(loaded: LoadedRecipe, goods: list[Sample], probes: Mapping[str, Probe]) -> list[Problem]:
    """Say whether patches are small enough for the smallest defect, and it is small enough for the search."""
    sizes = Counter(probes[s.name].size_wh for s in goods)
    found = estimated(loaded, sizes.most_common(1)[0][0]) if sizes else None
    if found is None:
        return []
    severity, text = found
    return [Problem(severity, text, exit_code=RecipeError.exit_code if severity == "error" else 0)]


def _mixed(probes: Mapping[str, Probe], goods: list[Sample], recipe: Recipe) -> list[Problem]:
    problems = []
    sizes = Counter(_size(p) for p in probes.values())
    if len(sizes) > 1:
        odd = [f"{name}: {_size(p)}" for name, p in probes.items() if _size(p) != sizes.most_common(1)[0][0]]
        text = (
            f"{len(sizes)} sizes of image, most of them {sizes.most_common(1)[0][0]}; a camera in one place gives one"
        )
        problems.append(Problem("warning", text, tuple(odd)))
    kinds = {probes[s.name].channels for s in goods}
    if len(kinds) > 1 and recipe.capture.color == "auto":
        grey = tuple(s.name for s in goods if probes[s.name].channels == 1)
        text = (
            "good training images are grey and others colour; all are taken as colour. Set capture.color to say which"
        )
        problems.append(Problem("warning", text, grey))
    return problems


def _parts(n: int) -> str:
    return "1 good part" if n == 1 else f"{n} good parts"


def _size(probe: Probe) -> str:
    return f"{probe.size_wh[0]}x{probe.size_wh[1]}"
