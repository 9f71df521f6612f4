"""Regions drawn over a picture of the golden part: as SVG on top of it, so that the picture itself stays as it is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lineside.report.markup import Markup, element

if TYPE_CHECKING:
    from lineside.train.recipe_regions import DrawnRegion, Outline

_WIDTH = 1000.0
_LETTERS, _INSET = 46.0, 12.0


def over(picture: Markup, regions: "Sequence[DrawnRegion]", size_wh: tuple[int, int], *, named: bool = True) -> Markup:
    """Return a picture with regions on it; without any the picture as it is.

    Parameters
    ----------
    picture : Markup
        An ``img`` of the golden part, or of a frame aligned to it.
    regions : sequence of DrawnRegion
    size_wh : tuple of int
        Of the picture, px.
    named : bool
        Whether the names stand in it; on a small picture they can be pointed at only.
    """
    if not regions:
        return picture
    height = _WIDTH * size_wh[1] / size_wh[0]
    drawing = element(
        "svg",
        element("title", "Regions drawn: " + ", ".join(region.name for region in regions)),
        [_region(region, height) for region in regions],
        [_name(region, height, number) for number, region in enumerate(regions)] if named else None,
        viewBox=f"0 0 {_WIDTH:g} {height:g}",
        role="img",
        class_="regions",
    )
    return element("div", picture, drawing, class_="drawn")


def region_list(regions: "Sequence[DrawnRegion]") -> Markup | None:
    """Return names and meanings; None where nothing is drawn."""
    if not regions:
        return None
    return element("ul", (element("li", element("b", one.name), f": {one.meaning}") for one in regions))


def _region(region: "DrawnRegion", height: float) -> list[Markup]:
    """A dark line below a bright one is seen on every part."""
    title = element("title", f"{region.name}: {region.meaning}")
    shapes = [" ".join(f"{_WIDTH * x:.1f},{height * y:.1f}" for x, y in outline) for outline in region.outlines]
    below = [element("polygon", points=points, class_="below") for points in shapes]
    return [*below, *(element("polygon", title, points=points) for points in shapes)]


def _name(region: "DrawnRegion", height: float, number: int) -> Markup:
    """The name inside the upper left corner, of every second region inside the lower one: corners may coincide."""
    outline: Outline = max(region.outlines, key=len)
    left, top, bottom = min(x for x, _ in outline), min(y for _, y in outline), max(y for _, y in outline)
    y = height * top + _LETTERS if number % 2 else height * bottom - _INSET
    return element("text", region.name, x=f"{_WIDTH * left + _INSET:.1f}", y=f"{y:.1f}")
