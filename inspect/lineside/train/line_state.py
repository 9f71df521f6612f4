"""What a bundle keeps so that it can follow a line that changes: written by training, read by adapt and extend.

Sufficient statistics and the good frames' numbers, never an image: a few hundred kilobytes. The head's own numbers
stand in the graph and are not written twice.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from lineside.errors import BundleError
from lineside.train.front_fit import FittedFront
from lineside.transfer.align import TapStatistics
from lineside.transfer.extend import PlaceCounts
from lineside.transfer.head import HeadShape
from lineside.transfer.sharp_fit import SharpCounts

Array = npt.NDArray[np.generic]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
_PLACE = tuple(field.name for field in dataclasses.fields(PlaceCounts))
_SHARP = tuple(field.name for field in dataclasses.fields(SharpCounts))


@dataclass(frozen=True)
class HeadKept:
    """What the head was fitted on, beyond its own numbers.

    Attributes
    ----------
    taps : tuple of TapStatistics
        Of the good frames, without augmented copies.
    radius, sharp_radius : float
        How closely the memories cover the good frames' patches, averaged and as they are; 0 where there is none.
    place : PlaceCounts or None
        What the places of averaged patches were fitted on.
    sharp : SharpCounts or None
        What the places of patches as they are were fitted on.
    """

    taps: tuple[TapStatistics, ...]
    radius: float
    place: PlaceCounts | None
    sharp_radius: float
    sharp: SharpCounts | None


@dataclass(frozen=True)
class LineState:
    """What training, or the last change of the bundle, left behind.

    Attributes
    ----------
    shape : HeadShape
    head : HeadKept
    embeddings : ndarray of float32 [n, d]
        Of the good frames that the gate let through.
    quality : ndarray of float32 [n, q]
        The front's quality numbers of the same frames.
    stated : tuple of str
        Quality numbers whose limits the recipe states.
    margin : float
        The recipe's `normalise.gate.margin`; negative where it wants no gate.
    seed : int
    scores : ndarray of float32 [m]
        Honest scores that the threshold was taken from; infinite for good frames that a finding makes NG.
    groups : tuple of str [m]
        Physical part of each.
    """

    shape: HeadShape
    head: HeadKept
    embeddings: Floats
    quality: Floats
    stated: tuple[str, ...]
    margin: float
    seed: int
    scores: Floats
    groups: tuple[str, ...]

    def arrays(self) -> dict[str, Array]:
        """Return the arrays of ``state.npz``."""
        tail = {
            "embeddings": self.embeddings,
            "quality": self.quality,
            "stated": np.array(self.stated, np.str_),
            "margin": np.array(self.margin),
            "seed": np.array(self.seed),
        }
        return {
            **head_state(self.shape, self.head),
            **tail,
            **calibration_state(self.scores, self.groups),
        }


def head_state(shape: HeadShape, head: HeadKept) -> dict[str, Array]:
    """Return what is kept of the head."""
    kept: dict[str, Array] = {
        "shape": np.array(json.dumps(dataclasses.asdict(shape), sort_keys=True)),
        "radius": np.array(head.radius),
        "sharp_radius": np.array(head.sharp_radius),
    }
    for number, tap in enumerate(head.taps):
        kept[f"tap{number}_mean"], kept[f"tap{number}_count"] = tap.mean, np.array(tap.count)
        kept[f"tap{number}_covariance"] = tap.covariance.astype(np.float32)
    if head.place is not None:
        kept |= {f"place_{name}": np.asarray(getattr(head.place, name)) for name in _PLACE}
    if head.sharp is not None:
        kept |= {f"sharp_{name}": np.asarray(getattr(head.sharp, name)) for name in _SHARP}
    return kept


def tail_state(front: FittedFront, quality: Array, embeddings: Array) -> dict[str, Array]:
    """Return what is kept of gate and familiarity."""
    return {
        "embeddings": embeddings.astype(np.float32),
        "quality": quality.astype(np.float32),
        "stated": np.array(front.decision.settings.gate.stated_names, np.str_),
        "margin": np.array(front.margin),
        "seed": np.array(front.seed),
    }


def calibration_state(scores: npt.NDArray[np.floating], groups: Sequence[str]) -> dict[str, Array]:
    """Return what is kept of the calibration."""
    return {"scores": np.asarray(scores, np.float32), "groups": np.array(groups, np.str_)}


def line_state(arrays: Mapping[str, Array], where: str) -> LineState:
    """Read what a bundle kept.

    Raises
    ------
    BundleError
        When something is missing or cannot be read.
    """
    try:
        shape = TypeAdapter(HeadShape).validate_json(str(arrays["shape"]))
        return LineState(
            shape=shape,
            head=_head(arrays, shape),
            embeddings=arrays["embeddings"].astype(np.float32),
            quality=arrays["quality"].astype(np.float32),
            stated=tuple(arrays["stated"].tolist()),
            margin=float(arrays["margin"]),
            seed=int(arrays["seed"]),
            scores=arrays["scores"].astype(np.float32),
            groups=tuple(arrays["groups"].tolist()),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{where}: the bundle's state is incomplete ({error}). Train it again.") from None


def _head(arrays: Mapping[str, Array], shape: HeadShape) -> HeadKept:
    return HeadKept(
        taps=tuple(_tap(arrays, number) for number in range(len(shape.channels))),
        radius=float(arrays["radius"]),
        place=_place(arrays) if shape.placed else None,
        sharp_radius=float(arrays["sharp_radius"]),
        sharp=_sharp(arrays) if shape.sharp == "place" else None,
    )


def _tap(arrays: Mapping[str, Array], number: int) -> TapStatistics:
    names = (f"tap{number}_mean", f"tap{number}_covariance")
    mean, covariance = (arrays[name].astype(np.float64) for name in names)
    return TapStatistics(mean, covariance, int(arrays[f"tap{number}_count"]))


def _place(arrays: Mapping[str, Array]) -> PlaceCounts:
    rows, scatter, squares = (arrays[f"place_{name}"].astype(np.float64) for name in ("rows", "scatter", "squares"))
    frames, all_rows = int(arrays["place_frames"]), int(arrays["place_all_rows"])
    return PlaceCounts(rows, frames, all_rows, scatter, float(arrays["place_level"]), squares)


def _sharp(arrays: Mapping[str, Array]) -> SharpCounts:
    rows, common = (arrays[f"sharp_{name}"].astype(np.float64) for name in ("rows", "common"))
    typical, ridge, scale = (float(arrays[f"sharp_{name}"]) for name in ("typical", "ridge", "scale"))
    return SharpCounts(rows, typical, common, ridge, scale)
