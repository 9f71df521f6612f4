"""The model card: what a model is for, what it was made of, what is known of it, and what is not.

After the headings of Mitchell et al., "Model Cards for Model Reporting" (FAT* 2019), with the licences that a plant
asks about first. Every number comes from the record; what was not measured is said to be unknown.
"""

from collections.abc import Iterator

from lineside.binomial import clopper_pearson
from lineside.calibrate.auroc_interval import FEW
from lineside.contract import Contract, QualityLimit
from lineside.normalise.gate_rules import SIZE_NAMES
from lineside.train.licences import IMAGENET, obligation
from lineside.train.record import Evaluation, TrainingRecord
from lineside.untested import untested


def card(record: TrainingRecord) -> str:
    """Return ``card.md``."""
    return "\n".join(_lines(record)) + "\n"


def limits(record: TrainingRecord) -> Iterator[str]:
    """Say what was not tested, one sentence each; for card and report alike."""
    contract = record.contract
    yield from untested(contract)
    if not record.swap_vector and contract.frame.channels == 3:
        yield "No vector of this bundle changes its verdict when red and blue are swapped: the part is colourless."


def frame_size_words(contract: Contract) -> str:
    """Say which frame sizes get a verdict."""
    limits = dict(zip(contract.quality_names, contract.quality_limits, strict=True))
    sides = [limits.get(name, (None, None)) for name in SIZE_NAMES]
    if any(low is None or high is None for low, high in sides):
        return "of any size"
    width, height = (round((low + high) / 2) for low, high in sides if low is not None and high is not None)
    return f"of {_size((width, height))} (others get no call)"


def _lines(record: TrainingRecord) -> Iterator[str]:
    contract = record.contract
    yield from (f"# {contract.part}: model card", "")
    for title, lines in (
        ("Intended use", use(contract)),
        ("Out of scope", out_of_scope(contract)),
        ("What the good images showed", _factors(record)),
        ("Threshold and what it is worth", _threshold(contract)),
        ("Classes", _classes(contract, record.evaluation)),
        ("Evaluation on the test images", _evaluation(record.evaluation)),
        ("Training data", _training_data(contract)),
        ("Limits", (f"- {words}" for words in limits(record))),
        ("When the line changes", recalibrate(contract)),
        ("Licences", licences(contract)),
        ("Provenance", _provenance(record)),
        ("How it was trained", (f"- {decision}" for decision in record.decisions)),
    ):
        made = tuple(lines)
        if made:
            yield from (f"## {title}", "", *made, "")


def use(contract: Contract) -> Iterator[str]:
    """Say what the model is for and what it takes; for the card of a changed bundle too, as the three below."""
    yield f"{_what(contract)} It judges frames of the camera set-up that the training images were taken with."
    yield ""
    size = f"reduced to {_size(contract.working_wh)} inside the graph"
    yield f"- Input: {_frame_words(contract)}, {frame_size_words(contract)}; {size}."
    for step, how in contract.normalisation.items():
        yield f"- {step.capitalize()}: {how}."


def out_of_scope(contract: Contract) -> Iterator[str]:
    """Say what the model is not for."""
    yield "- Other parts, and this part under another camera, lens, lamp or background than in the training images."
    yield "- Measuring: score and heatmap say how strange a place is, not how large or deep a defect."
    if contract.least_defect and contract.least_defect.patches > 1:
        yield f"- Small defects: {contract.least_defect.statement}"
    yield (
        "- Deciding alone where an escape can hurt somebody, beyond what the bounds below and your own evaluation "
        "support."
    )


def _factors(record: TrainingRecord) -> Iterator[str]:
    """Within what the model knows good parts."""
    contract = record.contract
    bounds = dict(zip(contract.quality_names, contract.quality_limits, strict=True))
    yield "Good parts beyond these ranges were never seen; the gate gives no call beyond its limits."
    yield ""
    yield "| number | least | greatest | gate's limits |"
    yield "|---|---|---|---|"
    for name, (low, high) in record.front.good_ranges.items():
        ends = " to ".join("any" if end is None else f"{end:.4g}" for end in bounds[name])
        yield f"| {name} | {low:.4g} | {high:.4g} | {'none' if ends == 'any to any' else ends} |"
    for finding in contract.findings:
        beyond = [_beyond(limit) for limit in finding.limits]
        if all(beyond):
            yield from ("", f"NG whatever the score, with {' and '.join(beyond)}: {finding.words}.")


def _beyond(limit: QualityLimit) -> str:
    """Say beyond which ends a number counts; nothing where it has none, as where too few good images showed one."""
    ends = (("below", limit.lower), ("above", limit.upper))
    return " or ".join(f"{limit.quality} {side} {end:.4g}" for side, end in ends if end is not None)


def _threshold(contract: Contract) -> Iterator[str]:
    limit = contract.threshold_ng
    yield f"NG when score > {limit.value:.6g} ({limit.rule})."
    yield from ("", f"**{limit.kind.capitalize()}.** {limit.statement}")
    if contract.threshold_review.wish.kind == "review":
        yield ""
        yield f"REVIEW when score > {contract.threshold_review.value:.6g}. {contract.threshold_review.statement}"
    if contract.least_defect and contract.least_defect.patches < 2:
        yield from ("", contract.least_defect.statement)
    for region in contract.regions:
        yield from ("", f"Region {region.statement}")
    if contract.tolerance_words:
        yield from ("", contract.tolerance_words)
    yield from ("", contract.escapes.statement)


def _training_data(contract: Contract) -> Iterator[str]:
    for name, count in contract.image_counts.items():
        yield f"- {name}: {count}"
    yield from ("", "Fitted on images, and how the calibration scores were kept honest:", "")
    for item in contract.fitted:
        yield f"- {item.what}: {item.crossfit}"


def recalibrate(contract: Contract) -> Iterator[str]:
    """Say how thresholds are taken again, and when."""
    limit = contract.threshold_ng
    sure = "" if limit.wish.confidence is None else f" --confidence {limit.wish.confidence:g}"
    yield (
        f"New thresholds from images that the model never saw, without training: `lineside calibrate MODEL --good "
        f"FOLDER --overkill {limit.wish_overkill:.3g}{sure}`, with `--defect CLASS=FOLDER` for bounds of "
        "escapes; `lineside evaluate` says what they are worth. What was promised above is void as soon as camera, "
        "lamp, lens or the parts themselves change: train again, or see `lineside adapt` and `extend`."
    )


def licences(contract: Contract) -> Iterator[str]:
    """Yield the table of what the model is made of, with what each licence asks."""
    yield "| role | name | source | licence | SHA-256 | what it asks |"
    yield "|---|---|---|---|---|---|"
    for part in contract.components:
        digest = part.sha256[:12] or "–"
        yield f"| {part.role} | {part.name} | {part.source} | {part.licence} | {digest} | {obligation(part.licence)} |"
    if any("imagenet" in part.name.lower() for part in contract.components):
        yield from ("", IMAGENET)


def _provenance(record: TrainingRecord) -> Iterator[str]:
    contract = record.contract
    yield f"- model.onnx: `{record.model_sha256}` ({record.model_bytes / 1e6:.1f} MB)"
    yield f"- recipe: `{contract.recipe_sha256}` (resolved: `recipe.lock.yaml`)"
    yield f"- images: `{contract.data_sha256}`"
    yield f"- Precision: {contract.precision.network}. {contract.precision.statement}"
    yield f"- Software: {', '.join(f'{name} {version}' for name, version in contract.software.items())}."
    yield (
        f"- The file in this folder was run on {record.parity_frames} frames (`parity.csv`) and compared with a slow "
        f"reference: no verdict differed, scores by at most {record.parity_worst_rel:.0e}, "
        "relative to the larger of score and threshold."
    )


def _what(contract: Contract) -> str:
    told, names = contract.classes, ", ".join(contract.class_names)
    if told is None:
        return (
            f"Tells good parts of `{contract.part}` from anomalous ones; it does not name defects. "
            f"{_part_of_defects(contract)}"
        )
    if told.task == "both":
        return (
            f"Tells good parts of `{contract.part}` from anomalous ones, and calls a defect {names} or unknown. "
            f"{_part_of_defects(contract)}"
        )
    return f"Sorts parts of `{contract.part}` into {names}. What resembles none of them is not looked for by a map."


def _part_of_defects(contract: Contract) -> str:
    """Say what defective images decided of score and threshold."""
    told, chose = contract.escapes.overall.n, contract.threshold_ng.n_defects
    if chose:
        shown = ", ".join(one.label for one in contract.escapes.classes)
        return (
            f"The score was fitted on good parts alone, but {_parts(chose)} had a say in the threshold"
            f"{f' ({shown})' if shown else ''}."
        )
    if told:
        return (
            f"Good parts alone decide what is anomalous; by {_parts(told)}, which nothing of it was fitted on, escapes "
            "were counted."
        )
    return "Good parts alone decide what is anomalous; of escapes no training image told anything."


def _parts(count: int) -> str:
    return f"{count} defective part{'' if count == 1 else 's'}"


def _classes(contract: Contract, result: Evaluation) -> Iterator[str]:
    told = contract.classes
    if told is None:
        return
    images = ", ".join(f"{count} {name}" for name, count in told.images.items())
    yield f"By {told.method}, from {images}. {told.statement}"
    if result.classes and result.classes.accuracy is not None:
        low, high = result.classes.interval
        yield ""
        yield (
            f"On the test images: {result.classes.right} of {result.classes.named} named images of these classes right "
            f"({100 * result.classes.accuracy:.1f} %; 95 % interval {100 * low:.1f} to {100 * high:.1f} %)."
        )


def _evaluation(result: Evaluation) -> Iterator[str]:
    if not result.good and not result.defective:
        yield "There were none. Nothing is known of escapes."
        return
    yield f"- Image AUROC: {_auroc(result)} ({result.good} good, {result.defective} defective)"
    yield f"- Overkill: {_counted(result.overkill, result.good)} good {result.unit}s called NG"
    yield f"- Escapes: {_counted(result.escapes, result.defective)} defective {result.unit}s called OK"
    for label, escaped, count in result.escapes_by_class:
        yield f"  - {label}: {_counted(escaped, count)}"
    yield f"- No call: {result.no_call}"
    each = "one a part" if result.unit == "image" else "each part as the worst of its images"
    yield ""
    yield (
        f"Intervals are of 95 % and hold for images like these, {each}: of counts exact (Clopper-Pearson), of an AUROC "
        f"by DeLong; where it is 0 or 1 by Newcombe; of fewer than {FEW} parts of a kind the farther ends of both."
    )


def _auroc(result: Evaluation) -> str:
    if result.auroc is None or result.auroc_interval is None:
        return "not defined"
    low, high = result.auroc_interval
    return f"{result.auroc:.4f}, 95 % interval {low:.4f} to {high:.4f}"


def _counted(k: int, n: int) -> str:
    if not n:
        return "0 of 0"
    low, high = clopper_pearson(k, n)
    return f"{k} of {n} ({100 * low:.1f} to {100 * high:.1f} %)"


def _frame_words(contract: Contract) -> str:
    kind = "grey" if contract.frame.channels == 1 else "red, green, blue"
    depth = "" if contract.frame.bit_depth == 8 else f" from {contract.frame.bit_depth}-bit samples"
    return f"uint8 {kind}{depth}"


def _size(wh: tuple[int, int]) -> str:
    return f"{wh[0]}×{wh[1]} px"
