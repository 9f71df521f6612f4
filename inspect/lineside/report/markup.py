"""HTML built from values: text is escaped unless it is markup already, so forgetting to escape is not possible.

A template engine was rejected: jinja2 is no dependency of the base install, and with `string.Template` every single
field would have to be escaped by hand (a file may be called ``<script>.png``).
"""

import html
from collections.abc import Iterable

_VOID = {"img", "meta", "br", "input", "line", "rect", "path", "circle", "polygon"}


class Markup(str):
    """Text that is HTML or SVG already."""

    __slots__ = ()


def element(tag: str, *children: object, **attributes: object) -> Markup:
    """Return one element.

    Parameters
    ----------
    tag : str
        Its name.
    *children : Markup, str, number, None, or an iterable of these
        What is no `Markup` is escaped; None is left out.
    **attributes : object
        ``class_`` becomes ``class``, other underscores become hyphens; None is left out, values are escaped.
    """
    named = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in _VOID and not children:
        return Markup(f"<{tag}{named}/>")
    return Markup(f"<{tag}{named}>{join(children)}</{tag}>")


def section(title: str, *children: object) -> Markup:
    """Return a section with its heading, and an anchor made from that."""
    return element("section", element("h2", title), *children, id=anchor(title))


def anchor(title: str) -> str:
    """Return the id of the section with this title."""
    return title.lower().replace(" ", "-")


def join(children: object) -> Markup:
    """Return children one after another, each escaped unless it is `Markup`."""
    if children is None:
        return Markup("")
    if isinstance(children, Markup):
        return children
    if isinstance(children, Iterable) and not isinstance(children, str):
        return Markup("".join(join(child) for child in children))
    return Markup(html.escape(str(children)))
