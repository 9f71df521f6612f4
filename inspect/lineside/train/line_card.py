"""card.md of a bundle that was changed without training: what was done to which model, and what it is worth now."""

from collections.abc import Iterable, Sequence

from lineside.contract import Contract
from lineside.contract_thresholds import Threshold
from lineside.train.card import licences, out_of_scope, recalibrate, use
from lineside.train.line_result import Changed

PARENT_FOLDER = "parent"
"""Where the papers of the model lie that it was made from."""


def line_card(changed: Changed, contract: Contract, old: Threshold, decisions: Sequence[str]) -> str:
    """Return ``card.md``.

    Parameters
    ----------
    changed : Changed
    contract : Contract
        The new one.
    old : Threshold
        The parent's.
    decisions : sequence of str
        What was decided, in sentences.
    """
    limit = contract.threshold_ng
    lines = [
        f"# {contract.part}: model card",
        "",
        f"This model was not trained by itself: it was {changed.how} from another. The card, report and record of that "
        f"one are in `{PARENT_FOLDER}/`; {_theirs(changed)}",
        "",
        *_under("Intended use", use(contract)),
        *_under("Out of scope", out_of_scope(contract)),
        "## Lineage",
        "",
        *(f"- {a.how} from model `{a.parent_sha256[:12]}`: {a.statement}" for a in contract.lineage),
        "",
        "## Threshold and what it is worth",
        "",
        f"NG when score > {limit.value:.6g} ({limit.rule}); before {old.value:.6g}.",
        "",
        f"**{limit.kind.capitalize()}.** {limit.statement}",
        "",
        *_review(contract),
        contract.escapes.statement,
        "",
        *_classes(contract),
        "## What was decided",
        "",
        *(f"- {decision}" for decision in decisions),
        "",
        "## Images",
        "",
        *(f"- {name}: {count}" for name, count in contract.image_counts.items()),
        "",
        "## Limits",
        "",
        _evaluated(changed),
        "- Light, pose and picture quality beyond those of the frames at hand were not tested.",
        "",
        *_under("When the line changes", recalibrate(contract)),
        *_under("Licences", licences(contract)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _under(title: str, lines: Iterable[str]) -> tuple[str, ...]:
    return (f"## {title}", "", *lines, "")


def _review(contract: Contract) -> tuple[str, ...]:
    review = contract.threshold_review
    if review.wish.kind != "review":
        return ()
    return (f"REVIEW when score > {review.value:.6g} ({review.rule}). {review.statement}", "")


def _theirs(changed: Changed) -> str:
    """What of the parent's papers holds."""
    if changed.classes:
        return (
            "what they say of score, threshold and guarantee holds for this one too, what they say of classes does not."
        )
    if changed.how == "calibrated":
        return "what they say of scores holds for this one too, what they say of thresholds and verdicts does not."
    return "what they say of threshold, evaluation and guarantee is about that one alone."


def _classes(contract: Contract) -> tuple[str, ...]:
    told = contract.classes
    if told is None:
        return ()
    images = ", ".join(f"{count} {name}" for name, count in told.images.items())
    return ("## Classes", "", f"By {told.method}, from {images}. {told.statement}", "")


def _evaluated(changed: Changed) -> str:
    if changed.classes:
        return "- Classes were not evaluated on test images again; of them cross-validation alone speaks."
    if changed.how == "calibrated":
        return "- The new thresholds were not evaluated on test images."
    return "- Nothing was evaluated on labelled images of the changed line: of overkill and escapes nothing is known."
