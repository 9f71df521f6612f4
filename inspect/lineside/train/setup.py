"""What both methods set up alike: the front's settings and the good frames' levels."""

from typing import Literal

from lineside.graph.run import parallel
from lineside.graph.trunk import Trunk
from lineside.normalise.front import FrontSettings
from lineside.recipe import Recipe
from lineside.train.images import References
from lineside.train.progress import Journal
from lineside.transfer.backbone import Triple


def front_settings(recipe: Recipe, channels: Literal[1, 3], mean: Triple, std: Triple) -> FrontSettings:
    """Derive the front's settings from the recipe and the backbone's own normalisation."""
    light = recipe.normalise.light
    return FrontSettings(
        channels=channels,
        working_wh=recipe.normalise.working_wh,
        gain_limits=None if light.exposure == "off" else light.gain_limits,
        mean=mean,
        std=std,
    )


def frame_levels(trunk: Trunk, references: References, journal: Journal) -> list[float]:
    """Return the mean grey level of each good frame, by the exported front itself."""

    def one(position: int) -> float:
        frame = references.reader.read(references.samples[position])
        level = trunk.mean_level(frame)
        journal.step()
        return level

    return list(parallel(one, range(len(references.samples))))


def exposure_refused(level: float, golden_level: float, gain_limits: tuple[float, float] | None) -> bool:
    """Whether the front refuses a frame of this mean level, by the rule of `lineside.normalise.front`."""
    if gain_limits is None:
        return False
    return not gain_limits[0] <= golden_level / max(level, 1.0) <= gain_limits[1]
