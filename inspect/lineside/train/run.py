"""The training run: the stages in their order, and nothing of how each is done.

The deployed graph is assembled before it is judged, and everything said of it (evaluation, parity, vectors) is what
that very graph returned.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from lineside.capture.copies import Copies, load_grouped
from lineside.capture.folder import frame_channels
from lineside.capture.known_looks import LOOKS_FILE, looks_of
from lineside.contract import CONTRACT_FILE, MODEL_FILE, Contract
from lineside.data_lock import lock_document
from lineside.dataset import Dataset
from lineside.errors import UsageError
from lineside.export.bundle import reserved
from lineside.export.known_images import LOCK_FILE
from lineside.export.parity import ParityRecord, decide
from lineside.export.recorded import VECTORS_FILE
from lineside.export.sbom import SBOM_FILE, bill_of_materials
from lineside.export.state import STATE_FILE, pack_state
from lineside.export.vectors import make_vectors
from lineside.graph.quantise import NotQuantisableError
from lineside.graph.run import Graph
from lineside.recipe import LoadedRecipe
from lineside.train.calibration import Calibration, calibrated
from lineside.train.card import card
from lineside.train.deploy import assembled, contract_of, proven, rethresholded
from lineside.train.evaluate import evaluate, named
from lineside.train.images import FrameReader, References
from lineside.train.line_state import calibration_state
from lineside.train.marks import fitted_to_marks
from lineside.train.method import FittedHead, Method
from lineside.train.precision import CHOSEN, compare, unguaranteed
from lineside.train.progress import Journal, Progress, SilentProgress
from lineside.train.proofs import parity_cases, parity_table, unseen, vector_candidates
from lineside.train.recipe_regions import drawn_regions
from lineside.train.record import Evaluation, FrontRecord, ScoredImage, TrainingRecord
from lineside.train.setup import usual_frame_wh
from lineside.train.sorting_images import sorting_references
from lineside.train.task import Task, class_names, task_of
from lineside.train.thresholds import with_defects
from lineside.transfer.adaptation_gate import Outcome
from lineside.transfer.augment import Augmenter, copies_of
from lineside.transfer.method_check import check_method
from lineside.wish_images import refuse_intolerable, refuse_undecidable

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
        dataset, copies = load_grouped(loaded)
        for words in copies.notes:
            journal.note(words)
        _refuse_single(loaded, dataset)
        deployed = deployable(loaded, dataset, journal)
        references, calibration, contract, model = (
            deployed.references,
            deployed.calibration,
            deployed.contract,
            deployed.model,
        )
        graph = Graph(model)
        cases = parity_cases(dataset, references, loaded.recipe.seed, calibration.own)
        proofs = proven(graph, calibration.head, contract, cases, journal)
        journal.stage("vectors")
        vectors = make_vectors(graph, contract, vector_candidates(cases, proofs))
        made = proofs, vectors, deployed.adaptation
        record = _record(loaded, contract, out, model, dataset, copies, references, calibration, *made, journal)
        journal.stage("bundle")
        files = {
            MODEL_FILE: model,
            CONTRACT_FILE: contract.to_json().encode(),
            LOCK_FILE: lock_document(loaded, dataset).encode(),
            "parity.csv": parity_table(proofs),
            "training.json": record.to_json().encode(),
            "card.md": card(record).encode(),
            SBOM_FILE: bill_of_materials(contract, record.model_sha256).encode(),
            **vectors,
            **_state_file(calibration),
            LOOKS_FILE: pack_state(looks_of(dataset.select("train"), copies.looks).arrays()),
            **(pages(record) if pages else {}),
        }
        write(files)
    return record


@dataclass(frozen=True)
class Deployable:
    """The assembled graph, and what it was made from; nothing is proven or written yet."""

    references: References
    calibration: Calibration
    contract: Contract
    model: bytes = field(repr=False)
    adaptation: Outcome | None = None
    """Adapted against frozen backbone; None where no adaptation was tried."""


def deployable(loaded: LoadedRecipe, dataset: Dataset, journal: Journal) -> Deployable:
    """Fit everything on a recipe's training images and assemble the graph that would be deployed.

    Where the recipe leaves the precision open, that is done in both, and the better one is returned.
    """
    if loaded.recipe.export.precision != "auto":
        return _deployable(loaded, dataset, journal)
    tried = journal.apart(), journal.apart()
    plain = _deployable(_with_precision(loaded, "fp32"), dataset, tried[0])
    try:
        small = _deployable(_with_precision(loaded, "int8"), dataset, tried[1])
    except NotQuantisableError as refused:
        return _stated(plain, f"Precision: fp32. {refused}", tried, 0, journal)
    journal.stage("int8 and fp32 compared")
    calibrations = plain.calibration, small.calibration
    found = compare((plain.model, small.model), calibrations, plain.references, loaded.recipe.seed)
    taken = (plain, small)[found.taken]
    made = _stated(_without_guarantee(taken), found.in_words(), tried, int(found.taken), journal)
    if made.calibration.threshold.kind != taken.calibration.threshold.kind:
        journal.note(f"Threshold {made.calibration.threshold.value:.4g}: {CHOSEN}")
    return made


def _without_guarantee(chosen: Deployable) -> Deployable:
    """Call thresholds empirical whose scores decided what is deployed; graph and contract follow in `_stated`."""
    made = chosen.calibration
    ng, review = unguaranteed(made.threshold), unguaranteed(made.review)
    review = ng if made.review is made.threshold else review
    return replace(
        chosen,
        calibration=replace(made, threshold=ng, review=review),
        contract=replace(chosen.contract, threshold_ng=ng, threshold_review=review),
    )


def _stated(chosen: Deployable, why: str, tried: tuple[Journal, Journal], which: int, journal: Journal) -> Deployable:
    """Write into the contract and the journal why this one was chosen."""
    for number, one in enumerate(tried):
        journal.adopt(one, decisions=number == which)
    journal.note(why)
    precision = chosen.contract.precision
    contract = replace(chosen.contract, precision=replace(precision, statement=f"{precision.statement} {why}"))
    return replace(chosen, contract=contract, model=rethresholded(chosen.model, contract))


def _with_precision(loaded: LoadedRecipe, precision: Literal["fp32", "int8"]) -> LoadedRecipe:
    export = loaded.recipe.export.model_copy(update={"precision": precision})
    return replace(loaded, recipe=loaded.recipe.model_copy(update={"export": export}))


def _deployable(loaded: LoadedRecipe, dataset: Dataset, journal: Journal) -> Deployable:
    refuse_undecidable(loaded, dataset)
    refuse_intolerable(loaded, dataset)
    task = task_of(loaded, dataset)
    references = _references(loaded, dataset, task)
    method = _method(loaded, references, task, journal)
    calibration = calibrated(loaded, method, references, journal)
    if task == "both":
        calibration = _with_classes(loaded, calibration, dataset, references, journal)
    journal.stage("assembly")
    contract = contract_of(loaded, dataset, references.reader, method, calibration)
    model = assembled(calibration.head, contract)
    decided = with_defects(loaded, dataset, references, calibration, (model, contract), journal)
    if decided is not calibration:
        calibration = decided
        contract = replace(
            contract, threshold_ng=decided.threshold, threshold_review=decided.review, escapes=decided.escapes
        )
        model = rethresholded(model, contract)
    model, contract = fitted_to_marks(model, contract, dataset, references.reader, journal)
    return Deployable(references, calibration, contract, model, method.adaptation)


def _refuse_single(loaded: LoadedRecipe, dataset: Dataset) -> None:
    goods = dataset.select("train", good=True)
    parts = {sample.group for sample in goods}
    if (goods or task_of(loaded, dataset) != "classify") and len(parts) < 2:
        alike = f" ({len(goods)} images of one part, by name or as copies)" if len(goods) > 1 else ""
        raise UsageError(
            f"{loaded.images_dir}: training needs good images of at least 2 parts, found {len(parts)}{alike}."
        )


def _state_file(calibration: Calibration) -> dict[str, bytes]:
    """What the bundle keeps so that it can follow the line; nothing where the method cannot."""
    if calibration.head.state is None:
        return {}
    goods = calibration.goods
    return {STATE_FILE: pack_state({**calibration.head.state(), **calibration_state(goods.scores, goods.groups)})}


def _refuse_inside_images(loaded: LoadedRecipe, out: Path) -> None:
    if out.resolve().is_relative_to(loaded.images_dir.resolve()):
        raise UsageError(
            f"{out}: lies inside the images ({loaded.images_dir}), where the next training would find the bundle's own "
            "pictures. Choose another --out."
        )


def _references(loaded: LoadedRecipe, dataset: Dataset, task: Task) -> References:
    recipe = loaded.recipe
    goods = dataset.select("train", good=True)
    if task == "classify":
        return sorting_references(loaded, dataset)
    setting = recipe.transfer.augment
    if recipe.transfer.method != "lineside" and setting == "default":
        setting = "none"  # anomalib's models bring their own idea of what to fit on, and texts are fitted on nothing
    return References(
        samples=goods,
        reader=FrameReader(frame_channels(loaded, dataset), recipe.capture.bit_depth),
        augmenter=Augmenter(setting, recipe.seed),
        copies=copies_of(recipe.transfer.augment_copies, len(goods)),
    )


def _method(loaded: LoadedRecipe, references: References, task: Task, journal: Journal) -> Method:
    if task == "classify":
        from lineside.train.sorting import SortingMethod

        return SortingMethod(loaded, references, journal)
    if loaded.recipe.transfer.method == "lineside":
        from lineside.train.native import NativeMethod

        return NativeMethod(loaded, references, journal)
    if loaded.recipe.transfer.method == "text":
        from lineside.train.text import TextMethod

        return TextMethod(loaded, references, journal)
    from lineside.train.bridged import BridgedMethod

    return BridgedMethod(loaded, references, journal)


def _with_classes(
    loaded: LoadedRecipe, calibration: Calibration, dataset: Dataset, references: References, journal: Journal
) -> Calibration:
    from lineside.train.classes import ClassSettings, with_classes

    settings = ClassSettings(class_names(dataset, "both"), loaded)
    examples = dataset.select("train", good=False)
    head = with_classes(calibration.head, settings, examples, references.samples, references.reader, journal)
    return replace(calibration, head=head)


def _record(
    loaded: LoadedRecipe,
    contract: Contract,
    out: Path,
    model: bytes,
    dataset: Dataset,
    copies: Copies,
    references: References,
    calibration: Calibration,
    proofs: Sequence[ParityRecord],
    vectors: Mapping[str, bytes],
    adaptation: Outcome | None,
    journal: Journal,
) -> TrainingRecord:
    by_name = {proof.name: proof for proof in proofs}
    tested = tuple(
        ScoredImage(
            s.name, s.path, s.label, proof.score, proof.verdict, contract.reasons(proof.gate), named(contract, proof)
        )
        for s, proof in ((sample, by_name[sample.name]) for sample in unseen(dataset, sorts=references.sorts))
    )
    limits = contract.threshold_ng.value, contract.threshold_review.value
    calibrated = tuple(
        ScoredImage(sample.name, sample.path, sample.label, score, decide(score, 0, *limits).name)
        for sample, score in ((references.samples[i], score) for i, score in sorted(calibration.scores.items()))
    )
    return TrainingRecord(
        contract=contract,
        out=out,
        model_sha256=hashlib.sha256(model).hexdigest(),
        model_bytes=len(model),
        calibration=calibrated,
        tested=tested,
        evaluation=_evaluated(dataset, proofs, contract),
        parity_frames=len(proofs),
        parity_worst_rel=max(proof.difference_rel for proof in proofs),
        swap_vector=bool(json.loads(vectors[VECTORS_FILE])["tells_swapped_channels"]),
        front=_front(loaded, contract, calibration.head, references),
        adaptation=adaptation,
        copies=copies,
        decisions=tuple(journal.decisions),
        stage_seconds=journal.seconds(),
        model=model,
    )


def _evaluated(dataset: Dataset, proofs: Sequence[ParityRecord], contract: Contract) -> Evaluation:
    parts, tested = {s.name: s.group for s in dataset.samples}, [proof for proof in proofs if proof.kind == "test"]
    return evaluate(tested, [parts[proof.name] for proof in tested], contract)


def _front(loaded: LoadedRecipe, contract: Contract, head: FittedHead, references: References) -> FrontRecord:
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
        regions=drawn_regions(loaded, usual_frame_wh(references)),
    )
