"""`lineside bench --peer`: the whole graph beside anomalib's models, on the same frame, in turns, in one process."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lineside.bench.machine import this_machine
from lineside.bench.peer_fit import Peer, check_peers, fit_peer, planes
from lineside.bench.peer_images import PeerImages, peer_images
from lineside.bench.stages import ROUNDS, WHOLE, Conditions, opened
from lineside.bench.timing import Candidate, Ratio, Timing, ratio, summarise, time_in_turns
from lineside.calibrate.metrics import auroc
from lineside.contract import INPUT_FRAME
from lineside.session import open_session, ort

Pixels = npt.NDArray[np.uint8]
Score = Callable[[Pixels], float]


@dataclass(frozen=True)
class PeerTime:
    """A peer beside the whole graph."""

    name: str
    timing: Timing
    to_whole: Ratio
    """Its time over the whole graph's."""
    megabytes: float
    auroc: float | None
    """On the recipe's test images; None where its weights are random, or there are none of the frame's size."""
    words: tuple[str, ...]


@dataclass(frozen=True)
class PeerTimes(Conditions):
    """What `time_peers` measured."""

    fitted_on: str
    whole: Timing
    megabytes: float
    auroc: float | None
    """Of the bundle, on the same images."""
    peers: tuple[PeerTime, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return what fits into JSON."""
        return asdict(self)


def time_peers(
    model: str | Path,
    names: Sequence[str],
    *,
    backbone: str | None = None,
    images: Path | None = None,
    size_wh: tuple[int, int] | None = None,
    image: Path | None = None,
    threads: int = 1,
    rounds: int = ROUNDS,
    told: Callable[[str], None] = lambda words: None,
) -> PeerTimes:
    """Fit and export peers, and time them in turns with a bundle's graph.

    Parameters
    ----------
    model : str or Path
        Bundle folder.
    names : sequence of str
        As ``anomalib.Patchcore``.
    backbone : str or None
        See `lineside.bench.peer_fit.fit_peer`.
    images : Path or None
        Recipe folder with the good images that peers are fitted on; None: seeded frames of the size.
    size_wh, image, threads, rounds
        As for `lineside.bench.stages.time_stages`; with a recipe the frame is its first good image by default.
    told : callable
        Told what is being done, which may take minutes.

    Raises
    ------
    UsageError
        When a name, the backbone, the frame or the bundle is wrong.
    LinesideError
        When a peer cannot be fitted or exported.
    """
    known = check_peers(names)
    subject = opened(model, size_wh, image, threads)
    contract = subject.contract
    given = peer_images(images, contract.frame, (subject.frame.shape[1], subject.frame.shape[0]))
    if images is not None and size_wh is None and image is None:
        subject = replace(subject, frame=given.goods[0]())
    frame = subject.frame
    height, width, channels = frame.shape
    sessions: dict[str, tuple[Peer, ort.InferenceSession]] = {}
    for one in known:
        told(f"fitting and exporting {one.name} ({given.words})")
        peer = fit_peer(one, backbone, (load() for load in given.goods), (height, width))
        sessions[peer.name] = peer, open_session(peer.model, peer.name, threads)
    told(f"timing {rounds} rounds")
    machine = this_machine()
    candidates = [Candidate(WHOLE, subject.session, subject.feed)]
    candidates += [
        Candidate(name, session, {session.get_inputs()[0].name: planes(frame).numpy()})
        for name, (_, session) in sessions.items()
    ]
    times = time_in_turns(candidates, rounds)
    meaningful = any(peer.pretrained for peer, _ in sessions.values())
    return PeerTimes(
        part=contract.part,
        model_sha256=subject.model_sha256,
        frame_whc=(width, height, channels),
        working_wh=contract.working_wh,
        threads=threads,
        rounds=rounds,
        machine=machine,
        fitted_on=given.words,
        whole=summarise(WHOLE, times[WHOLE]),
        megabytes=subject.megabytes,
        auroc=_auroc(given, (height, width), _ours(subject.session)) if meaningful else None,
        peers=tuple(
            PeerTime(
                name,
                summarise(name, times[name]),
                ratio(times[name], times[WHOLE]),
                len(peer.model) / 1e6,
                _auroc(given, (height, width), _theirs(session)) if peer.pretrained else None,
                peer.words,
            )
            for name, (peer, session) in sessions.items()
        ),
    )


def _ours(session: ort.InferenceSession) -> Score:
    return lambda frame: float(session.run(["score"], {INPUT_FRAME: frame[None]})[0][0])


def _theirs(session: ort.InferenceSession) -> Score:
    name = session.get_inputs()[0].name
    return lambda frame: float(session.run(["pred_score"], {name: planes(frame).numpy()})[0].reshape(-1)[0])


def _auroc(given: PeerImages, frame_hw: tuple[int, int], score: Score) -> float | None:
    """Image AUROC on the test images; None where one is not of the size that the peers were exported for."""
    scores: list[list[float]] = []
    for loads in (given.test_goods, given.test_defects):
        frames = [load() for load in loads]
        if any(frame.shape[:2] != frame_hw for frame in frames):
            return None
        scores.append([score(frame) for frame in frames])
    return auroc(*scores)
