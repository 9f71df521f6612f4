"""The section of a bundle's report that shows images of one part side by side, for a person to judge."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lineside.batch.gallery import plain_picture
from lineside.contract import FrameSpec
from lineside.report.gallery import embedded
from lineside.report.markup import Markup, element, section

if TYPE_CHECKING:
    from lineside.capture.copies import Copies, CopyPair

SHOWN = 12
"""Pairs with pictures; the rest are named."""
INTRODUCTION = (
    "Found by comparing all images: the same pixels, or a difference that camera noise explains, while everything else "
    "lies at least twice as far away. Look at them: two different parts that differ by no more than that count as "
    "one, so that less is promised and not more."
)


def copies_section(copies: "Copies", spec: FrameSpec) -> dict[str, Markup]:
    """Return the section by its title; nothing where nothing was found.

    Parameters
    ----------
    copies : Copies
    spec : FrameSpec
        How the images are read again for their pictures.
    """
    if not copies.notes:
        return {}
    figures = [_figure(pair, spec) for pair in copies.pairs[:SHOWN]]
    return {
        "Copies": section(
            "Copies",
            element("p", INTRODUCTION, class_="note"),
            (element("p", words) for words in copies.notes),
            element("div", figures, class_="gallery") if figures else None,
            _rest(copies.pairs[SHOWN:]),
        )
    }


def _figure(pair: "CopyPair", spec: FrameSpec) -> Markup:
    sides = (pair.first, pair.second)
    pictures = [(sample.name, plain_picture(sample.path, spec)) for sample in sides]
    images = [
        element("img", src=embedded(jpeg), alt=name) if jpeg else element("div", f"{name} is gone.")
        for name, jpeg in pictures
    ]
    return element(
        "figure",
        element("div", images, class_="pair"),
        element("figcaption", element("span", _meaning(pair)), element("span", pair.words, class_="path")),
    )


def _meaning(pair: "CopyPair") -> str:
    if not pair.across:
        return f"one part, both in {pair.first.split}"
    if pair.second.copy_of:
        return "train and test: the test image does not count"
    return f"train ({pair.first.label}) and test ({pair.second.label}): the test image counts"


def _rest(pairs: "Sequence[CopyPair]") -> Markup | None:
    if not pairs:
        return None
    named = element("ul", (element("li", f"{pair.words}: {_meaning(pair)}") for pair in pairs))
    return element("details", element("summary", f"{len(pairs)} more pairs"), named)
