"""report.html of a bundle that followed its line: what was done to which model, by how many frames, and what it means.

The page of the model that it was made from lies in the bundle's folder `parent`; this one says only what changed.
"""

from typing import TYPE_CHECKING

from lineside.batch.table import number
from lineside.report.document import document
from lineside.report.markup import Markup, element, section
from lineside.report.origin import code, components_table, definitions, fitted_details, guarantee_box
from lineside.report.training import REPORT_FILE

if TYPE_CHECKING:
    from lineside.train.line_write import LineRecord

VOID = {
    "adapted": "The threshold rests on unlabelled frames. What the parent model guaranteed does not hold for this one.",
    "extended": "The threshold was taken again. What the parent model guaranteed does not hold for this one.",
    "calibrated": "Scores are the parent's; what it says of thresholds, overkill and escapes does not hold here.",
}

KEPT = "Score, map, gate and thresholds are the parent's, and what it guarantees of them holds."


def line_pages(record: "LineRecord") -> dict[str, bytes]:
    """Return ``report.html`` of a changed bundle."""
    contract, changed = record.contract, record.changed
    introduction = (
        element("p", changed.statement, class_="lead"),
        element("p", KEPT if changed.classes else VOID[changed.how], class_="note" if changed.classes else "warning"),
    )
    sections = {
        "Threshold": _threshold(record),
        **({"Classes": _classes(record)} if contract.classes else {}),
        "What was decided": _decided(record),
        "Lineage": _lineage(record),
        "Parity": _parity(record),
        "Made of": section("Made of", components_table(contract.components), fitted_details(contract)),
    }
    footer = f"lineside {contract.software.get('lineside', '')} · model {record.model_sha256[:12]}"
    page = document(f"Model of {contract.part}, {changed.how}", introduction, sections, footer)
    return {REPORT_FILE: page.encode("utf-8", "backslashreplace")}


def _threshold(record: "LineRecord") -> Markup:
    contract = record.contract
    limit, review = contract.threshold_ng, contract.threshold_review
    facts = [
        ("NG above", number(limit.value)),
        ("Before", number(record.old_threshold.value)),
        ("Wish", limit.wish.in_words),
        ("Kind", limit.kind),
        ("Rule", limit.rule),
    ]
    if review.wish.kind == "review":
        facts.append(("REVIEW above", number(review.value)))
    return section("Threshold", guarantee_box(contract), definitions(facts))


def _classes(record: "LineRecord") -> Markup:
    told = record.contract.classes
    assert told is not None  # the caller looked
    images = ", ".join(f"{count} {name}" for name, count in told.images.items())
    return section("Classes", element("p", told.statement), definitions((("Told by", told.method), ("From", images))))


def _decided(record: "LineRecord") -> Markup:
    items = (element("li", words) for words in record.decisions)
    facts = [(name.replace("_", " "), number(value)) for name, value in record.changed.facts.items()]
    numbers = element("details", element("summary", "The numbers behind it"), definitions(facts))
    return section("What was decided", element("ul", items), numbers)


def _lineage(record: "LineRecord") -> Markup:
    items = (
        element("li", f"{one.how} from model ", code(one.parent_sha256[:12]), f": {one.statement}")
        for one in record.contract.lineage
    )
    note = element("p", "Card, report and record of the parent are in the bundle's folder parent.", class_="note")
    return section("Lineage", element("ol", items), note)


def _parity(record: "LineRecord") -> Markup:
    worst = max(proof.difference_rel for proof in record.proofs)
    same = "no verdict and no class differed" if record.contract.classes else "no verdict differed"
    words = (
        f"The changed model.onnx was run on {len(record.proofs)} frames and compared with a slow reference of its "
        f"head: {same}, scores by at most {worst:.0e}. parity.csv has every frame."
    )
    return section("Parity", element("p", words))
