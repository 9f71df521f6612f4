"""The folder as a source of frames: which files are images, and what they are, without decoding them."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lineside.capture.container import HeaderError
from lineside.capture.header import read_header
from lineside.errors import ImageError
from lineside.image_files import IMAGE_SUFFIXES, read_content, walk_images

if TYPE_CHECKING:  # pydantic is not needed to walk a folder
    from lineside.dataset import Dataset
    from lineside.recipe import LoadedRecipe

__all__ = ["IMAGE_SUFFIXES", "frame_channels", "image_channels", "walk_images"]


def image_channels(path: Path) -> Literal[1, 3]:
    """Return the colour channels of an image file, alpha not counted, without decoding it.

    Raises
    ------
    ImageError
        When it cannot be used; see `lineside.capture.decode.read_image`.
    """
    try:
        return read_header(read_content(path)).channels
    except HeaderError as error:
        raise ImageError(f"{error}.", path=path) from None


def frame_channels(loaded: "LoadedRecipe", dataset: "Dataset") -> Literal[1, 3]:
    """Return the channels of a recipe's frames: `capture.color`; auto is 1 when every good training file is grey (every
    training file where none is good).

    Raises
    ------
    ImageError
        When a good training file cannot be used.
    """
    color = loaded.recipe.capture.color
    if color != "auto":
        return 1 if color == "mono" else 3
    seen = dataset.select("train", good=True) or dataset.select("train")
    return 1 if all(image_channels(s.path) == 1 for s in seen) else 3
