"""The checks of pages can fail: each of them on a page that was spoiled in one place, and none on the page before."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import page_checks as on_screen
import paper as on_paper
from browsing import Shown, shown
from lineside.report.document import document, table
from lineside.report.light_pose import embedded
from lineside.report.markup import Markup, element, section

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SCRIPT = """
const slider = document.querySelector('input');
slider.addEventListener('input', () => document.querySelector('output').textContent = 'above ' + slider.value);
"""
FROM_OUTSIDE = '<img src="http://localhost:9/x.png" alt="from outside">'


def _sound() -> str:
    """A page with something of everything."""
    picture = embedded(np.full((40, 60, 3), 120, np.uint8), "a part")
    names = ("Number", *(f"A column with a long name {i}" for i in range(4)))
    sections = {
        "Pictures": section("Pictures", element("h3", "A part"), element("figure", picture), _drawing()),
        "Numbers": section("Numbers", table(names, [("one", *range(4))])),
        "More": section("More", element("details", element("summary", "Fold"), element("p", "Folded words."))),
        "Tried": section("Tried", _slider()),
    }
    return document("A page", [element("p", "What it is about.", class_="note")], sections, "its end", SCRIPT)


def _drawing() -> Markup:
    title, text = element("title", "a drawing"), element("text", "ten", x=10, y=20)
    return element("svg", title, text, viewBox="0 0 100 30", role="img")


def _slider() -> Markup:
    return element(
        "p",
        element("label", "Try ", for_="slide"),
        element("input", type="range", id="slide", min=0, max=9, value=5),
        element("output", "as it is", for_="slide"),
    )


def test_a_sound_page_passes(browser: "Browser", tmp_path: Path) -> None:
    """Nothing is wrong with it, so that what fails below fails for what was spoiled."""
    file = tmp_path / "page.html"
    file.write_text(_sound(), encoding="utf-8")
    with shown(browser, file) as tab:
        for check in (*on_paper.CHECKS, *on_screen.CHECKS):
            check(tab)


def _script(code: str) -> tuple[str, str]:
    return "</body>", f"<script>{code}</script></body>"


def _style(rule: str) -> tuple[str, str]:
    return "</style>", f"{rule}</style>"


SPOILED = {
    "an error on the console": (on_screen.says_nothing, "oh", _script("throw new Error('oh')")),
    "a request that the policy stops": (on_screen.says_nothing, "localhost:9", ("</main>", f"{FROM_OUTSIDE}</main>")),
    "a request that leaves": (
        on_screen.asks_for_nothing,
        "localhost:9",
        ("</main>", f"{FROM_OUTSIDE}</main>"),
        ("default-src &#x27;none&#x27;; img-src data:;", ""),
    ),
    "a label that belongs to nothing": (on_screen.is_accessible, "label: <input", ('for="slide"', 'for="nothing"')),
    "a heading of the wrong level": (on_screen.is_accessible, "heading-order", ("h3>", "h5>")),
    "pale words": (on_screen.is_accessible, "color-contrast", ("--soft: #626b76", "--soft: #a2abb6")),
    "words dark in the dark": (
        on_screen.is_accessible,
        "color-contrast",
        ("--soft: #98a2ad", "--soft: #48525d"),
    ),
    "a table that cannot be scrolled by keyboard": (
        on_screen.is_accessible,
        "scrollable-region-focusable",
        ('tabindex="0"', ""),
    ),
    "a link that comes before its turn": (
        on_screen.can_be_walked_by_keyboard,
        "#numbers",
        ('href="#numbers"', 'href="#numbers" tabindex="1"'),
    ),
    "a fold that is left out": (on_screen.can_be_walked_by_keyboard, "input", ("<summary", '<summary tabindex="-1"')),
    "no ring": (on_screen.can_be_walked_by_keyboard, "no ring", ("outline: 3px solid var(--accent)", "outline: none")),
    "a trap": (
        on_screen.can_be_walked_by_keyboard,
        "<summary",
        _script("document.querySelector('summary').onkeydown = event => event.preventDefault()"),
    ),
    "a fold that stays": (
        on_screen.folds_open_by_keyboard,
        "Fold",
        _script("document.querySelector('summary').onkeydown = event => event.preventDefault()"),
    ),
    "a slider without effect": (
        on_screen.sliders_move_by_keyboard,
        "as it is",
        ("addEventListener('input'", "x?.(0"),
    ),
    "a broken picture": (on_screen.pictures_are_there, "a part", ("base64,/9j/", "base64,AAAA")),
    "a picture that never comes": (
        on_screen.pictures_are_there,
        "a part",
        ("<figure>", '<div style="height: 9999px"></div><figure>'),
        ('alt="a part"', 'alt="a part" loading="lazy"'),
    ),
    "a picture without words": (on_screen.pictures_are_there, "'alt': ''", ('alt="a part"', 'alt=""')),
    "a drawing without a title": (on_screen.pictures_are_there, "<svg", ("<title>a drawing</title>", "")),
    "a page that is too wide": (on_screen.nothing_is_cut_off, "420 px", _style("section { width: 700px; }")),
    "a box that cuts off": (on_screen.nothing_is_cut_off, "<figure", _style("figure img { width: 2000px; }")),
    "a label beyond its drawing": (on_screen.nothing_is_cut_off, "<text", ('x="10"', 'x="90"')),
    "headings upside down": (
        on_paper.prints_in_order,
        "Heading(",
        _style("@media print { main { display: flex; flex-direction: column-reverse; } }"),
    ),
    "words not on paper": (
        on_paper.prints_in_order,
        "Folded",
        ("details::details-content", "details::nothing"),
    ),
    "a picture that is not on paper": (
        on_paper.prints_its_pictures,
        "1 of 1 pictures",
        _style("@media print { figure { display: none; } }"),
    ),
    "a picture that is cut": (on_paper.prints_its_pictures, "cut", _style("figure img { height: 1500px; }")),
}


@pytest.mark.parametrize(("check", "words", "edits"), [(c, w, e) for c, w, *e in SPOILED.values()], ids=SPOILED)
def test_a_spoiled_page_fails(
    browser: "Browser", tmp_path: Path, check: Callable[[Shown], None], words: str, edits: list[tuple[str, str]]
) -> None:
    """With what is wrong in the message."""
    page = _sound()
    for old, new in edits:
        assert old in page
        page = page.replace(old, new)
    file = tmp_path / "page.html"
    file.write_text(page, encoding="utf-8")
    with shown(browser, file) as tab, pytest.raises(AssertionError) as failure:
        check(tab)
    assert words in str(failure.value)
