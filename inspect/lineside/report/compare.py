"""compare.html: methods against each other on the same images, what was measured, and how far it may be trusted."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lineside.batch.table import plural
from lineside.bench.compare_words import COLUMNS, HEADINGS, MIXED, difference_words, mean_words
from lineside.report.document import document, table
from lineside.report.lines import Point, Series, legend, lines
from lineside.report.markup import Markup, element, section

if TYPE_CHECKING:
    from lineside.bench.compare_summary import Cell, Summary

DRAWN = (
    ("auroc", "Image AUROC: 1 is perfect, 0.5 is guessing."),
    ("aupro", "AUPRO: overlap of the map with each defect, up to a false-positive rate of 0.3."),
    ("pixel_auroc", "Pixel AUROC."),
    ("overkill", "Overkill: share of good parts called NG."),
    ("escapes", "Escapes: share of defective parts called OK."),
    ("class_accuracy", "Class accuracy: share whose most probable class is the right one."),
)
HOW_TO_READ = (
    "Every method learns from the same images, drawn by seed, and judges the same test images; each number is what the "
    "assembled graph returned. A mean stands with half of its 95 % interval over the seeds (Student's t), which tells "
    "how far the draw of training images moves it, and nothing of other test images. A difference is paired, its 95 % "
    "interval by bootstrap over seeds and test images together. AUROC counts every test image, overkill and escapes "
    "those with a call. Fit is processor time on one core, cross-fitting included; ms is one frame through the graph. "
    "The proof of parity, vectors and report are not part of it."
)


def render_comparison(summary: "Summary") -> str:
    """Return the page as HTML text."""
    seeds = len({row.seed for row in summary.rows})
    lead = (
        f"{plural(len(summary.rows), 'training run')}, {plural(seeds, 'draw')} of the images at each number of shots."
    )
    introduction = [element("p", lead, class_="lead"), element("p", HOW_TO_READ, class_="note"), *_warnings(summary)]
    sections = {part: section(part, *_part(summary, part)) for part in summary.parts}
    from lineside import __version__

    footer = f"lineside {__version__} · sources {', '.join(summary.programs)}"
    return document("Comparison of methods", introduction, sections, footer)


def _warnings(summary: "Summary") -> list[Markup]:
    if len(summary.programs) < 2:
        return []
    return [element("p", MIXED, class_="warning")]


def _part(summary: "Summary", part: str) -> list[Markup | None]:
    cells = [cell for cell in summary.cells if cell.part == part]
    labels = list(dict.fromkeys(cell.label for cell in cells))
    failed = [f"{cell.shots} shots, {cell.label}: {error}" for cell in cells for error in cell.errors]
    return [
        legend(labels),
        element("div", (_figure(cells, labels, *measure) for measure in DRAWN), class_="gallery"),
        element("h3", "All numbers"),
        _table(cells),
        *_differences(summary, part),
        element("h3", "Failed") if failed else None,
        element("ul", (element("li", words) for words in failed)) if failed else None,
    ]


def _figure(cells: "Sequence[Cell]", labels: Sequence[str], name: str, words: str) -> Markup | None:
    shots = sorted({cell.shots for cell in cells})
    means = {(cell.label, cell.shots): cell.means[name] for cell in cells if name in cell.means}
    if not means:
        return None

    def point(label: str, n: int) -> Point | None:
        mean = means.get((label, n))
        said = f"{n}: {mean_words(mean, 4)}"
        return Point(mean.value, mean.interval, said) if mean else None

    series = [Series(label, tuple(point(label, n) for n in shots)) for label in labels]
    drawing = lines([str(n) for n in shots], series, f"{words} Against the number of training images.", "shots")
    return element("figure", drawing, element("figcaption", words))


def _table(cells: "Sequence[Cell]") -> Markup:
    columns = [column for column in COLUMNS if any(column[0] in cell.means for cell in cells)]
    names = ("Method", "Shots", "Runs", *(heading for _, heading, _ in columns))
    rows = (
        (cell.label, cell.shots, cell.runs, *(mean_words(cell.means.get(name), digits) for name, _, digits in columns))
        for cell in cells
    )
    return table(names, rows)


def _differences(summary: "Summary", part: str) -> list[Markup]:
    differences = [one for one in summary.differences if one.part == part]
    if not differences:
        return []
    rows = (
        (
            one.label,
            HEADINGS[one.measure],
            "mean over all" if one.shots is None else one.shots,
            difference_words(one),
            one.seeds,
        )
        for one in differences
    )
    title = f"Less that of {differences[0].against}"
    return [element("h3", title), table(("Method", "Measure", "Shots", "Difference", "Seeds"), rows)]
