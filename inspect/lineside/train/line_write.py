"""From changed numbers to a bundle: the contract with its lineage, the graph, its proof, vectors, pages.

The graph is the parent's with other numbers in it; it is proven again, on the frames that it was changed by and on
disturbed copies of them, against the slow reference of the head, before it is written.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lineside import __version__
from lineside.contract import (
    CONTRACT_FILE,
    CONTRACT_VERSION,
    INPUT_FRAME,
    METADATA_KEY,
    MODEL_FILE,
    Ancestor,
    Contract,
    Fitted,
    Threshold,
)
from lineside.export.bundle import reserved
from lineside.export.decision import FINDING_FLOOR
from lineside.export.parity import ParityCase, ParityRecord, prove_parity, reference_score
from lineside.export.state import STATE_FILE, pack_state
from lineside.export.vectors import Candidate, make_vectors
from lineside.graph.join import set_metadata
from lineside.graph.rewrite import constants, with_constants, with_outputs
from lineside.graph.run import Graph
from lineside.normalise.gate_rules import GATE_BITS, RULES, UNFAMILIAR
from lineside.synth.disturb import disturbed
from lineside.train.line_parent import LineImage, Parent, head_values
from lineside.train.line_result import Changed
from lineside.train.progress import Journal
from lineside.train.proofs import parity_table
from lineside.train.tail import finding_floor
from lineside.transfer.head import REGION

if TYPE_CHECKING:
    import onnx

Pixels = npt.NDArray[np.uint8]

LINE_FILE = "line.json"
KEPT = ("recipe.lock.yaml",)
"""Files of the parent that hold for the changed bundle too; its record and pages move into `PARENT_FOLDER`."""
MOVED = ("card.md", "report.html", "training.json", "parity.csv", LINE_FILE)
PARENT_FOLDER = "parent"
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
    parent: Parent,
    images: Sequence[LineImage],
    change: Callable[[], Changed],
    out: Path,
    journal: Journal,
    pages: Pages | None,
) -> LineRecord:
    """Change a bundle, prove it and write it.

    Parameters
    ----------
    parent : Parent
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
        cases = _cases(images, parent.state.seed)
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
                STATE_FILE: pack_state({**parent.arrays, **changed.state.arrays()}),
                "parity.csv": parity_table(proofs),
                LINE_FILE: record.to_json().encode(),
                "card.md": line_card(record).encode(),
                **vectors,
                **_of_parent(parent.folder),
                **(pages(record) if pages else {}),
            }
        )
    return record


def changed_contract(parent: Parent, changed: Changed) -> Contract:
    """Return the parent's contract with what changed, and with its lineage."""
    old = parent.contract
    ancestor = Ancestor(changed.how, parent.sha256, changed.frames, changed.statement)
    counts = dict(old.image_counts)
    for name, count in changed.counted.items():
        counts[name] = counts.get(name, 0) + count
    words = {
        "adapted": "each frame scored by maps of the other folds' frames; limits and familiarity learned from all",
        "extended": "new good frames scored by heads extended without them; old scores are those of the parent",
    }[changed.how]
    return replace(
        old,
        contract_version=CONTRACT_VERSION,
        threshold_ng=changed.threshold,
        threshold_review=changed.threshold,
        map_threshold=old.map_threshold if changed.map_threshold is None else changed.map_threshold,
        quality_limits=changed.quality_limits,
        findings=changed.findings,
        image_counts=counts,
        fitted=(*old.fitted, Fitted(f"{changed.how} with {changed.frames} frames", words)),
        software={**old.software, "lineside": __version__},
        lineage=(ancestor, *old.lineage),
    )


def changed_model(model: "onnx.ModelProto", changed: Changed, contract: Contract) -> "onnx.ModelProto":
    """Return the graph with its new numbers, thresholds and contract."""
    limit = contract.threshold_ng
    numbers = dict(changed.numbers)
    numbers["threshold_ng"] = numbers["threshold_review"] = np.array([limit.value], np.float32)
    if FINDING_FLOOR in constants(model):
        numbers[FINDING_FLOOR] = np.array([finding_floor(limit)], np.float32)
    made = with_constants(model, numbers)
    set_metadata(made, {METADATA_KEY: contract.to_json()})
    return made


def _cases(images: Sequence[LineImage], seed: int) -> tuple[ParityCase, ...]:
    chosen = np.unique(np.linspace(0, len(images) - 1, min(PROVEN, len(images))).round().astype(int))
    cases: list[ParityCase] = []
    for number in chosen:
        image = images[number]
        cases.append(ParityCase(image.name, "calibration", "unlabelled", image.load))
        worse = _disturbed_later(image, seed + int(number))
        cases.append(ParityCase(f"{image.name} (disturbed)", "disturbed", "unlabelled", worse))
    return tuple(cases)


def _disturbed_later(image: LineImage, seed: int) -> Callable[[], Pixels]:
    return lambda: disturbed(image.load(), seed)


def _proven(
    model: "onnx.ModelProto",
    content: bytes,
    contract: Contract,
    parent: Parent,
    cases: Sequence[ParityCase],
    journal: Journal,
) -> tuple[ParityRecord, ...]:
    """Compare the changed graph with the slow reference of its head, on features of the same graph."""
    journal.stage("parity", len(cases))
    shape, taps = parent.state.shape, parent.taps
    values = head_values(constants(model), shape)
    features = Graph(with_outputs(model, (*taps, REGION)))
    floor = finding_floor(contract.threshold_ng)

    def reference(frame: Pixels) -> float:
        out = features({INPUT_FRAME: frame[None]}, (*taps, REGION, "quality"))
        seen = {i: out[name].astype(np.float32) for i, name in enumerate(taps)}
        score = reference_score(shape, values, seen, out[REGION].astype(np.float32))
        quality = dict(zip(contract.quality_names, out["quality"][0].astype(np.float32).tolist(), strict=True))
        return max(score, floor) if contract.found(quality) else score

    limits = contract.threshold_ng, contract.threshold_review
    proofs = prove_parity(Graph(content), reference, *limits, cases, journal.step, lambda q: _gate_of(contract, q))
    worst = max(proof.difference_rel for proof in proofs)
    journal.note(f"Parity: {len(proofs)} frames, no verdict flipped, scores differ by at most {worst:.0e}.")
    return proofs


def _gate_of(contract: Contract, quality: npt.NDArray[np.float32]) -> int:
    """Return the gate's bits by the contract's limits, the slow twin of the graph's."""
    gate = 0
    last = contract.quality_names[-1]
    for name, value, (low, high) in zip(contract.quality_names, quality, contract.quality_limits, strict=True):
        named = None if name == last else RULES[name].bit
        bit = UNFAMILIAR if name == last else None if named is None else GATE_BITS.index(named)
        beyond = (low is not None and value < np.float32(low)) or (high is not None and value > np.float32(high))
        if bit is not None and (beyond or not np.isfinite(value)):
            gate |= 1 << bit
    return gate


def _of_parent(folder: Path) -> dict[str, bytes]:
    """Files of the parent that the changed bundle keeps, its pages in a folder of their own."""
    kept = {name: folder / name for name in KEPT}
    kept |= {f"{PARENT_FOLDER}/{name}": folder / name for name in MOVED}
    return {name: path.read_bytes() for name, path in kept.items() if path.is_file()}


def line_card(record: LineRecord) -> str:
    """Return ``card.md`` of a changed bundle."""
    contract, limit = record.contract, record.contract.threshold_ng
    lines = [
        f"# {contract.part}: model card",
        "",
        f"This model was not trained by itself: it was {record.changed.how} from another. The card, report and record "
        f"of that one are in `{PARENT_FOLDER}/`; what they say of threshold, evaluation and guarantee is about that "
        "one alone.",
        "",
        "## Lineage",
        "",
        *(f"- {a.how} from model `{a.parent_sha256[:12]}`: {a.statement}" for a in contract.lineage),
        "",
        "## Threshold and what it is worth",
        "",
        f"NG when score > {limit.value:.6g} ({limit.rule}); before {record.old_threshold.value:.6g}.",
        "",
        f"**{limit.kind.capitalize()}.** {limit.statement}",
        "",
        "## What was decided",
        "",
        *(f"- {decision}" for decision in record.decisions),
        "",
        "## Images",
        "",
        *(f"- {name}: {count}" for name, count in contract.image_counts.items()),
        "",
        "## Limits",
        "",
        "- Nothing was evaluated on labelled images of the changed line: of overkill and escapes nothing is known.",
        "- Light, pose and picture quality beyond those of the frames at hand were not tested.",
    ]
    return "\n".join(lines) + "\n"
