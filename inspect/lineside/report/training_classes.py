"""The section on classes of a bundle's report: how they are told, how often that is right, what is taken for what."""

from typing import TYPE_CHECKING

from lineside.batch.labels import rate
from lineside.batch.table import rate_words
from lineside.report.confusion import NOTE, confusion_table
from lineside.report.markup import Markup, element, section
from lineside.report.origin import definitions

if TYPE_CHECKING:
    from lineside.train.record import TrainingRecord


def classes(record: "TrainingRecord") -> Markup:
    """Return the section; only for a model that tells classes."""
    contract, result = record.contract, record.evaluation.classes
    told = contract.classes
    assert told is not None
    facts = [
        ("Told by", told.method),
        ("Training images", ", ".join(f"{count} {name}" for name, count in told.images.items())),
    ]
    if result is not None and result.named:
        facts.append(
            (
                "On the test images",
                rate_words(rate(result.right, result.named), f"named {record.evaluation.unit}s right"),
            )
        )
    parts: list[Markup] = [element("p", told.statement), definitions(facts)]
    if result is not None and result.confusion:
        parts += [element("p", NOTE, class_="note"), confusion_table(result.confusion, contract.class_names)]
    return section("Classes", *parts)
