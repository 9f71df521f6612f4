"""From a fitted head and its threshold to the deployed graph: contract, assembly, proof."""

import hashlib
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lineside import __version__
from lineside.bit_depth import depth_rule
from lineside.calibrate.map_level import level_of_goods
from lineside.contract import CONTRACT_VERSION, INPUT_THRESHOLDS, METADATA_KEY, MODEL_FILE, Contract, Fitted, FrameSpec
from lineside.data_lock import data_sha256
from lineside.dataset import Dataset
from lineside.export.assemble import assemble
from lineside.export.decision import FINDING_FLOOR, UNFAMILIAR_LIMIT, export_decision
from lineside.export.parity import ClassProof, ParityCase, ParityRecord, Tolerance, prove_parity
from lineside.graph.join import set_metadata
from lineside.graph.rewrite import constants, read_model, with_constants
from lineside.graph.run import Graph
from lineside.image_files import read_content
from lineside.normalise.front import GATE_LIMITS
from lineside.normalise.gate_limits import NO_LIMIT
from lineside.normalise.gate_rules import GATE_BITS, GATE_WORDS, RULES, UNFAMILIAR
from lineside.recipe import LoadedRecipe
from lineside.train.calibration import Calibration
from lineside.train.class_statement import statement_of
from lineside.train.images import FrameReader
from lineside.train.method import FittedHead, Method
from lineside.train.precision import stated_precision, tolerance_rel
from lineside.train.progress import Journal
from lineside.train.tail import decision_settings, finding_floor, findings
from lineside.train.together import one_thread_each

if TYPE_CHECKING:
    import onnx

Pixels = npt.NDArray[np.uint8]

NOVELTY = "novelty"
"""Name of the quality number that the embedding gives."""
NEUTRAL_OUTPUTS = {
    "defect_class": "-1: no class was looked for",
    "class_prob": "no columns",
    "class_p_value": "1: no class was looked for",
}
CLASSES_FITTED = (
    Fitted(
        "class head",
        "fitted on the defective training images, which have no say in score and threshold; its "
        "accuracy by cross-validation over their parts",
    ),
)
NO_POSE = {"pose": "0, 0, 0, 1, 0: no pose was looked for"}
SOFTWARE = ("torch", "torchvision", "timm", "anomalib", "albumentations", "onnx", "onnxscript", "onnxruntime", "numpy")


def assembled(head: FittedHead, contract: Contract) -> bytes:
    """Return the deployed graph."""
    floor = np.array([finding_floor(contract.threshold_ng)], np.float32)
    settings = decision_settings(head.front.decision.settings, head.classes, contract.tolerances)
    parts = (*head.parts, ("decision", export_decision(settings)))
    model = assemble(head.front.trunk.joined({}), parts, {**head.constants, FINDING_FLOOR: floor}, contract)
    return bytes(model.SerializeToString(deterministic=True))


def rethresholded(model: bytes, contract: Contract) -> bytes:
    """Return the deployed graph with the thresholds of another contract, and with that contract inside."""
    made = with_thresholds(read_model(model, MODEL_FILE), contract)
    return bytes(made.SerializeToString(deterministic=True))


def with_thresholds(
    model: "onnx.ModelProto", contract: Contract, numbers: Mapping[str, npt.NDArray[np.generic]] | None = None
) -> "onnx.ModelProto":
    """Return a deployed graph with a contract's thresholds, that contract inside, and further fitted numbers."""
    limits = dict(zip(INPUT_THRESHOLDS, (contract.threshold_ng, contract.threshold_review), strict=True))
    written = {**(numbers or {}), **{name: np.array([limit.value], np.float32) for name, limit in limits.items()}}
    if FINDING_FLOOR in constants(model):
        written[FINDING_FLOOR] = np.array([finding_floor(contract.threshold_ng)], np.float32)
    made = with_constants(model, written)
    set_metadata(made, {METADATA_KEY: contract.to_json()})
    return made


def contract_of(
    loaded: LoadedRecipe, dataset: Dataset, reader: FrameReader, method: Method, calibration: Calibration
) -> Contract:
    """Return the document that travels inside the graph."""
    recipe, head = loaded.recipe, calibration.head
    settings, level = head.front.decision.settings, level_of_goods(calibration.map_peaks)
    return Contract(
        contract_version=CONTRACT_VERSION,
        part=recipe.part,
        frame=FrameSpec(reader.channels, reader.bit_depth, depth_rule(reader.bit_depth)),
        working_wh=settings.working_wh,
        map_wh=method.map_wh,
        threshold_ng=calibration.threshold,
        threshold_review=calibration.review,
        escapes=calibration.escapes,
        least_defect=method.least_defect,
        regions=method.regions,
        class_factors=recipe.calibrate.class_factors or {},
        map_threshold=level.value,
        map_rule=level.rule,
        class_names=head.classes.names if head.classes else (),
        classes=statement_of(head.classes, dataset, calibration.told, recipe.transfer.classes.unknown),
        gate_bits=GATE_BITS,
        gate_words=GATE_WORDS,
        quality_names=(*settings.gate.quality_names, NOVELTY),
        quality_limits=_quality_limits(head),
        findings=findings(settings, head.finding_limits),
        normalisation=head.front.decision.described,
        neutral_outputs={
            **({} if head.classes else NEUTRAL_OUTPUTS),
            **({} if settings.pose else NO_POSE),
            **method.neutral_outputs,
        },
        embedding=method.embedding,
        score_tolerance_rel=tolerance_rel(recipe.export),
        precision=stated_precision(recipe.export),
        components=method.components,
        fitted=(*method.fitted, *(CLASSES_FITTED if head.classes and head.classes.task == "both" else ())),
        image_counts=dataset.counts(),
        recipe_sha256=loaded.sha256,
        data_sha256=_data_sha256(loaded, dataset),
        software=_software(),
        lineage=(),
    )


def _software() -> dict[str, str]:
    found = {"lineside": __version__, "python": platform.python_version()}
    for package in SOFTWARE:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def proven(
    graph: Graph, head: FittedHead, contract: Contract, cases: Sequence[ParityCase], journal: Journal
) -> tuple[ParityRecord, ...]:
    """Prove the deployed graph on every case, and say how it went."""
    journal.stage("parity", len(cases))
    floor = finding_floor(contract.threshold_ng)

    def reference(frame: Pixels) -> float:
        return head.reference(frame).score(floor)

    def gate(quality: npt.NDArray[np.float32]) -> int:
        return gate_by_contract(contract, quality)

    limits = contract.threshold_ng, contract.threshold_review
    told = head.classes
    classes = ClassProof(told.answer, told.defects, told.names_ok) if told else None
    with one_thread_each():  # cases are proven side by side
        proofs = prove_parity(graph, reference, *limits, cases, journal.step, gate, classes, tolerance_of(contract))
    worst = max(proof.difference_rel for proof in proofs)
    journal.note(
        f"Parity: {len(proofs)} frames, no verdict {'and no class ' if told else ''}flipped, scores differ by at most "
        f"{worst:.0e}, relative to the larger of score and threshold."
    )
    return proofs


def tolerance_of(contract: Contract) -> Tolerance | None:
    """Return what the proof must know of tolerated classes; None where there are none."""
    if not contract.class_factors:
        return None

    def found(quality: npt.NDArray[np.float32]) -> bool:
        return bool(contract.found(dict(zip(contract.quality_names, quality.tolist(), strict=True))))

    return Tolerance(contract.tolerances, found)


def gate_by_contract(contract: Contract, quality: npt.NDArray[np.float32]) -> int:
    """Return the gate's bits by the limits that the contract publishes, the slow twin of the graph's own."""
    gate = 0
    for name, value, (low, high) in zip(contract.quality_names, quality, contract.quality_limits, strict=True):
        bit = UNFAMILIAR if name == NOVELTY else _bit_of(name)
        beyond = (low is not None and value < np.float32(low)) or (high is not None and value > np.float32(high))
        if bit is not None and (beyond or not np.isfinite(value)):
            gate |= 1 << bit
    return gate


def _bit_of(name: str) -> int | None:
    bit = RULES[name].bit
    return None if bit is None else GATE_BITS.index(bit)


def _data_sha256(loaded: LoadedRecipe, dataset: Dataset) -> str:
    """Of the dataset, and of the images that the recipe names beside it."""
    named = [loaded.resolve(path) for paths in loaded.recipe.named_images.values() for path in paths]
    images = data_sha256(dataset)
    if not named:
        return images
    contents = "".join(hashlib.sha256(read_content(path)).hexdigest() for path in named)
    return hashlib.sha256((images + contents).encode()).hexdigest()


def _quality_limits(head: FittedHead) -> tuple[tuple[float | None, float | None], ...]:
    """Limits of the gate by column of quality, novelty's last."""

    def bound(value: float) -> float | None:
        return None if abs(value) >= NO_LIMIT else float(np.float32(value))

    learned = [(bound(low), bound(high)) for low, high in head.front.decision.values[GATE_LIMITS].tolist()]
    return (*learned, (None, bound(float(head.constants[UNFAMILIAR_LIMIT][0]))))
