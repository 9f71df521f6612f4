"""The frame that all pages share: one HTML file with its style inline, and nothing fetched.

So it can be mailed, archived and opened in ten years. The page forbids itself every request (its content security
policy). A script is there only where a page has something to point at, and everything can be read without.
"""

from collections.abc import Iterable, Mapping, Sequence
from importlib import resources

from lineside.report.markup import Markup, anchor, element

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def document(
    title: str, introduction: Iterable[Markup], sections: Mapping[str, Markup], footer: str, script: str | None = None
) -> str:
    """Return a page as HTML text.

    Parameters
    ----------
    title : str
    introduction : iterable of Markup
        Below the title.
    sections : mapping of str to Markup
        By title, in their order; the navigation is made from the titles.
    footer : str
    script : str, optional
        JavaScript at the end of the page.
    """
    style = resources.files("lineside.report").joinpath("page.css").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element(
            "meta",
            http_equiv="Content-Security-Policy",
            content=_POLICY + ("; script-src 'unsafe-inline'" * bool(script)),
        ),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Markup(style)),
    )
    header = element("header", element("h1", title), introduction)
    main = element("main", header, _navigation(sections), sections.values(), element("footer", footer))
    moving = element("script", Markup(script)) if script else None
    return f"<!DOCTYPE html>\n{element('html', head, element('body', main, moving), lang='en')}\n"


def tile(value: object, name: str, kind: str = "") -> Markup:
    """Return a number in large type with its name; `kind` gives it its colour."""
    return element("div", element("b", value), element("span", name), class_=f"tile {kind}".rstrip())


def scrolling(what: str, child: Markup, kind: str = "") -> Markup:
    """Return what scrolls sideways where the window is too narrow, also by keyboard.

    Parameters
    ----------
    what : str
        Said to those who cannot see that it scrolls.
    child : Markup
    kind : str, optional
        A further class.
    """
    label = f"{what}, can be scrolled sideways"
    return element("div", child, class_=f"scroll {kind}".rstrip(), tabindex=0, role="group", aria_label=label)


def table(names: Sequence[str], rows: Iterable[Sequence[object]], class_: str | None = None) -> Markup:
    """Return a table that scrolls sideways where it is too wide.

    Parameters
    ----------
    names : sequence of str
        Of the columns; none for a table without a head.
    rows : iterable of sequences
        The first cell names its row; a cell that is a ``td`` already stays one.
    class_ : str, optional
        Of the table.
    """
    head = element("tr", (element("th", name, scope="col") if name else element("td") for name in names))
    body = (element("tr", element("th", first, scope="row"), map(_cell, others)) for first, *others in rows)
    made = element("table", element("thead", head) if names else None, element("tbody", body), class_=class_)
    return scrolling("Table", made)


def _cell(value: object) -> Markup:
    return value if isinstance(value, Markup) and value.startswith("<td") else element("td", value)


def _navigation(titles: Iterable[str]) -> Markup:
    return element("nav", (element("a", title, href=f"#{anchor(title)}") for title in titles), aria_label="Sections")
