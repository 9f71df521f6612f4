"""By what it was judged: the threshold with what may be said of it, the model, its parts and their licences."""

from collections.abc import Iterable

from lineside.batch.summary import Limits, Summary
from lineside.batch.table import number, percent
from lineside.contract import Component, Contract
from lineside.contract_thresholds import Threshold
from lineside.report.markup import Markup, element, section

VOID = (
    "The threshold was overridden for this inspection. What the model's contract states of its own threshold, any "
    "guarantee included, does not hold for these verdicts."
)


def definitions(facts: Iterable[tuple[str, object]]) -> Markup:
    """Return names and values, one under the other."""
    return element("dl", ((element("dt", name), element("dd", value)) for name, value in facts))


def code(text: str) -> Markup:
    """Return text that is read letter by letter."""
    return element("code", text)


def threshold_section(limits: Limits, *more: Markup) -> Markup:
    """Say what the threshold is, how it was found, and what it promises; `more` stands in the box beside that."""
    facts: list[tuple[str, object]] = [("NG above", number(limits.ng))]
    if limits.review != limits.ng:
        facts.append(("REVIEW above", number(limits.review)))
    own = _contract_facts(limits.contract)
    if limits.overridden:
        note = element("p", VOID, class_="warning")
        return section(
            "Threshold",
            note,
            definitions([*facts, ("The model's own", number(limits.contract.value))]),
        )
    return section("Threshold", guarantee_box(limits.contract, *more), definitions(facts + own))


def guarantee_box(threshold: Threshold, *more: Markup) -> Markup:
    """Return what a threshold promises in a box: whether it is a guarantee at all, and the statement to the letter."""
    sure = threshold.kind == "guaranteed"
    title = "Guaranteed" if sure else "Empirical: no guarantee"
    kind = "guarantee" if sure else "guarantee empirical"
    return element("div", element("b", title), element("p", threshold.statement), more, class_=kind)


def _contract_facts(threshold: Threshold) -> list[tuple[str, object]]:
    low, high = threshold.interval
    parts = "" if threshold.n_groups == threshold.n else f" of {threshold.n_groups} parts"
    return [
        ("Kind", threshold.kind),
        ("Rule", threshold.rule),
        ("Taken from", f"{threshold.n} scores of good images{parts}"),
        ("Asked for", threshold.wish.in_words),
        ("Overkill to be expected at most", percent(threshold.supported_overkill)),
        (f"Overkill with {100 * threshold.confidence:g} % confidence", f"at most {percent(threshold.upper)}"),
        (f"{100 * threshold.confidence:g} % interval of the overkill", f"{percent(low)} to {percent(high)}"),
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
    rows = [
        element(
            "tr",
            element("th", item.role, scope="row"),
            (element("td", value) for value in (item.name, item.licence, item.source)),
            element("td", code(item.sha256[:12])),
        )
        for item in components
    ]
    if not rows:
        return None
    head = element(
        "tr", (element("th", name, scope="col") for name in ("Part", "Name", "Licence", "Source", "SHA-256"))
    )
    table = element("table", element("thead", head), element("tbody", rows), class_="text")
    return element("div", table, class_="scroll")


def fitted_details(contract: Contract) -> Markup | None:
    """Return what was fitted on images, folded away; None where nothing was."""
    if not contract.fitted:
        return None
    items = (element("li", element("b", item.what), f": {item.crossfit}") for item in contract.fitted)
    words = "Fitted on images, and how the calibration scores were kept honest"
    return element("details", element("summary", words), element("ul", items))
