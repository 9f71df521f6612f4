"""Scores of frames by the deployed graph itself, for thresholds: nothing of it was fitted on these frames."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lineside.calibrate.honest import Honest
from lineside.contract import INPUT_FRAME, Contract
from lineside.errors import UsageError
from lineside.export.known_images import picture_of
from lineside.graph.rewrite import with_outputs
from lineside.graph.run import Graph, parallel

if TYPE_CHECKING:
    import onnx

Pixels = npt.NDArray[np.uint8]
NAMES = ("patch_score", "score", "embedding", "quality", "gate")


@dataclass(frozen=True)
class Shown:
    """A frame that is scored: what it is called, of which class and part, and how it is read."""

    name: str
    label: str
    group: str
    load: Callable[[], Pixels]


@dataclass(frozen=True, eq=False)
class Deployed:
    """What the deployed graph says of frames, whatever its thresholds.

    Attributes
    ----------
    shown : tuple of Shown
    scores : ndarray of float32 [n]
        Of the patches; infinite where a finding makes the frame NG.
    tolerant : ndarray of float32 [n]
        The same, divided for classes that are tolerated as the graph does it.
    called : ndarray of bool [n]
        Whether the gate lets the frame through.
    embeddings : ndarray of float32 [n, d]
    tolerates : bool
        Whether the graph divides scores of some classes.
    pictures : tuple of str
        `lineside.export.known_images.picture_of` each.
    """

    shown: tuple[Shown, ...]
    scores: npt.NDArray[np.float32]
    tolerant: npt.NDArray[np.float32]
    called: npt.NDArray[np.bool_]
    embeddings: npt.NDArray[np.float32]
    tolerates: bool
    pictures: tuple[str, ...]

    def honest(self, rows: Sequence[int], how: str, *, tolerant: bool = False) -> Honest:
        """Return scores of some of the frames, those without a call left out, for a threshold.

        Parameters
        ----------
        rows : sequence of int
        how : str
            How the scores were kept honest, in words.
        tolerant : bool
            Whether scores are divided for tolerated classes. Of defects that nothing was fitted on they are; of good
            parts they are not, so that overkill is rather overstated.

        Raises
        ------
        UsageError
            When a score is no number.
        """
        for i in rows:
            if np.isnan(self.scores[i]):
                raise UsageError(f"{self.shown[i].name}: the model's score is no number; no threshold can use it.")
        called = [i for i in rows if self.called[i]]
        return Honest(
            scores=(self.tolerant if tolerant else self.scores)[called],
            groups=tuple(self.shown[i].group for i in called),
            labels=tuple(self.shown[i].label for i in called),
            held_out=True,
            how=how,
            no_call=len(rows) - len(called),
            tolerated=self.tolerates and not tolerant,
        )


def deployed_scores(
    model: "onnx.ModelProto", contract: Contract, shown: Sequence[Shown], done: Callable[[], None]
) -> Deployed:
    """Run frames through the graph, one at a time as on the line.

    Parameters
    ----------
    model : onnx.ModelProto
        The deployed graph.
    contract : Contract
        Its own: names the findings.
    shown : sequence of Shown
    done : callable
        Called after each frame.
    """
    graph = Graph(with_outputs(model, ("patch_score",)))

    def one(frame: Shown) -> tuple[float, float, bool, npt.NDArray[np.float32], str]:
        pixels = frame.load()
        out = graph({INPUT_FRAME: pixels[None]}, NAMES)
        quality = dict(zip(contract.quality_names, out["quality"][0].astype(float).tolist(), strict=True))
        found = contract.found(quality)
        score, tolerant = (np.inf if found else float(out[name][0]) for name in ("patch_score", "score"))
        done()
        called, embedding = int(out["gate"][0]) == 0, out["embedding"][0].astype(np.float32)
        return score, tolerant, called, embedding, picture_of(pixels)

    said = list(parallel(one, shown))
    return Deployed(
        tuple(shown),
        np.array([score for score, *_ in said], np.float32),
        np.array([tolerant for _, tolerant, *_ in said], np.float32),
        np.array([called for _, _, called, *_ in said], np.bool_),
        np.array([embedding for *_, embedding, _ in said], np.float32),
        bool(contract.class_factors),
        tuple(picture for *_, picture in said),
    )
