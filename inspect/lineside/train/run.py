"""The training run: the stages in their order, and nothing of how each is done.

The deployed graph is assembled before it is judged, and everything said of it (evaluation, parity, vectors) is what
that very graph returned.
"""

import hashlib
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from lineside import __version__
from lineside.calibrate.crossfit import grouped_folds, holdout
from lineside.calibrate.threshold import overkill_threshold
from lineside.capture.folder import frame_channels
from lineside.contract import (
    CONTRACT_FILE,
    CONTRACT_VERSION,
    MODEL_FILE,
    Contract,
    FrameSpec,
    Threshold,
    Verdict,
    depth_rule,
)
from lineside.dataset import Dataset, data_sha256, load_dataset, lock_document
from lineside.errors import UsageError
from lineside.export.assemble import assemble
from lineside.export.bundle import reserved
from lineside.export.parity import TOLERANCE_REL as SCORE_TOLERANCE_REL
from lineside.export.parity import ParityCase, ParityRecord, prove_parity
from lineside.export.vectors import VECTORS_FILE, make_vectors
from lineside.graph.run import Graph
from lineside.normalise.front import GATE_BITS, GATE_WORDS, QUALITY_NAMES
from lineside.recipe import LoadedRecipe
from lineside.train.card import card
from lineside.train.evaluate import evaluate
from lineside.train.images import FrameReader, References
from lineside.train.method import FittedHead, Method
from lineside.train.progress import Journal, Progress, SilentProgress
from lineside.train.proofs import parity_cases, parity_table, unseen, vector_candidates
from lineside.train.record import ScoredImage, TrainingRecord
from lineside.transfer.augment import Augmenter
from lineside.transfer.bridge_catalog import check_method

Pages = Callable[[TrainingRecord], Mapping[str, bytes]]
"""Makes further files of the bundle, such as its report, from the record."""

NEUTRAL_OUTPUTS = {
    "pose": "0, 0, 0, 1, 0: no pose was looked for",
    "defect_class": "-1: no class was looked for",
    "class_prob": "no columns",
}
SOFTWARE = ("torch", "torchvision", "timm", "anomalib", "albumentations", "onnx", "onnxscript", "onnxruntime", "numpy")


def train(
    loaded: LoadedRecipe, out: Path, *, progress: Progress | None = None, pages: Pages | None = None
) -> TrainingRecord:
    """Train a recipe and write its bundle.

    Parameters
    ----------
    loaded : LoadedRecipe
    out : Path
        Folder of the bundle; replaced in one step, the old one is kept as ``<out>.previous``.
    progress : Progress, optional
        Is told stages, steps and decisions.
    pages : callable, optional
        Makes further files of the bundle from the record.

    Raises
    ------
    RecipeError, UsageError, ImageError, StorageError
        When recipe, images or target are wrong; before anything is written.
    ParityError
        When the assembled graph is not the evaluated one; nothing is written.
    """
    journal = Journal(progress or SilentProgress())
    check_method(loaded)
    _refuse_inside_images(loaded, out)
    with reserved(out) as write:
        journal.stage("images")
        dataset = load_dataset(loaded)
        references = _references(loaded, dataset)
        method = _method(loaded, references, journal)
        head, calibration, threshold = _calibrated(loaded, method, references, journal)
        journal.stage("assembly")
        contract = _contract(loaded, dataset, references.reader, method, threshold)
        model = assemble(method.trunk.model, head.model, head.constants, contract).SerializeToString(deterministic=True)
        graph = Graph(model)
        recorded = calibration if threshold.kind == "guaranteed" else {}
        cases = parity_cases(dataset, references, loaded.recipe.seed, recorded)
        proofs = _proven(graph, head, contract, cases, journal)
        journal.stage("vectors")
        vectors = make_vectors(graph, contract, vector_candidates(cases, proofs))
        record = _record(contract, out, model, dataset, references, calibration, proofs, vectors, journal)
        journal.stage("bundle")
        files = {
            MODEL_FILE: model,
            CONTRACT_FILE: contract.to_json().encode(),
            "recipe.lock.yaml": lock_document(loaded, dataset).encode(),
            "parity.csv": parity_table(proofs),
            "training.json": record.to_json().encode(),
            "card.md": card(record).encode(),
            **vectors,
            **(pages(record) if pages else {}),
        }
        write(files)
    return record


def _refuse_inside_images(loaded: LoadedRecipe, out: Path) -> None:
    if out.resolve().is_relative_to(loaded.images_dir.resolve()):
        raise UsageError(
            f"{out}: lies inside the images ({loaded.images_dir}), where the next training would find the bundle's own "
            "pictures. Choose another --out."
        )


def _references(loaded: LoadedRecipe, dataset: Dataset) -> References:
    recipe = loaded.recipe
    goods = dataset.select("train", good=True)
    if len({sample.group for sample in goods}) < 2:
        raise UsageError(f"{loaded.images_dir}: training needs good images of at least 2 parts, found {len(goods)}.")
    setting = recipe.transfer.augment
    if recipe.transfer.method != "lineside" and setting == "default":
        setting = "none"  # anomalib's models bring their own idea of what to fit on
    return References(
        samples=goods,
        reader=FrameReader(frame_channels(loaded, dataset), recipe.capture.bit_depth),
        augmenter=Augmenter(setting, recipe.seed),
        copies=recipe.transfer.augment_copies,
    )


def _method(loaded: LoadedRecipe, references: References, journal: Journal) -> Method:
    if loaded.recipe.transfer.method == "lineside":
        from lineside.train.native import NativeMethod

        return NativeMethod(loaded, references, journal)
    from lineside.train.bridged import BridgedMethod

    return BridgedMethod(loaded, references, journal)


def _calibrated(
    loaded: LoadedRecipe, method: Method, references: References, journal: Journal
) -> tuple[FittedHead, dict[int, float], Threshold]:
    """Fit the deployed head, and find its threshold from honest scores, which are returned by position."""
    calibrate, seed = loaded.recipe.calibrate, loaded.recipe.seed
    groups = [sample.group for sample in references.samples]
    held_out = calibrate.crossfit == "holdout" or (calibrate.crossfit == "auto" and method.prefers_holdout)
    folds = (holdout(groups, seed),) if held_out else grouped_folds(groups, calibrate.folds, seed)
    words = "held-out parts" if held_out else f"cross-fitted in {len(folds)} folds by part"
    scores: dict[int, float] = {}
    for number, fold in enumerate(folds, 1):
        journal.stage("hold-out" if held_out else f"cross-fitting, fold {number} of {len(folds)}")
        head = method.fit(fold.fit)
        called = [position for position in fold.score if not head.refused(position)]
        scores.update(zip(called, head.score(called).tolist(), strict=True))
    if not held_out:
        journal.stage("head on all good frames")
        head = method.fit(range(len(groups)))
    _check_scores(scores, sum(len(fold.score) for fold in folds), references, journal)
    positions = sorted(scores)
    threshold = overkill_threshold(
        np.array([scores[i] for i in positions], np.float32),
        [groups[i] for i in positions],
        calibrate.overkill,
        crossfit=words,
        held_out=held_out,
    )
    journal.note(f"Threshold {threshold.value:.4g}: {threshold.rule}. {threshold.statement}")
    return head, scores, threshold


def _check_scores(scores: Mapping[int, float], asked: int, references: References, journal: Journal) -> None:
    """Say how many good frames got no call, and refuse scores that are no numbers."""
    if not scores:
        raise UsageError("The front refuses every good frame for its exposure; widen normalise.light.gain_limits.")
    for position, score in scores.items():
        if not np.isfinite(score):
            name = references.samples[position].name
            raise UsageError(f"{name}: the method scores this good image {score}; no threshold can be taken from it.")
    if asked > len(scores):
        journal.note(
            f"{asked - len(scores)} of {asked} good frames are beyond the exposure limits: they get no call and have "
            "no say in the threshold. Look at them, or widen normalise.light.gain_limits."
        )


def _contract(
    loaded: LoadedRecipe, dataset: Dataset, reader: FrameReader, method: Method, threshold: Threshold
) -> Contract:
    recipe = loaded.recipe
    return Contract(
        contract_version=CONTRACT_VERSION,
        part=recipe.part,
        frame=FrameSpec(reader.channels, reader.bit_depth, depth_rule(reader.bit_depth)),
        working_wh=recipe.normalise.working_wh,
        map_wh=method.map_wh,
        threshold_ng=threshold,
        threshold_review=threshold,
        class_names=(),
        gate_bits=GATE_BITS,
        gate_words=GATE_WORDS,
        quality_names=QUALITY_NAMES,
        neutral_outputs={**NEUTRAL_OUTPUTS, **method.neutral_outputs},
        embedding=method.embedding,
        score_tolerance_rel=SCORE_TOLERANCE_REL,
        components=method.components,
        fitted=method.fitted,
        image_counts=dataset.counts(),
        recipe_sha256=loaded.sha256,
        data_sha256=data_sha256(dataset),
        software=_software(),
    )


def _software() -> dict[str, str]:
    found = {"lineside": __version__, "python": platform.python_version()}
    for package in SOFTWARE:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _proven(
    graph: Graph, head: FittedHead, contract: Contract, cases: Sequence[ParityCase], journal: Journal
) -> tuple[ParityRecord, ...]:
    journal.stage("parity", len(cases))
    proofs = prove_parity(graph, head.reference, contract.threshold_ng, contract.threshold_review, cases, journal.step)
    worst = max(proof.difference_rel for proof in proofs)
    journal.note(
        f"Parity: {len(proofs)} frames, no verdict flipped, scores differ by at most {worst:.0e}, relative to "
        "the larger of score and threshold."
    )
    return proofs


def _record(
    contract: Contract,
    out: Path,
    model: bytes,
    dataset: Dataset,
    references: References,
    calibration: Mapping[int, float],
    proofs: Sequence[ParityRecord],
    vectors: Mapping[str, bytes],
    journal: Journal,
) -> TrainingRecord:
    by_name = {proof.name: proof for proof in proofs}
    tested = tuple(
        ScoredImage(s.name, s.path, s.label, by_name[s.name].score, by_name[s.name].verdict) for s in unseen(dataset)
    )
    limit = contract.threshold_ng.value
    calibrated = tuple(
        ScoredImage(sample.name, sample.path, sample.label, score, Verdict(int(score > limit)).name)
        for sample, score in ((references.samples[i], score) for i, score in sorted(calibration.items()))
    )
    return TrainingRecord(
        contract=contract,
        out=out,
        model_sha256=hashlib.sha256(model).hexdigest(),
        model_bytes=len(model),
        calibration=calibrated,
        tested=tested,
        evaluation=evaluate([proof for proof in proofs if proof.kind == "test"]),
        parity_frames=len(proofs),
        parity_worst_rel=max(proof.difference_rel for proof in proofs),
        swap_vector=bool(json.loads(vectors[VECTORS_FILE])["tells_swapped_channels"]),
        decisions=tuple(journal.decisions),
        stage_seconds=journal.seconds(),
        model=model,
    )
