"""Images of known class for a stress test: a folder that the user names, or the test images of the bundle's own recipe.

The recipe's lock names every image with its SHA-256, so that a folder which merely looks like the right one is refused:
a model tested on images that it was trained on passes every test.
"""

import hashlib
from pathlib import Path

from lineside.dataset import GOOD_NAMES, MASK_FOLDER, label_of, refuse_odd_names
from lineside.errors import BundleError, ImageError, UsageError
from lineside.export.known_images import LOCK_FILE, read_lock
from lineside.image_files import is_own_output, read_content, walk_images

_EXPECTED = (
    f"Expected a folder of good images ({', '.join(GOOD_NAMES)}) beside one per defect class; or test/ with these in it"
)
_NAME_THEM = "Name a folder of images that the model was not trained on with --images."


def images_in(folder: str | Path) -> tuple[tuple[Path, str], ...]:
    """List the images of a folder with their classes.

    Parameters
    ----------
    folder : str or Path
        With a folder of good images beside one per defect class. Where it holds ``test/``, that is taken instead, and
        nothing of ``train/``.

    Returns
    -------
    tuple of (Path, str)
        Sorted by folder and file; ``good``, or the name of the defect's folder.

    Raises
    ------
    UsageError
        When there is no such folder.
    ImageError
        When it has no folder of good images, or images whose class no folder tells.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UsageError(f"{root}: there is no such folder.")
    if (root / "test").is_dir():
        root = root / "test"
    classes = _class_folders(root)
    if not any(name in GOOD_NAMES for name in classes):
        found = f"the folders {', '.join(classes[:8])}" if classes else "no folder with images"
        raise ImageError(f"no good images to count overkill on: found {found}. {_EXPECTED}.", path=root)
    loose = next((path for path in walk_images(root) if path.parent == root), None)
    if loose is not None:
        raise ImageError(f"it lies in no class's folder, so that its truth is unknown. {_EXPECTED}.", path=loose)
    found_images = tuple((path, label_of(name)) for name in classes for path in walk_images(root / name, is_own_output))
    refuse_odd_names(root, (path.relative_to(root).as_posix() for path, _ in found_images))
    return found_images


def images_of_recipe(bundle: str | Path) -> tuple[tuple[Path, str], ...]:
    """List the test images that a bundle's ``recipe.lock.yaml`` names, with their classes.

    They are looked for where the recipe says, seen from ``recipes/<part>`` of the working folder and from the bundle.

    Raises
    ------
    UsageError
        When the bundle names no test images, or they are not there, or are other images by now.
    BundleError
        When its lock file cannot be read.
    """
    folder = Path(bundle)
    lock = read_lock(folder)
    if lock is None:
        raise UsageError(f"{folder}: no {LOCK_FILE} that would name images of known class. {_NAME_THEM}")
    try:
        recipe, listed = lock["recipe"], lock["images"]
        tests = [item for item in listed if item["split"] == "test"]
        wanted = {str(item["name"]): (str(item["label"]), str(item["sha256"])) for item in tests}
        images, part = str(recipe["images"]), str(recipe["part"])
    except (KeyError, TypeError):
        raise BundleError(
            f"{folder / LOCK_FILE}: it does not list the recipe's images. Train the model again."
        ) from None
    if not wanted:
        raise UsageError(f"{folder / LOCK_FILE}: the recipe has no test images. {_NAME_THEM}")
    seen_from = (Path("recipes") / part, folder, Path())
    roots = [start / images for start in seen_from if (start / images / next(iter(wanted))).is_file()]
    if not roots:
        raise UsageError(f"The recipe's images ({images}) are not where this command looks for them. {_NAME_THEM}")
    return tuple(_checked(roots[0], name, label, digest) for name, (label, digest) in sorted(wanted.items()))


def _checked(root: Path, name: str, label: str, digest: str) -> tuple[Path, str]:
    path = root / name
    if not path.is_file():
        raise UsageError(f"{path}: the recipe's image is no longer there. {_NAME_THEM}")
    if hashlib.sha256(read_content(path)).hexdigest() != digest:
        raise UsageError(f"{path}: not the image that the recipe had (another SHA-256). {_NAME_THEM}")
    return path, label_of(label)


def _class_folders(root: Path) -> list[str]:
    """Return the folders that hold images, sorted; masks and what lineside itself wrote are none."""
    names = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    return [
        name
        for name in names
        if name != MASK_FOLDER
        and not is_own_output(root / name)
        and next(walk_images(root / name, is_own_output), None) is not None
    ]
