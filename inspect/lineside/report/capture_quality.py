"""The section on picture quality: the numbers behind the gate over a run, beside their limits."""

from collections.abc import Sequence

from lineside.batch.quality import QualityFound
from lineside.batch.table import plural
from lineside.report.light_pose import QualityRow, quality_table, speaks_for
from lineside.report.markup import Markup, element, section
from lineside.report.sparkline import sparkline

NOTE = (
    "Numbers that lie near a limit on most images say that camera or lamp drifted since the training, before there is "
    "a NO_CALL. Values beyond a limit are marked."
)


def quality_section(found: Sequence[QualityFound]) -> Markup:
    """Return the section "Picture quality": numbers that the gate speaks by, the others folded away."""
    if not found:
        return section("Picture quality", element("p", "No image was judged."))
    limited = [one for one in found if one.limits != (None, None)]
    told = [one for one in found if one.limits == (None, None)]
    parts: list[Markup] = []
    if limited:
        beyond = sum(one.beyond > 0 for one in limited)
        numbers = plural(len(limited), "number")
        said = f"All {numbers} that the gate speaks by stayed within their limits on every image."
        if beyond:
            said = f"{beyond} of {numbers} went beyond a limit on at least one image."
        parts = [element("p", said), _table(limited), element("p", NOTE, class_="note"), *_over_time(limited)]
    else:
        parts = [element("p", "The gate of this model has no limits: a bad picture gets a verdict.", class_="warning")]
    if told:
        parts.append(element("details", element("summary", "Numbers without a limit"), _table(told)))
    return section("Picture quality", *parts)


def _over_time(found: Sequence[QualityFound]) -> tuple[Markup, ...]:
    drawn = [drawing for drawing in map(sparkline, found) if drawing is not None]
    if not drawn:
        return ()
    words = (
        "Medians of images that follow each other in time, of good parts alone where the truth is known; limits dashed."
    )
    return element("h3", "Over time"), element("div", drawn, class_="sparks"), element("p", words, class_="note")


def _table(found: Sequence[QualityFound]) -> Markup:
    rows = [
        QualityRow(one.name, speaks_for(one.name), one.limits, (one.least, one.median, one.greatest)) for one in found
    ]
    return quality_table(rows, ("Least", "Median", "Greatest"))
