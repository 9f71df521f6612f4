"""The tables of a bundle's report: evaluation, parity, preprocessing, training, what it is made of, what is unknown."""

from typing import TYPE_CHECKING

from lineside.batch.labels import Rate, rate
from lineside.batch.table import area, interval_words, percent, plural, rate_words
from lineside.contract import Contract, Finding, QualityLimit
from lineside.report.document import table, tile
from lineside.report.light_pose import (
    GATE_NOTE,
    QualityRow,
    decisions_list,
    golden_figure,
    numbers_tables,
    quality_table,
    speaks_for,
    steps_table,
)
from lineside.report.markup import Markup, element, section
from lineside.report.not_tested import not_tested
from lineside.report.origin import code, components_table, definitions, fitted_details

if TYPE_CHECKING:
    from lineside.train.record import Evaluation, TrainingRecord

NO_TEST_IMAGES = "There were no test images: nothing is known of escapes, nor of overkill beyond the calibration."


def in_words(record: "TrainingRecord") -> str:
    """Say in two sentences what the model is and how it did."""
    contract, result = record.contract, record.evaluation
    colour = "grey" if contract.frame.channels == 1 else "colour"
    goods = contract.image_counts.get("train/good", len(record.calibration))
    told = contract.classes
    if told is not None and told.task == "classify":
        what = (
            f"A model that sorts parts of “{contract.part}” into {', '.join(contract.class_names)} in {colour} frames, "
            f"made from {plural(sum(told.images.values()), 'image')}."
        )
    else:
        what = (
            f"A model that tells good parts of “{contract.part}” from anomalous ones in {colour} frames, made from "
            f"{plural(goods, 'good image')}."
        )
    if not result.good and not result.defective:
        return f"{what} {NO_TEST_IMAGES}"
    found = []
    if result.good:
        found.append(f"{result.overkill} of {plural(result.good, f'good {result.unit}')} NG (overkill)")
    if result.defective:
        found.append(f"{result.escapes} of {plural(result.defective, f'defective {result.unit}')} OK (escapes)")
    rank = "" if result.auroc is None else f"; its image AUROC is {area(result.auroc)}"
    return f"{what} On the test images it called {' and '.join(found)}{rank}."


def evaluation(record: "TrainingRecord") -> Markup:
    """Return overkill, escapes and AUROC on the test images; or the sentence that there were none."""
    result = record.evaluation
    if not result.good and not result.defective:
        return section("Evaluation", element("p", NO_TEST_IMAGES, class_="warning"))
    overkill, escapes = rate(result.overkill, result.good), rate(result.escapes, result.defective)
    tiles = (
        tile(area(result.auroc), "image AUROC"),
        tile(_of(overkill), "overkill", "NG" if overkill.k else "OK"),
        tile(_of(escapes), "escapes", "NG" if escapes.k else "OK"),
        tile(result.no_call, "without a call", "NO_CALL" if result.no_call else "none"),
    )
    note = (
        "The test images: nothing was fitted or calibrated on them. The truth is what their folders are called; "
        "intervals are exact (Clopper-Pearson)."
    )
    if result.unit == "part":
        note += " Of several images of a part the worst counts."
    facts = [
        ("Overkill", rate_words(overkill, f"good {result.unit}s called NG")),
        ("Escapes", rate_words(escapes, f"defective {result.unit}s called OK")),
        ("Image AUROC", _auroc_words(result)),
    ]
    if result.no_call:
        facts.append(("Without a call", f"{result.no_call}, counted among the {result.unit}s and as no error"))
    return section(
        "Evaluation",
        element("div", tiles, class_="tiles"),
        element("p", note, class_="note"),
        definitions(facts),
        _class_table(result),
    )


def _auroc_words(result: "Evaluation") -> str:
    if result.auroc is None or result.auroc_interval is None:
        return "needs good and defective images"
    low, high = result.auroc_interval
    return f"{area(result.auroc)} (95 % interval {area(low)} to {area(high)}, by DeLong and Newcombe)"


def _of(counted: Rate) -> str:
    return f"{counted.k} of {counted.n}" if counted.n else "–"


def _class_table(result: "Evaluation") -> Markup:
    names = ("Defect class", f"{result.unit.capitalize()}s", "Called OK", "Escapes", "95 % interval")
    rows = []
    for label, escaped, count in result.escapes_by_class:
        counted = rate(escaped, count)
        rows.append((label, count, escaped or "·", percent(counted.share), interval_words(counted)))
    return table(names, rows)


def parity(record: "TrainingRecord") -> Markup:
    """Say on how many frames the deployed graph was proven to be the evaluated one."""
    words = (
        f"The model.onnx of this bundle was run on {plural(record.parity_frames, 'frame')} and compared with a slow "
        f"reference of its head: no verdict differed, scores by at most {record.parity_worst_rel:.0e}, "
        "relative to the larger of score and threshold. "
        "parity.csv has every frame; vectors/ holds frames with their expected outputs for a port to another language."
    )
    return section("Parity", element("p", words))


def light_and_pose(record: "TrainingRecord") -> Markup:
    """Return what evens out light and pose, why, on which part, and the limits that hold a bad picture back."""
    contract, front = record.contract, record.front
    return section(
        "Light and pose",
        element(
            "div",
            element("div", steps_table(contract.normalisation), decisions_list(front.words)),
            golden_figure(front.golden, front.regions),
            class_="beside",
        ),
        numbers_tables(front.numbers),
        element("h3", "Limits"),
        element("p", GATE_NOTE, class_="note"),
        quality_table(_quality_rows(record), ("Good, least", "Good, greatest")),
        _reasons(contract),
    )


def _quality_rows(record: "TrainingRecord") -> list[QualityRow]:
    """Numbers that the gate speaks by, then those of findings, then those that are told only."""
    contract, ranges = record.contract, record.front.good_ranges
    rows = [
        QualityRow(name, speaks_for(name) if limits != (None, None) else "", limits, ranges.get(name, ()))
        for name, limits in zip(contract.quality_names, contract.quality_limits, strict=True)
    ]
    found = [
        QualityRow(limit.quality, _ng_words(item, limit), (limit.lower, limit.upper), ranges.get(limit.quality, ()))
        for item in contract.findings
        for limit in item.limits
    ]
    speaking = {row.name for row in found}
    told = [row for row in rows if not row.speaks_for and row.name not in speaking]
    return [*(row for row in rows if row.speaks_for), *found, *told]


def _ng_words(finding: Finding, limit: QualityLimit) -> str:
    """Say what a number beyond its limit amounts to, and together with which others."""
    others = [other.quality for other in finding.limits if other is not limit]
    return f"NG: {finding.name}" + (f", only with {' and '.join(others)}" if others else "")


def _reasons(contract: Contract) -> Markup:
    """Return what the reasons mean, folded away: of no call first, then of NG beside the map."""
    gate = zip(contract.gate_bits, contract.gate_words, strict=True)
    facts = [(name.replace("_", " "), words) for name, words in gate]
    facts += [(f"NG: {item.name.replace('_', ' ')}", item.words) for item in contract.findings]
    return element("details", element("summary", "What the reasons mean"), definitions(facts))


def preprocessing(contract: Contract) -> Markup:
    """Return what the graph does to a frame before the model looks at it."""
    from lineside.train.card import frame_size_words  # as below

    frame, (width, height), (map_width, map_height) = contract.frame, contract.working_wh, contract.map_wh
    colour = "grey, 1 channel" if frame.channels == 1 else "3 channels: red, green, blue"
    facts = [
        ("Frame", f"uint8, {colour}, {frame_size_words(contract)}"),
        (f"Camera samples of {frame.bit_depth} bit", frame.depth_rule),
        ("Working size", f"{width} × {height} px, reduced inside the graph"),
        ("Anomaly map", f"{map_width} × {map_height} over the whole frame"),
        ("Embedding", contract.embedding),
        *((f"Neutral in this model: {name}", words) for name, words in contract.neutral_outputs.items()),
    ]
    note = "All of it is part of model.onnx. Its settings stand in recipe.lock.yaml, its limits in contract.json."
    return section("Preprocessing", definitions(facts), element("p", note, class_="note"))


def training(record: "TrainingRecord") -> Markup:
    """Return what was decided in training, and from how many images."""
    return section(
        "Training",
        element("ul", (element("li", decision) for decision in record.other_decisions)),
        _image_table(record.contract),
        fitted_details(record.contract),
        element("p", "How long each stage took stands in training.json.", class_="note"),
    )


def _image_table(contract: Contract) -> Markup:
    counted: dict[str, dict[str, int]] = {}
    for name, n in contract.image_counts.items():
        split, _, label = name.partition("/")
        counted.setdefault(label, {})[split] = n
    rows = ((label, of.get("train") or "·", of.get("test") or "·") for label, of in counted.items())
    return table(("Images", "train", "test"), rows)


def made_of(record: "TrainingRecord") -> Markup:
    """Return hashes, components with their licences, and software versions."""
    contract = record.contract
    facts = [
        ("model.onnx SHA-256", code(record.model_sha256)),
        ("Size", f"{record.model_bytes / 1e6:.1f} MB"),
        ("Recipe SHA-256", code(contract.recipe_sha256)),
        ("Images SHA-256", code(contract.data_sha256)),
        ("Precision", contract.precision.statement),
        ("Contract version", contract.contract_version),
        ("Made with", ", ".join(f"{name} {version}" for name, version in contract.software.items())),
    ]
    return section("Model", definitions(facts), components_table(contract.components))


def untested(record: "TrainingRecord") -> Markup:
    """Return what nobody tested; the words are the card's."""
    from lineside.train.card import limits  # its package loads torch, which a training run has loaded already

    return not_tested(limits(record))
