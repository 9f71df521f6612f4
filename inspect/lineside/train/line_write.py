"""From changed numbers to a bundle: the contract with its lineage, the graph, its proof, vectors, pages.

The graph is the parent's with other numbers in it; it is proven again, on the frames that it was changed by and on
disturbed copies of them, against the slow reference of the head, before it is written.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lineside import __version__
from lineside.capture.known_looks import LOOKS_FILE
from lineside.contract import (
    CONTRACT_FILE,
    CONTRACT_VERSION,
    INPUT_FRAME,
    MODEL_FILE,
    Ancestor,
    ClassStatement,
    Contract,
    Fitted,
)
from lineside.contract_thresholds import Threshold
from lineside.export.bundle import reserved
from lineside.export.head_reference import HeadReference
from lineside.export.known_images import LOCK_FILE
from lineside.export.parity import Kind, ParityCase, ParityRecord, prove_parity
from lineside.export.sbom import SBOM_FILE, bill_of_materials
from lineside.export.state import STATE_FILE, pack_state
from lineside.export.threshold_images import THRESHOLD_IMAGES_FILE
from lineside.export.vectors import Candidate, make_vectors
from lineside.graph.rewrite import constants, with_outputs
from lineside.graph.run import Graph
from lineside.graph.tap_map import with_tap_maps
from lineside.synth.disturb import disturbed
from lineside.train.class_statement import voided
from lineside.train.deploy import gate_by_contract, tolerance_of, with_thresholds
from lineside.train.line_card import PARENT_FOLDER, line_card
from lineside.train.line_class_graph import class_proof, with_class_part
from lineside.train.line_head import head_values
from lineside.train.line_parent import UNLABELLED, LineImage, Opened, Parent
from lineside.train.line_result import Changed
from lineside.train.line_taps import SlowTaps
from lineside.train.progress import Journal
from lineside.train.proofs import parity_table
from lineside.train.tail import finding_floor
from lineside.transfer.head import REGION

if TYPE_CHECKING:
    import onnx

Array = npt.NDArray[np.generic]
Pixels = npt.NDArray[np.uint8]
Scorer = Callable[[Pixels], tuple[float, Array]]

LINE_FILE = "line.json"
KEPT = (
    LOCK_FILE,
    LOOKS_FILE,
    THRESHOLD_IMAGES_FILE,
)
"""Files of the parent that hold for the changed bundle too; its record and pages move into `PARENT_FOLDER`."""
MOVED = ("card.md", "report.html", "training.json", "parity.csv", SBOM_FILE, LINE_FILE)
PROVEN = 24
"""Frames, evenly chosen, that the changed graph is proven on, each as it is and disturbed."""


@dataclass(frozen=True)
class LineRecord:
    """What a change of a bundle leaves behind for those who read."""

    contract: Contract
    out: Path
    parent: Path
    model_sha256: str
    changed: Changed
    old_threshold: Threshold
    proofs: tuple[ParityRecord, ...]
    decisions: tuple[str, ...]
    stage_seconds: tuple[tuple[str, float], ...]

    def to_json(self) -> str:
        """Return ``line.json``."""
        lineage = [dataclasses.asdict(ancestor) for ancestor in self.contract.lineage]
        document = {
            "how": self.changed.how,
            "lineage": lineage,
            "decisions": list(self.decisions),
            "numbers": {name: float(value) for name, value in self.changed.facts.items()},
            "threshold": {"before": self.old_threshold.value, "after": self.contract.threshold_ng.value},
            "parity": {
                "frames": len(self.proofs),
                "worst_difference_rel": max(proof.difference_rel for proof in self.proofs),
            },
            "stage_seconds": {name: round(seconds, 3) for name, seconds in self.stage_seconds},
        }
        return json.dumps(document, indent=1) + "\n"


Pages = Callable[[LineRecord], Mapping[str, bytes]]


def change_bundle(
    parent: Opened,
    images: Sequence[LineImage],
    change: Callable[[], Changed],
    out: Path,
    journal: Journal,
    pages: Pages | None,
) -> LineRecord:
    """Change a bundle, prove it and write it.

    Parameters
    ----------
    parent : Opened
    images : sequence of LineImage
        To prove it on, and to take vectors from.
    change : callable
        Finds the new numbers.
    out : Path
        Folder of the new bundle; may be the parent's own, which is then kept as ``<out>.previous``.
    journal : Journal
    pages : callable or None
        Makes further files of the bundle.

    Raises
    ------
    UsageError
        When the frames do not allow the change; nothing is written.
    ParityError
        When the changed graph and its reference disagree; nothing is written.
    """
    with reserved(out) as write:
        changed = change()
        contract = changed_contract(parent, changed)
        model = changed_model(parent.model, changed, contract)
        content = bytes(model.SerializeToString(deterministic=True))
        cases = _cases(images, parent.seed, "train" if changed.classes else "calibration")
        proofs = _proven(model, content, contract, parent, cases, journal)
        journal.stage("vectors")
        vectors = make_vectors(Graph(content), contract, [Candidate(case.name, case.load()) for case in cases])
        record = LineRecord(
            contract,
            out,
            parent.folder,
            hashlib.sha256(content).hexdigest(),
            changed,
            parent.contract.threshold_ng,
            proofs,
            tuple(journal.decisions),
            journal.seconds(),
        )
        journal.stage("bundle")
        write(
            {
                MODEL_FILE: content,
                CONTRACT_FILE: contract.to_json().encode(),
                **_state_file(parent, changed),
                "parity.csv": parity_table(proofs),
                LINE_FILE: record.to_json().encode(),
                SBOM_FILE: bill_of_materials(contract, record.model_sha256).encode(),
                "card.md": line_card(record.changed, contract, record.old_threshold, record.decisions).encode(),
                **vectors,
                **_of_parent(parent.folder),
                **_taken_from(changed),
                **(pages(record) if pages else {}),
            }
        )
    return record


def changed_contract(parent: Opened, changed: Changed) -> Contract:
    """Return the parent's contract with what changed, and with its lineage."""
    old = parent.contract
    ancestor = Ancestor(changed.how, parent.sha256, changed.frames, changed.statement)
    counts = dict(old.image_counts)
    for name, count in changed.counted.items():
        counts[name] = counts.get(name, 0) + count
    return replace(
        old,
        contract_version=CONTRACT_VERSION,
        threshold_ng=changed.threshold,
        threshold_review=changed.review or changed.threshold,
        escapes=changed.escapes,
        map_threshold=old.map_threshold if changed.map_threshold is None else changed.map_threshold,
        quality_limits=changed.quality_limits,
        findings=changed.findings,
        image_counts=counts,
        class_names=changed.classes.names if changed.classes else old.class_names,
        classes=_class_statement(old, changed),
        fitted=(*old.fitted, Fitted(f"{changed.how} with {changed.frames} frames", _crossfit(changed))),
        software={**old.software, "lineside": __version__},
        lineage=(ancestor, *old.lineage),
    )


def _class_statement(old: Contract, changed: Changed) -> ClassStatement | None:
    if changed.classes:
        return changed.classes.statement
    return voided(old.classes) if changed.how == "adapted" and old.classes else old.classes


def _crossfit(changed: Changed) -> str:
    if changed.classes:
        return "class head fitted again on old and new examples, its accuracy by cross-validation over their parts"
    return {
        "adapted": "each frame scored by maps of the other folds' frames; limits and familiarity learned from all",
        "extended": "new good frames scored by heads extended without them; old scores are those of the parent",
        "calibrated": "nothing; thresholds alone were taken from them, by the deployed graph's own scores",
    }[changed.how]


def _state_file(parent: Opened, changed: Changed) -> dict[str, bytes]:
    if changed.state is None:
        return {}
    classes = changed.classes.arrays if changed.classes else {}
    return {STATE_FILE: pack_state({**parent.arrays, **changed.state.arrays(), **classes})}


def _taken_from(changed: Changed) -> dict[str, bytes]:
    """Name the images of new thresholds, in place of those of the parent's."""
    return {} if changed.taken_from is None else {THRESHOLD_IMAGES_FILE: pack_state(changed.taken_from.arrays())}


def changed_model(model: "onnx.ModelProto", changed: Changed, contract: Contract) -> "onnx.ModelProto":
    """Return the graph with its new numbers, thresholds and contract."""
    if changed.classes:
        model = with_class_part(model, contract, changed.classes.fit)
    return with_thresholds(with_tap_maps(model, changed.maps), contract, changed.numbers)


def _cases(images: Sequence[LineImage], seed: int, labelled: Kind) -> tuple[ParityCase, ...]:
    chosen = np.unique(np.linspace(0, len(images) - 1, min(PROVEN, len(images))).round().astype(int))
    cases: list[ParityCase] = []
    for number in chosen:
        image = images[number]
        kind: Kind = "calibration" if image.label == UNLABELLED else labelled
        cases.append(ParityCase(image.name, kind, image.label, image.load))
        worse = _disturbed_later(image, seed + int(number))
        cases.append(ParityCase(f"{image.name} (disturbed)", "disturbed", image.label, worse))
    return tuple(cases)


def _disturbed_later(image: LineImage, seed: int) -> Callable[[], Pixels]:
    return lambda: disturbed(image.load(), seed)


def _proven(
    model: "onnx.ModelProto",
    content: bytes,
    contract: Contract,
    parent: Opened,
    cases: Sequence[ParityCase],
    journal: Journal,
) -> tuple[ParityRecord, ...]:
    """Compare the changed graph with the slow reference of its head, on features of the same graph.

    Of a bundle without state the head's shape is not known; only its thresholds can have changed, and it is compared
    with its parent's scores.
    """
    journal.stage("parity", len(cases))
    floor, classes = finding_floor(contract.threshold_ng), None
    if isinstance(parent, Parent):
        score_of = _slow_score(model, parent)
        classes = class_proof(model, contract, parent.state.shape)
    else:
        score_of = _old_score(parent)

    def reference(frame: Pixels) -> float:
        score, numbers = score_of(frame)
        quality = dict(zip(contract.quality_names, numbers.astype(np.float32).tolist(), strict=True))
        return max(score, floor) if contract.found(quality) else score

    limits = contract.threshold_ng, contract.threshold_review
    gate = partial(gate_by_contract, contract)
    tolerance = tolerance_of(contract)
    proofs = prove_parity(Graph(content), reference, *limits, cases, journal.step, gate, classes, tolerance)
    worst = max(proof.difference_rel for proof in proofs)
    flipped = "no verdict and no class flipped" if classes else "no verdict flipped"
    journal.note(f"Parity: {len(proofs)} frames, {flipped}, scores differ by at most {worst:.0e}.")
    return proofs


def _slow_score(model: "onnx.ModelProto", parent: Parent) -> Scorer:
    """Return what gives a frame's score by the definitions of map and head, and its quality numbers."""
    shape, taps = parent.state.shape, SlowTaps(model, parent.taps)
    head = HeadReference(shape, head_values(constants(model), shape))
    features = Graph(with_outputs(model, (*taps.names, REGION)))

    def score(frame: Pixels) -> tuple[float, Array]:
        out = features({INPUT_FRAME: frame[None]}, (*taps.names, REGION, "quality"))
        return head.score(taps(out), out[REGION].astype(np.float32)), out["quality"][0]

    return score


def _old_score(parent: Opened) -> Scorer:
    """Return what gives a frame's score by the parent's graph, and its quality numbers."""
    graph = Graph(with_outputs(parent.model, ("patch_score",)))

    def score(frame: Pixels) -> tuple[float, Array]:
        out = graph({INPUT_FRAME: frame[None]}, ("patch_score", "quality"))
        return float(out["patch_score"][0]), out["quality"][0]

    return score


def _of_parent(folder: Path) -> dict[str, bytes]:
    """Files of the parent that the changed bundle keeps, its pages in a folder of their own."""
    kept = {name: folder / name for name in KEPT}
    kept |= {f"{PARENT_FOLDER}/{name}": folder / name for name in MOVED}
    return {name: path.read_bytes() for name, path in kept.items() if path.is_file()}
