"""By what it was judged: the threshold with what may be said of it, the model, its parts and their licences."""

from collections.abc import Iterable, Iterator

from lineside.batch.summary import Limits, Summary
from lineside.batch.table import number, percent
from lineside.contract import Component, Contract
from lineside.contract_thresholds import EscapeStatement, Threshold
from lineside.report.document import table
from lineside.report.markup import Markup, element, section

VOID = (
    "The threshold was overridden for this inspection. What the model's contract states of its own threshold, any "
    "guarantee included, does not hold for these verdicts."
)
IF_OWN = ", if cross-fitted scores were the deployed model's own"
ALIKE = (
    "where production is exchangeable with the images that it was taken from: same part family, camera and light, of "
    "escapes the same kinds of defects in the same shares, and one shot of a part, or its shots grouped and the worst "
    "taken"
)


def definitions(facts: Iterable[tuple[str, object]]) -> Markup:
    """Return names and values, one under the other."""
    return element("dl", ((element("dt", name), element("dd", value)) for name, value in facts))


def code(text: str) -> Markup:
    """Return text that is read letter by letter."""
    return element("code", text)


def threshold_section(limits: Limits, contract: Contract, *more: Markup | None) -> Markup:
    """Say what the thresholds are, how they were found, and what they promise; `more` stands in the box beside that."""
    facts: list[tuple[str, object]] = [("NG above", number(limits.ng))]
    if limits.review != limits.ng:
        facts.append(("REVIEW above", number(limits.review)))
    if limits.overridden:
        note = element("p", VOID, class_="warning")
        return section(
            "Threshold",
            note,
            definitions([*facts, ("The model's own", number(limits.contract.value))]),
        )
    own = (*_contract_facts(contract.threshold_ng), *_review_facts(contract), *_escape_facts(contract.escapes))
    return section("Threshold", guarantee_box(contract, *more), definitions((*facts, *own, ("All this holds", ALIKE))))


def guarantee_box(contract: Contract, *more: Markup | None) -> Markup:
    """Return what the thresholds promise in a box: whether it is a guarantee at all, and the statements to the letter.

    That of REVIEW stands there where a band was wished, that of escapes always.
    """
    limit, review = contract.threshold_ng, contract.threshold_review
    sure = limit.kind == "guaranteed"
    title = "Guaranteed" if sure else "Empirical: no guarantee"
    said = [element("p", limit.statement)]
    if review.wish.kind == "review":
        said.append(element("p", element("strong", "REVIEW: "), review.statement))
    if contract.least_defect:
        said.append(element("p", element("strong", "Smallest defect: "), contract.least_defect.statement))
    for region in contract.regions:
        said.append(element("p", element("strong", "Region: "), region.statement))
    if contract.tolerance_words:
        said.append(element("p", element("strong", "Tolerated classes: "), contract.tolerance_words))
    said.append(element("p", element("strong", "Escapes: "), contract.escapes.statement))
    kind = "guarantee" if sure else "guarantee empirical"
    return element("div", element("b", title), said, more, class_=kind)


def _review_facts(contract: Contract) -> Iterator[tuple[str, object]]:
    review = contract.threshold_review
    if review.wish.kind == "review":
        yield "REVIEW asked for", review.wish.in_words
        yield "REVIEW rule", review.rule
        yield from _band_facts(review, tolerant=bool(contract.class_factors))


def _band_facts(review: Threshold, *, tolerant: bool) -> Iterator[tuple[str, object]]:
    """What is to be expected of a band; where classes are tolerated REVIEW alone is bounded by nothing."""
    if tolerant:
        together = f"{percent(review.supported_overkill)}{_if_own(review.statement)}"
        yield "Good parts in NG and REVIEW together, to be expected at most", together
    else:
        yield "Good parts in REVIEW to be expected", f"{percent(review.supported)}{_if_own(review.statement)}"


def _if_own(statement: str) -> str:
    """Repeat beside a number what its statement says is missing; nothing where the deployed model gave the scores."""
    return IF_OWN if "the deployed model's own" in statement else ""


def _escape_facts(escapes: EscapeStatement) -> Iterator[tuple[str, object]]:
    one = escapes.overall
    if one.n:
        told = f"{one.missed} of {one.n} defective parts OK"
        yield (
            f"Escapes with {100 * escapes.confidence:g} % confidence",
            f"at most {percent(one.upper)}, one-sided ({told}){_if_own(escapes.statement)}",
        )


def _taken_from(threshold: Threshold) -> str:
    parts = "" if threshold.n_groups == threshold.n else f" of {threshold.n_groups} parts"
    goods = f"{threshold.n} scores of good images{parts}"
    if threshold.wish.kind == "escape":
        return f"{threshold.n_defects} defective parts; its overkill was counted on {goods}"
    if threshold.wish.kind == "fixed":
        return f"what was given; its overkill was counted on {goods}"
    return f"{goods} and {threshold.n_defects} defective parts" if threshold.n_defects else goods


def _supported(threshold: Threshold) -> Iterator[tuple[str, object]]:
    """What the images support of a wish other than overkill, which has a line of its own."""
    if threshold.supported is not None and threshold.wish.kind == "escape":
        own = "" if threshold.kind == "guaranteed" else _if_own(threshold.statement)
        yield "Escape to be expected at most", f"{percent(threshold.supported)}{own}"
    if threshold.supported is not None and threshold.wish.kind == "cost":
        cost = f"{number(1000.0 * threshold.supported)}{_if_own(threshold.statement)}"
        yield "Cost of 1,000 parts, each judged by a threshold chosen without it", cost


def _contract_facts(threshold: Threshold) -> list[tuple[str, object]]:
    low, high = threshold.interval
    sure, own = f"{100 * threshold.confidence:g} %", _if_own(threshold.statement)
    return [
        ("Kind", threshold.kind),
        ("Rule", threshold.rule),
        ("Taken from", _taken_from(threshold)),
        ("Asked for", threshold.wish.in_words),
        *_supported(threshold),
        ("Overkill to be expected at most", f"{percent(threshold.supported_overkill)}{own}"),
        (f"Overkill with {sure} confidence", f"at most {percent(threshold.upper)}, one-sided{own}"),
        (f"{sure} interval of the overkill", f"{percent(low)} to {percent(high)}, two-sided{own}"),
    ]


def model_section(summary: Summary, contract: Contract) -> Markup:
    """Say which model it was, made from what, by what, under which licences."""
    width, height = contract.working_wh
    frame = contract.frame
    colour = "grey" if frame.channels == 1 else "red, green, blue"
    facts: list[tuple[str, object]] = [
        ("Model", summary.model),
        ("Model SHA-256", code(summary.model_sha256)),
        ("Recipe SHA-256", code(summary.recipe_sha256)),
        ("Training data SHA-256", code(contract.data_sha256)),
        ("Images of its recipe", ", ".join(f"{n} {name}" for name, n in contract.image_counts.items()) or "not stated"),
        ("Frame", f"{colour}, {frame.bit_depth} bit; worked on at {width} × {height} px"),
        ("Precision", contract.precision.statement),
        ("Contract version", contract.contract_version),
        ("Made with", ", ".join(f"{name} {version}" for name, version in contract.software.items())),
    ]
    return section(
        "Model",
        definitions(facts),
        components_table(contract.components),
        fitted_details(contract),
    )


def components_table(components: Iterable[Component]) -> Markup | None:
    """Return the parts that somebody made, with source, licence and hash; None where there are none."""
    rows = [(item.role, item.name, item.licence, item.source, code(item.sha256[:12])) for item in components]
    return table(("Part", "Name", "Licence", "Source", "SHA-256"), rows, class_="text") if rows else None


def fitted_details(contract: Contract) -> Markup | None:
    """Return what was fitted on images, folded away; None where nothing was."""
    if not contract.fitted:
        return None
    items = (element("li", element("b", item.what), f": {item.crossfit}") for item in contract.fitted)
    words = "Fitted on images, and how the calibration scores were kept honest"
    return element("details", element("summary", words), element("ul", items))
