"""Vectors: frames with every expected output, so that an integrator in any language can prove his port.

Each frame lies well off the threshold, so that rounding on another machine cannot turn its verdict; and one turns its
verdict when red and blue are swapped, which is the mistake that every port makes first.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from lineside.contract import INPUT_FRAME, NO_DEFECT_CLASS, OUTPUTS, UNKNOWN_DEFECT_CLASS, Contract, Verdict
from lineside.export.recorded import VECTORS_FILE
from lineside.graph.run import Graph, parallel

Pixels = npt.NDArray[np.uint8]
Files = dict[str, bytes]
MARGIN_REL = 0.02
"""Least distance of a vector's score from the threshold, relative to it: twenty times the tolerance on the score."""
TINTS = (0.0, 0.15, -0.15, 0.3, -0.3, 0.45, -0.45)
"""Red up and blue down by this share (the other way round below zero); 0 is the frame as it is."""


@dataclass(frozen=True)
class Candidate:
    """A frame that may become a vector."""

    name: str
    frame: Pixels


@dataclass(frozen=True)
class _Judged:
    candidate: Candidate
    verdict: Verdict
    margin: float
    told: int
    """`defect_class`."""
    steady: bool
    """Whether the class stays when every sample is a grey level brighter or darker."""


def make_vectors(graph: Graph, contract: Contract, candidates: Iterable[Candidate]) -> Files:
    """Choose vectors and write down what the graph says of them.

    Parameters
    ----------
    graph : Graph
        The assembled graph.
    contract : Contract
    candidates : iterable of Candidate
        Good and defective frames, [H, W, C] uint8.

    Returns
    -------
    dict of relative path to bytes
        ``vectors/vectors.json``; for each vector a ``.u8`` file (the raw frame), a ``.png`` to look at and a
        ``.map.f32`` file (the anomaly map, little-endian float32).
    """
    judged = list(parallel(partial(_judge, graph, contract), candidates))
    chosen: dict[str, Candidate] = {}
    for verdict in Verdict:
        of_kind = [j for j in judged if j.verdict == verdict and j.margin >= MARGIN_REL and j.steady]
        for told in sorted({j.told for j in of_kind}):
            alike = [j for j in of_kind if j.told == told]
            best = min(alike, key=lambda j: abs(j.margin - _median([k.margin for k in alike])))
            chosen[_vector_name(verdict, told)] = best.candidate
    swap = _swap_vector(graph, contract, [j.candidate for j in judged if j.verdict == Verdict.OK])
    if swap is not None:
        chosen["red_blue_swap"] = swap
    return _written(graph, chosen, swapped=swap is not None)


def _vector_name(verdict: Verdict, told: int) -> str:
    """Name a vector by its verdict, and by the number of its class where it has one."""
    if told == NO_DEFECT_CLASS:
        return verdict.name.lower()
    return f"{verdict.name.lower()}_{'unknown' if told == UNKNOWN_DEFECT_CLASS else f'class{told}'}"


def _steady(graph: Graph, frame: Pixels, told: int) -> bool:
    """Whether a class stays when every sample moves by one level: rounding elsewhere moves it by far less."""
    if told == NO_DEFECT_CLASS:
        return True
    moved = (np.where(frame < 255, frame + 1, frame), np.where(frame > 0, frame - 1, frame))
    classes = (graph({INPUT_FRAME: f[None].astype(np.uint8)}, ("defect_class",))["defect_class"][0] for f in moved)
    return all(int(found) == told for found in classes)


def _judge(graph: Graph, contract: Contract, candidate: Candidate) -> _Judged:
    out = graph({INPUT_FRAME: candidate.frame[None]}, ("score", "verdict", "defect_class"))
    told = int(out["defect_class"][0])
    limits = (contract.threshold_ng.value, contract.threshold_review.value)
    score = float(out["score"][0])
    margin = min(abs(score - limit) / max(abs(limit), 1e-9) for limit in limits)
    verdict = Verdict(int(out["verdict"][0]))
    return _Judged(candidate, verdict, margin, told, _steady(graph, candidate.frame, told))


def _swap_vector(graph: Graph, contract: Contract, good: Sequence[Candidate]) -> Candidate | None:
    """Find a frame whose verdict turns with its channels: a good one, tinted where the part itself is colourless."""
    if contract.frame.channels != 3:
        return None

    def turned(tried: tuple[Candidate, float]) -> tuple[float, Candidate] | None:
        candidate, tint = tried
        frame = _tinted(candidate.frame, tint) if tint else candidate.frame
        straight = _judge(graph, contract, Candidate(candidate.name, frame))
        swapped = _judge(graph, contract, Candidate(candidate.name, np.ascontiguousarray(frame[..., ::-1])))
        margin = min(straight.margin, swapped.margin)
        turns = straight.verdict != swapped.verdict and margin >= MARGIN_REL
        return (margin, Candidate(candidate.name, frame)) if turns else None

    found = list(parallel(turned, [(candidate, tint) for candidate in good[:4] for tint in TINTS]))
    return max((one for one in found if one), key=lambda one: one[0], default=(0.0, None))[1]


def _tinted(frame: Pixels, amount: float) -> Pixels:
    """See `TINTS`."""
    gain = np.array([1.0 + amount, 1.0, 1.0 - amount], np.float32)
    tinted: Pixels = np.clip(np.rint(frame * gain), 0, 255).astype(np.uint8)
    return tinted


def _written(graph: Graph, chosen: dict[str, Candidate], *, swapped: bool) -> Files:
    files: Files = {}
    entries = []
    for name, candidate in chosen.items():
        frame = candidate.frame
        outputs = graph({INPUT_FRAME: frame[None]}, OUTPUTS)
        anomaly_map = outputs["anomaly_map"][0]
        files[f"vectors/{name}.u8"] = frame.tobytes()
        files[f"vectors/{name}.png"] = _png(frame)
        files[f"vectors/{name}.map.f32"] = anomaly_map.astype("<f4").tobytes()
        expected = {key: outputs[key][0].tolist() for key in OUTPUTS if key != "anomaly_map"}
        entry: dict[str, object] = {
            "name": name,
            "made_from": candidate.name,
            "frame": f"{name}.u8",
            "frame_shape_hwc": list(frame.shape),
            "png": f"{name}.png",
            "anomaly_map": f"{name}.map.f32",
            "anomaly_map_shape_hw": list(anomaly_map.shape),
            "outputs": expected,
        }
        if name == "red_blue_swap":
            other = graph({INPUT_FRAME: np.ascontiguousarray(frame[None, ..., ::-1])}, ("verdict",))
            entry["verdict_when_swapped"] = int(other["verdict"][0])
        entries.append(entry)
    document = {
        "what": "Raw frames (uint8, row by row, red green blue or grey) and what the graph must return for each.",
        "tells_swapped_channels": swapped,
        "vectors": entries,
    }
    files[VECTORS_FILE] = (json.dumps(document, indent=1) + "\n").encode()
    return files


def _png(frame: Pixels) -> bytes:
    image = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR) if frame.shape[2] == 3 else frame
    return bytes(cv2.imencode(".png", image)[1])


def _median(values: Sequence[float]) -> float:
    return float(np.median(values))
