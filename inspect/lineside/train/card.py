"""The model card: what a model is for, what it was made of, what is known of it, and what is not.

The headings follow Mitchell et al., "Model Cards for Model Reporting" (2019).
"""

from collections.abc import Iterator

from lineside.contract import Contract
from lineside.normalise.gate_rules import SIZE_NAMES
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
    yield f"# {contract.part}: model card"
    yield ""
    yield "## Intended use"
    yield ""
    yield (f"{_what(contract)} It judges frames of the camera set-up that the training images were taken with.")
    yield ""
    size = f"reduced to {_size(contract.working_wh)} inside the graph"
    yield f"- Input: {_frame_words(contract)}, {frame_size_words(contract)}; {size}."
    yield f"- Recipe `{contract.recipe_sha256[:12]}`, images `{contract.data_sha256[:12]}`, " + (
        f"model.onnx `{record.model_sha256[:12]}` ({record.model_bytes / 1e6:.1f} MB)."
    )
    for step, how in contract.normalisation.items():
        yield f"- {step.capitalize()}: {how}."
    yield ""
    yield "## Threshold and what it is worth"
    yield ""
    limit = contract.threshold_ng
    yield f"NG when score > {limit.value:.6g} ({limit.rule})."
    yield ""
    yield f"**{limit.kind.capitalize()}.** {limit.statement}"
    yield ""
    if contract.threshold_review.wish.kind == "review":
        yield f"REVIEW when score > {contract.threshold_review.value:.6g}. {contract.threshold_review.statement}"
        yield ""
    yield contract.escapes.statement
    yield ""
    yield from _classes(contract, record.evaluation)
    yield from _evaluation(record.evaluation)
    yield "## Training data"
    yield ""
    for name, count in contract.image_counts.items():
        yield f"- {name}: {count}"
    yield ""
    yield "Fitted on images, and how the calibration scores were kept honest:"
    yield ""
    for item in contract.fitted:
        yield f"- {item.what}: {item.crossfit}"
    yield ""
    yield "## Parts that others made"
    yield ""
    yield "| role | name | source | licence | SHA-256 |"
    yield "|---|---|---|---|---|"
    for part in contract.components:
        yield f"| {part.role} | {part.name} | {part.source} | {part.licence} | {part.sha256[:12] or '–'} |"
    yield ""
    yield "## Parity"
    yield ""
    yield (
        f"The file in this folder was run on {record.parity_frames} frames (`parity.csv`) and compared with a slow "
        f"reference: no verdict differed, scores by at most {record.parity_worst_rel:.0e}, "
        "relative to the larger of score and threshold."
    )
    yield ""
    yield "## Limits"
    yield ""
    for limit_words in limits(record):
        yield f"- {limit_words}"
    yield ""
    yield "## How it was trained"
    yield ""
    for decision in record.decisions:
        yield f"- {decision}"
    yield f"- Software: {', '.join(f'{name} {version}' for name, version in contract.software.items())}."


def _what(contract: Contract) -> str:
    told, names = contract.classes, ", ".join(contract.class_names)
    if told is None:
        return (
            f"Tells good parts of `{contract.part}` from anomalous ones. It was shown good parts only; it does not "
            "name defects."
        )
    if told.task == "both":
        return (
            f"Tells good parts of `{contract.part}` from anomalous ones, and calls a defect {names} or unknown. Good "
            "parts alone decide what is anomalous."
        )
    return f"Sorts parts of `{contract.part}` into {names}. What resembles none of them is not looked for by a map."


def _classes(contract: Contract, result: Evaluation) -> Iterator[str]:
    told = contract.classes
    if told is None:
        return
    yield "## Classes"
    yield ""
    images = ", ".join(f"{count} {name}" for name, count in told.images.items())
    yield f"By {told.method}, from {images}. {told.statement}"
    yield ""
    if result.classes and result.classes.accuracy is not None:
        low, high = result.classes.interval
        yield (
            f"On the test images: {result.classes.right} of {result.classes.named} named images of these classes right "
            f"({100 * result.classes.accuracy:.1f} %; 95 % interval {100 * low:.1f} to {100 * high:.1f} %)."
        )
        yield ""


def _evaluation(result: Evaluation) -> Iterator[str]:
    yield "## Evaluation on the test images"
    yield ""
    if not result.good and not result.defective:
        yield "There were none. Nothing is known of escapes."
        yield ""
        return
    auroc = "not defined" if result.auroc is None else f"{result.auroc:.4f}"
    yield f"- Image AUROC: {auroc} ({result.good} good, {result.defective} defective)"
    yield f"- Overkill: {result.overkill} of {result.good} good called NG"
    yield f"- Escapes: {result.escapes} of {result.defective} defective called OK"
    for label, escaped, images in result.escapes_by_class:
        yield f"  - {label}: {escaped} of {images}"
    yield f"- No call: {result.no_call}"
    yield ""


def _frame_words(contract: Contract) -> str:
    kind = "grey" if contract.frame.channels == 1 else "red, green, blue"
    depth = "" if contract.frame.bit_depth == 8 else f" from {contract.frame.bit_depth}-bit samples"
    return f"uint8 {kind}{depth}"


def _size(wh: tuple[int, int]) -> str:
    return f"{wh[0]}×{wh[1]} px"
