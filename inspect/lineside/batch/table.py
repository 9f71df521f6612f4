"""The verdict table for the console, and numbers as people read them (the report uses the same words)."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from lineside.batch.classes import ToldClasses
from lineside.batch.labels import LabelSummary, Rate
from lineside.batch.no_call import NoCalls
from lineside.batch.parts import PartCounts
from lineside.batch.row import UNREADABLE
from lineside.batch.summary import COUNTED, Summary

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_STYLES = {"OK": "green", "NG": "red", "REVIEW": "yellow", "NO_CALL": "magenta", UNREADABLE: "magenta"}


def verdict_table(summary: Summary) -> "RenderableType":
    """Return a run's verdicts as something that rich can print.

    Parameters
    ----------
    summary : Summary
        What `inspect_images` returned.
    """
    from rich.console import Group

    parts: list[RenderableType] = [_counts(summary)]
    if summary.parts:
        parts.append(_parts(summary.parts))
    if summary.labels:
        parts.append(_truth(summary.labels))
    return Group(*parts, facts_grid(facts(summary)))


def _counts(summary: Summary) -> "Table":
    title = f"{summary.part}: {plural(summary.total, 'image')}"
    return _verdicts(title, summary.counts, summary.first_pass_yield)


def _parts(parts: PartCounts) -> "Table":
    return _verdicts(f"{plural(parts.total, 'part')}, each as its worst image", parts.counts, parts.first_pass_yield)


def _verdicts(title: str, counts: Mapping[str, int], first_pass_yield: float | None) -> "Table":
    table = plain_table(title)
    for name in COUNTED:
        table.add_column(name, justify="right", style=_STYLES[name] if counts[name] else "dim")
    table.add_column("yield", justify="right")
    table.add_row(*(str(counts[name]) for name in COUNTED), percent(first_pass_yield))
    return table


def _truth(labels: LabelSummary) -> "Table":
    table = plain_table("against the folder names (wrong: a good part called NG, any other called OK)")
    seen = [name for name in COUNTED if any(item.counts.get(name) for item in labels.classes)]
    for name in ("folder", f"{labels.unit}s", *seen, "wrong", "AUROC"):
        table.add_column(name, justify="left" if name == "folder" else "right", no_wrap=True)
    for item in labels.classes:
        counts = [item.counts.get(name, 0) for name in seen]
        table.add_row(
            escaped(item.name),
            str(sum(counts)),
            *(str(value) if value else "·" for value in counts),
            percent(item.wrong.share),
            "" if item.is_good else area(item.auroc),
        )
    return table


def facts_grid(lines: Iterable[tuple[str, str]]) -> "Table":
    """Return lines of name and value."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in lines:
        grid.add_row(name, escaped(value))
    return grid


def facts(summary: Summary) -> list[tuple[str, str]]:
    """Return the lines below the table: name and value."""
    limits = summary.threshold
    lines = [("threshold", f"{number(limits.ng)} ({'overridden' if limits.overridden else limits.contract.kind})")]
    if summary.parts and summary.parts.scattered_words:
        lines.append(("folders", summary.parts.scattered_words))
    if summary.labels:
        lines += [
            ("overkill", rate_words(summary.labels.overkill, "good parts called NG")),
            ("escapes", rate_words(summary.labels.escapes, "defective parts called OK")),
            ("AUROC", area(summary.labels.auroc)),
        ]
    if summary.classes:
        lines.append(("classes", class_words(summary.classes)))
        if summary.classes.right:
            lines.append(("class accuracy", rate_words(summary.classes.right, "named images of known classes right")))
    if summary.no_call.count or summary.no_call.limit is not None:
        lines.append(("no call", no_call_words(summary.no_call)))
    if summary.duration_ms:
        ms = summary.duration_ms
        lines.append(("ms per image", f"{ms.p50:.1f} median, {ms.p95:.1f} p95, {ms.p99:.1f} p99"))
    if summary.takt_share is not None and summary.takt_ms is not None:
        lines.append(("share of takt", f"{percent(summary.takt_share)} (p99) of {summary.takt_ms / 1000:g} s per part"))
    if summary.images_per_s is not None:
        resumed = "" if summary.judged_now == summary.total else f" ({summary.judged_now} judged now, the rest before)"
        lines.append(("images per second", f"{summary.images_per_s:.1f}{resumed}"))
    else:
        lines.append(("images per second", "nothing was left to judge"))
    if summary.masks_left_out:
        lines.append(("left out", plural(summary.masks_left_out, "ground-truth mask")))
    lines.append(("report", f"{summary.out}/report.html"))
    return lines


def class_words(classes: ToldClasses) -> str:
    """Say how many images were called which class."""
    told = [f"{name} {count:,}" for name, count in classes.counts.items() if count]
    return ", ".join(told) if told else "none was told"


def no_call_words(no_call: NoCalls) -> str:
    """Say how many images got no call, for which reasons, and what is allowed."""
    said = f"{percent(no_call.share)} ({no_call.count} of {plural(no_call.readable, 'readable image')})"
    if no_call.limit is not None:
        said += f", {'MORE THAN' if no_call.too_many else 'at most'} {percent(no_call.limit)}"
        said += " allowed" if not no_call.too_many else ", which is allowed"
    reasons = "; ".join(f"{reason.words}: {reason.count}" for reason in no_call.reasons)
    return f"{said}; {reasons}" if reasons else said


def rate_words(rate: Rate, what: str) -> str:
    """Say a rate with its n and its interval."""
    if rate.share is None:
        return f"no image to tell ({what})"
    return f"{percent(rate.share)} ({rate.k} of {rate.n} {what}; 95 % interval {interval_words(rate)})"


def interval_words(rate: Rate) -> str:
    """Say a rate's interval; empty where nothing was counted."""
    return f"{100 * rate.interval[0]:.1f} to {100 * rate.interval[1]:.1f} %" if rate.n else ""


def percent(share: float | None) -> str:
    """Say a share, 0 to 1, in percent; a dash where there is none."""
    return "–" if share is None else f"{100 * share:.1f} %"


def number(value: float | None) -> str:
    """Say a score or a threshold with four digits; a dash where there is none."""
    return "–" if value is None else f"{value:.4g}"


def area(value: float | None) -> str:
    """Say an AUROC; a dash where there is none."""
    return "–" if value is None else f"{value:.4f}"


def plural(n: int, what: str) -> str:
    """Say how many there are."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def plain_table(title: str | None) -> "Table":
    """Return a table without columns, as all our consoles have it."""
    from rich import box
    from rich.table import Table

    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)


def escaped(text: str) -> str:
    """Return text that rich does not take for its markup."""
    from rich.markup import escape

    return escape(text)
