"""What both methods set up alike: what the recipe asks of the front, and the images that it names for it."""

from collections import Counter

import numpy as np
import numpy.typing as npt

from lineside.capture.decode import read_image
from lineside.capture.flat_image import read_flat_image
from lineside.contract import Fitted
from lineside.normalise.flat_field import FlatMaps, flat_maps
from lineside.normalise.front_fit import FrontRequest
from lineside.recipe import LoadedRecipe
from lineside.recipe_normalise import as_paths
from lineside.train.images import References
from lineside.train.recipe_regions import recipe_mask
from lineside.transfer.backbone import Triple

Pixels = npt.NDArray[np.uint8]

SIZED = 9
"""Good frames whose size is looked at."""
REFITTED = "fitted again in every fold without the fold's parts and without all their augmented copies"
FRONT_FITTED = (
    Fitted("golden part, pose search and their automatic choice", REFITTED),
    Fitted("golden light, light corrections and their automatic choice", REFITTED),
    Fitted("limits of the gate and of the findings", REFITTED),
    Fitted("familiarity of the part", REFITTED),
    Fitted("coordinates of the golden part", "those of the anchor frame, which has no other say in any fold"),
)


def anchor_frame(loaded: LoadedRecipe, references: References) -> Pixels:
    """Return the frame whose pose is the golden part's: the recipe's, else the first good training frame."""
    named, reader = loaded.recipe.normalise.pose.anchor, references.reader
    if named is None:
        return reader.read(references.samples[0])
    return read_image(loaded.resolve(named), channels=reader.channels, bit_depth=reader.bit_depth)


def usual_frame_wh(references: References) -> tuple[int, int]:
    """Return the commonest size of some good frames (width, height), px."""
    samples, count = references.samples, min(SIZED, len(references.samples))
    chosen = np.linspace(0, len(samples) - 1, count).round().astype(int)
    shapes = Counter(references.reader.read(samples[i]).shape for i in chosen)
    height, width, _ = shapes.most_common(1)[0][0]
    return width, height


def front_request(
    loaded: LoadedRecipe,
    references: References,
    mean: Triple,
    std: Triple,
    grid_wh: tuple[int, int],
    *,
    blank_outside: bool,
) -> FrontRequest:
    """Gather what the front is fitted from, but for the good frames themselves."""
    recipe, frame_wh = loaded.recipe, usual_frame_wh(references)
    return FrontRequest(
        normalise=recipe.normalise,
        channels=references.reader.channels,
        frame_wh=frame_wh,
        grid_wh=grid_wh,
        fixed_frame_wh=recipe.export.frame,
        flat=_flat(loaded, references, frame_wh),
        roi=recipe_mask(loaded, recipe.normalise.roi, frame_wh, recipe.normalise.working_wh(frame_wh)),
        blank_outside=blank_outside,
        mean=mean,
        std=std,
        seed=recipe.seed,
    )


def _flat(loaded: LoadedRecipe, references: References, frame_wh: tuple[int, int]) -> FlatMaps | None:
    light, reader = loaded.recipe.normalise.light, references.reader
    if light.flat_field in (None, "auto", "estimate"):
        return None

    def read(paths: tuple[str, ...]) -> list[npt.NDArray[np.float32]]:
        files = [loaded.resolve(path) for path in paths]
        return [read_flat_image(file, channels=reader.channels, bit_depth=reader.bit_depth) for file in files]

    pictures = read(as_paths(light.flat_field))
    height, width = pictures[0].shape[:2]
    if (width, height) != frame_wh:
        raise loaded.error(
            f"expected pictures of the camera's {frame_wh[0]}×{frame_wh[1]} px, found {width}×{height} px. Take them "
            "with the same camera and lens as the images.",
            "normalise.light.flat_field",
        )
    return flat_maps(pictures, read(as_paths(light.dark_frame)))
