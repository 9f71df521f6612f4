"""Times per image and per part, and their share of the takt."""

from collections.abc import Sequence

from lineside.batch.summary import Percentiles
from lineside.batch.table import percent
from lineside.report.document import table, tile
from lineside.report.markup import Markup, element


def takt_tile(share: float) -> Markup:
    """Return the share of the takt that the slowest parts take, 1 being all of it, as a tile."""
    return tile(percent(share), "of the takt (p99)", "NG" if share > 1 else "")


def times(image_ms: Percentiles, part_ms: Percentiles, takt_ms: float | None, workers: int) -> Sequence[Markup]:
    """Return a table, and the sentence on what the times are.

    Parameters
    ----------
    image_ms, part_ms : Percentiles
        Of one image, and of all images of a part together.
    takt_ms : float or None
        Time per part on the line; None where it was not given.
    workers : int
        Images judged at the same time.
    """
    rows = []
    for name, ms in (("per image", image_ms), ("per part", part_ms)):
        values = (ms.p50, ms.p95, ms.p99)
        rows.append((f"{name}, ms", *(f"{value:.1f}" for value in values)))
        if name == "per part" and takt_ms is not None:
            rows.append(("per part, of the takt", *(percent(value / takt_ms) for value in values)))
    takt = "No takt was given (--takt)." if takt_ms is None else f"Takt: {takt_ms / 1000:g} s per part."
    shared = (
        "One image at a time, as on a line."
        if workers == 1
        else f"{workers} images at the same time, which slow one another down."
    )
    note = f"{takt} {shared} Time in the graph on this machine; camera, reading of files and communication come on top."
    return table(("", "median", "p95", "p99"), rows), element("p", note, class_="note")
