"""Yield and reject rate by lot, camera, station and hour, each with its exact interval."""

from collections.abc import Iterator, Sequence

from lineside.batch.labels import rate
from lineside.batch.origins import Group, Origin
from lineside.batch.table import interval_words, percent, plural
from lineside.report.document import table
from lineside.report.markup import Markup, element, section

TITLE = "By origin"
MOST_SHOWN = 60
"""Groups of one kind; of more, those with the highest reject rate."""


def origins_section(origins: Sequence[Origin], *, of_good: bool, grouped: bool = False) -> Markup:
    """Return the section.

    Parameters
    ----------
    origins : sequence of Origin
        At least one.
    of_good : bool
        Whether only images that are known to be good were counted.
    grouped : bool
        Whether several images of a part are known to be so; each counts, and the intervals do not know of it.
    """
    what = "good images" if of_good else "images"
    narrow = " Each image of a part counts here, so that with several of them the intervals are too narrow."
    said = (
        f"Yield: OK, of the {what} that could be read; what got no call is no pass. "
        f"{'Overkill' if of_good else 'Reject rate'}: NG, of those that got a call. Intervals are exact "
        "(Clopper-Pearson, 95 %), each for itself: among many groups that do not differ, some look as if they did."
        f"{narrow if grouped else ''}"
    )
    return section(TITLE, element("p", said, class_="note"), *(piece for o in origins for piece in _table(o, of_good)))


def _table(origin: Origin, of_good: bool) -> Iterator[Markup]:
    groups, cut = origin.groups, ""
    if len(groups) > MOST_SHOWN:
        groups = tuple(sorted(groups, key=lambda g: -g.rejected / max(1, g.called))[:MOST_SHOWN])
        cut = f" The {MOST_SHOWN} of {len(origin.groups)} with the highest reject rate are shown."
    untold = f" Of {plural(origin.untold, 'image')} nothing tells it." if origin.untold else ""
    yield element("h3", f"By {origin.kind}")
    yield element("p", f"Told by {' and '.join(origin.how)}.{untold}{cut}", class_="note")
    names = (origin.kind.capitalize(), "Images", "Yield", "95 % interval", "Overkill" if of_good else "Reject rate")
    yield table((*names, "95 % interval"), map(_row, groups))


def _row(group: Group) -> tuple[str, ...]:
    passed, rejected = rate(group.passed, group.images), rate(group.rejected, group.called)
    shares = (percent(passed.share), interval_words(passed), percent(rejected.share), interval_words(rejected))
    return (group.name, f"{group.images:,}", *shares)
