"""The training run: the stages in their order, and nothing of how each is done.

The deployed graph is assembled before it is judged, and everything said of it (evaluation, parity, vectors) is what
that very graph returned.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from lineside.capture.folder import frame_channels
from lineside.contract import CONTRACT_FILE, MODEL_FILE, Contract, Verdict
from lineside.dataset import Dataset, load_dataset, lock_document
from lineside.errors import UsageError
from lineside.export.bundle import reserved
from lineside.export.parity import ParityRecord
from lineside.export.vectors import VECTORS_FILE, make_vectors
from lineside.graph.run import Graph
from lineside.recipe import LoadedRecipe
from lineside.train.calibration import Calibration, calibrated
from lineside.train.card import card
from lineside.train.deploy import assembled, contract_of, proven
from lineside.train.evaluate import evaluate
from lineside.train.images import FrameReader, References
from lineside.train.method import FittedHead, Method
from lineside.train.progress import Journal, Progress, SilentProgress
from lineside.train.proofs import parity_cases, parity_table, unseen, vector_candidates
from lineside.train.record import FrontRecord, ScoredImage, TrainingRecord
from lineside.transfer.adaptation_gate import Outcome
from lineside.transfer.augment import Augmenter
from lineside.transfer.bridge_catalog import check_method

Pages = Callable[[TrainingRecord], Mapping[str, bytes]]
"""Makes further files of the bundle, such as its report, from the record."""


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
        calibration = calibrated(loaded, method, references, journal)
        journal.stage("assembly")
        contract = contract_of(loaded, dataset, references.reader, method, calibration)
        model = assembled(calibration.head, contract)
        graph = Graph(model)
        cases = parity_cases(dataset, references, loaded.recipe.seed, calibration.own)
        proofs = proven(graph, calibration.head, contract, cases, journal)
        journal.stage("vectors")
        vectors = make_vectors(graph, contract, vector_candidates(cases, proofs))
        made = proofs, vectors, method.adaptation
        record = _record(contract, out, model, dataset, references, calibration, *made, journal)
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


def _record(
    contract: Contract,
    out: Path,
    model: bytes,
    dataset: Dataset,
    references: References,
    calibration: Calibration,
    proofs: Sequence[ParityRecord],
    vectors: Mapping[str, bytes],
    adaptation: Outcome | None,
    journal: Journal,
) -> TrainingRecord:
    by_name = {proof.name: proof for proof in proofs}
    tested = tuple(
        ScoredImage(s.name, s.path, s.label, proof.score, proof.verdict, contract.reasons(proof.gate))
        for s, proof in ((sample, by_name[sample.name]) for sample in unseen(dataset))
    )
    limit = contract.threshold_ng.value
    calibrated = tuple(
        ScoredImage(sample.name, sample.path, sample.label, score, Verdict(int(score > limit)).name)
        for sample, score in ((references.samples[i], score) for i, score in sorted(calibration.scores.items()))
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
        front=_front(contract, calibration.head, references),
        adaptation=adaptation,
        decisions=tuple(journal.decisions),
        stage_seconds=journal.seconds(),
        model=model,
    )


def _front(contract: Contract, head: FittedHead, references: References) -> FrontRecord:
    """Gather what was decided of light and pose, and the quality numbers of the good frames behind it."""
    positions = range(len(references.samples))
    quality = head.front.outputs["front_quality"][references.rows(positions, with_copies=False)]
    novelty = np.array([[one.novelty] for one in head.judge(positions)])
    columns = np.concatenate([quality.astype(np.float64), novelty], axis=1).T  # [q, n], as the contract names them
    decision = head.front.decision
    return FrontRecord(
        words=decision.words,
        numbers=decision.numbers,
        golden=np.clip(np.rint(decision.golden.transpose(1, 2, 0)), 0, 255).astype(np.uint8),
        good_ranges={
            name: (float(values.min()), float(values.max()))
            for name, values in zip(contract.quality_names, columns, strict=True)
        },
    )
