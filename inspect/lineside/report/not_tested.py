"""What neither the images at hand nor anything else tested: a section of every report."""

from collections.abc import Iterable, Iterator

from lineside.batch.summary import Summary
from lineside.contract import Contract
from lineside.report.markup import Markup, element, section
from lineside.untested import untested

TITLE = "Not tested"
NO_GOOD, NO_DEFECTIVE = "Overkill: no good part got a call.", "Escapes: no defective part got a call."
ONE_IMAGE_EACH = "Whether several images show the same part: each was taken for a part of its own."
AGAIN = (
    "How the verdict changes when the same part is pictured again (lineside msa), and when light, focus and pose get "
    "worse (lineside stress)."
)
NO_TAKT = "Whether it keeps up with the line: no takt was given (--takt)."


def not_tested(sentences: Iterable[str]) -> Markup:
    """Return the section."""
    return section(TITLE, element("ul", (element("li", sentence) for sentence in sentences)))


def of_an_inspection(summary: Summary, contract: Contract) -> Iterator[str]:
    """Say what an inspection leaves open, one sentence each."""
    labels = summary.labels
    if labels is None:
        yield "Overkill and escapes: nobody told which of these parts are good (--labels)."
    else:
        yield from (words for rate, words in ((labels.overkill, NO_GOOD), (labels.escapes, NO_DEFECTIVE)) if not rate.n)
    yield (
        "Whether the model learned from some of these images, and whether its map points at the defects: lineside "
        "evaluate tells."
    )
    if summary.threshold.overridden:
        yield "What this threshold is worth: what the model states holds for its own."
    if summary.parts is None:
        yield ONE_IMAGE_EACH
    yield AGAIN
    if summary.takt_ms is None:
        yield NO_TAKT
    yield from untested(contract)
