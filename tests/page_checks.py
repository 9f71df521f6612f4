"""What every report must hold in a real browser, each check a function that fails with what it found.

Accessibility is left to axe-core, which knows the rules of WCAG 2.2 better than we do; what it cannot see is here: the
keyboard, pictures that do not decode, what is cut off. Paper has a module of its own.
"""

from typing import Any

from browsing import NARROW, WIDE, Shown

PAPER_PX = 688
"""The text's width on A4 with the margins of page.css, at 96 px per inch."""
CONFORMANCE = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
OF_COLOUR = ["color-contrast", "link-in-text-block"]
"""Outside of drawings: what lies behind the text of an SVG axe cannot tell, and the palette's own test answers for."""
OF_WIDTH = ["scrollable-region-focusable", "target-size"]

_STOPS = """() => { window.stops = [...document.querySelectorAll('a[href], summary, input, button, [tabindex="0"]')]
  .filter(one => one.checkVisibility()); return window.stops.length }"""
_FOCUS = """() => {
  const one = document.activeElement, style = getComputedStyle(one), box = one.getBoundingClientRect();
  return {
    stop: window.stops.indexOf(one),
    ring: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1,
    seen: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
    what: one.outerHTML.slice(0, 120),
  }
}"""
_PICTURES = """(inside) => Promise.all([...document.querySelectorAll(inside + ' img')].map(async one => {
  const late = new Promise(done => setTimeout(done, 5000, false));
  const whole = await Promise.race([one.decode().then(() => true, () => false), late]);
  return { alt: one.alt, whole: whole && one.naturalWidth > 0 && one.getBoundingClientRect().width > 0 }
}))"""
_MUTE = """() => [...document.querySelectorAll('svg')]
  .filter(one => one.getAttribute('aria-hidden') !== 'true')
  .filter(one => one.getAttribute('role') !== 'img' || !one.querySelector(':scope > title')?.textContent)
  .map(one => one.outerHTML.slice(0, 120))"""
_CUT_OFF = """() => {
  const cut = [...document.querySelectorAll('body *')].filter(one => one instanceof HTMLElement)
    .filter(one => getComputedStyle(one).overflowX === 'hidden' && one.scrollWidth > one.clientWidth + 1);
  const text = [...document.querySelectorAll('svg text')].filter(one => {
    const box = one.getBoundingClientRect(), canvas = one.ownerSVGElement.getBoundingClientRect();
    return box.left < canvas.left - 1 || box.right > canvas.right + 1;
  });
  const beyond = document.documentElement.scrollWidth <= innerWidth ? [] :
    [...document.querySelectorAll('main *')].filter(one => one.getBoundingClientRect().right > innerWidth + 1);
  return [...cut, ...text, ...beyond].slice(0, 5).map(one => one.outerHTML.slice(0, 120))
}"""


def says_nothing(tab: Shown) -> None:
    """No message of the console, no error of a script, no request that the page's own policy had to stop."""
    assert not tab.messages, tab.messages


def asks_for_nothing(tab: Shown) -> None:
    """Nothing but the file itself was requested."""
    assert set(tab.requests) == {tab.file.as_uri()}, tab.requests


def is_accessible(tab: Shown) -> None:
    """Axe finds nothing against WCAG 2.2 A and AA or its own good practice: in light and dark, wide and narrow."""
    from axe_playwright_python.base import AXE_SCRIPT

    tab.load()
    tab.unfold()
    tab.page.evaluate(AXE_SCRIPT)
    found = _violations(tab, {"runOnly": CONFORMANCE, "rules": {rule: {"enabled": False} for rule in OF_COLOUR}})
    for scheme in ("light", "dark"):
        tab.page.emulate_media(color_scheme=scheme)
        found += _violations(tab, {"runOnly": OF_COLOUR}, {"exclude": [["svg"]]})
    tab.page.set_viewport_size({"width": NARROW, "height": 900})
    found += _violations(tab, {"runOnly": OF_WIDTH})
    assert not found, "\n".join(found)


def _violations(tab: Shown, options: dict[str, Any], context: dict[str, Any] | None = None) -> list[str]:
    """Rules that are broken and where; a contrast that cannot be told counts, but for text of one letter."""
    options = options | {"resultTypes": ["violations", "incomplete"]}
    result = tab.page.evaluate("([context, options]) => axe.run(context ?? document, options)", [context, options])
    told = [(rule["id"], node) for rule in result["violations"] for node in rule["nodes"]]
    unsure = [node for rule in result["incomplete"] if rule["id"] == "color-contrast" for node in rule["nodes"]]
    told += [("color-contrast", node) for node in unsure if not _is_short(node)]
    return [f"{rule}: {node['html'][:120]} {node.get('failureSummary', '')}" for rule, node in told]


def _is_short(node: dict[str, Any]) -> bool:
    return all(check["data"]["messageKey"] == "shortTextContent" for check in node["any"])


def can_be_walked_by_keyboard(tab: Shown) -> None:
    """Tab reaches links, folds, slider and what scrolls, in the document's order, ringed and in view; then it leaves.

    In a narrow window, where tables scroll. What the browser stops at and the page did not mean to fails too.
    """
    tab.load()
    tab.unfold()
    tab.page.set_viewport_size({"width": NARROW, "height": 900})
    count = tab.page.evaluate(_STOPS)
    assert count
    for wanted in range(count):
        tab.page.keyboard.press("Tab")
        found = tab.page.evaluate(_FOCUS)
        assert found["stop"] == wanted, found["what"]
        assert found["ring"], f"no ring around {found['what']}"
        assert found["seen"], f"out of view: {found['what']}"
    tab.page.keyboard.press("Tab")
    assert tab.page.evaluate(_FOCUS)["stop"] in (-1, 0), "the keyboard is trapped at the end"


def folds_open_by_keyboard(tab: Shown) -> None:
    """Enter opens what is folded away, Space closes it."""
    tab.load()
    for summary in tab.page.locator("summary").all():
        for key, is_open in (("Enter", True), ("Space", False)):
            summary.press(key)
            assert summary.evaluate("one => one.parentElement.open") is is_open, summary.inner_text()


def sliders_move_by_keyboard(tab: Shown) -> None:
    """Home, End and an arrow move a slider, and what stands beside it is another text each time."""
    tab.load()
    for slider in tab.page.locator("input[type=range]").all():
        beside = tab.page.locator(f"output[for={slider.get_attribute('id')}]")
        said = [beside.inner_text()]
        for key in ("Home", "End", "ArrowLeft"):
            slider.press(key)
            said.append(beside.inner_text())
        assert len(set(said)) == len(said), said
        highest = int(slider.get_attribute("max") or 100)
        assert int(slider.input_value()) == highest - 1


def pictures_are_there(tab: Shown) -> None:
    """Every picture can be decoded, has a size and a text; every drawing has a title or is left to the words."""
    tab.load()
    found = [one for one in pictures(tab) if not (one["whole"] and one["alt"].strip())]
    found += tab.page.evaluate(_MUTE)
    assert not found, found


def pictures(tab: Shown, inside: str = "body") -> list[dict[str, Any]]:
    """Text of each picture inside an element, folded away or not, and whether the picture is whole."""
    tab.unfold()
    found: list[dict[str, Any]] = tab.page.evaluate(_PICTURES, inside)
    return found


def nothing_is_cut_off(tab: Shown) -> None:
    """Not on a phone, a desk or paper: the page scrolls down only, no box hides a part of what it holds."""
    tab.load()
    tab.unfold()
    for medium, width in (("screen", NARROW), ("screen", WIDE), ("print", PAPER_PX)):
        tab.page.emulate_media(media=medium)
        tab.page.set_viewport_size({"width": width, "height": 900})
        found = tab.page.evaluate(_CUT_OFF)
        assert not found, f"{medium}, {width} px: {found}"


CHECKS = (
    pictures_are_there, nothing_is_cut_off, can_be_walked_by_keyboard, folds_open_by_keyboard, sliders_move_by_keyboard,
    is_accessible, says_nothing, asks_for_nothing,
)  # fmt: skip
"""All that a page must hold on the screen; the last two see what the others stirred up."""
