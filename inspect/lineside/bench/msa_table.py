"""A measurement system study for the console."""

from typing import TYPE_CHECKING

from lineside.batch.table import percent, plural
from lineside.bench.msa import Against, Study
from lineside.calibrate.agreement import Kappa
from lineside.calibrate.gauge import USUAL_PARTS, GaugeRR

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


def msa_table(made: Study) -> "RenderableType":
    """Return a study as something that rich can print."""
    from rich.console import Group
    from rich.text import Text

    blocks: list[RenderableType] = []
    if made.gauge is None:
        blocks.append(Text(f"No gauge R&R of the score: {made.no_gauge}", style="yellow"))
    else:
        blocks += [_gauge(made.gauge), Text(gauge_words(made.gauge))]
    if made.left_out:
        blocks.append(Text(f"{plural(made.left_out, 'shot')} had no place in the balanced study."))
    blocks += [_means(made)] if made.differences or made.against_scores else []
    blocks += [_agreement(made)] if made.against or made.pairs or made.within else []
    blocks += [Text(words) for words in (no_kappa_words(made), flipped_words(made)) if words]
    if made.called < len(made.answers):
        blocks.append(
            Text(f"{len(made.answers) - made.called} of {plural(len(made.answers), 'shot')} got neither OK nor NG.")
        )
    if made.broken:
        blocks.append(Text(f"Not good enough: {', '.join(made.broken)}.", style="red"))
    return Group(*blocks, *(Text(words, style="magenta") for words in made.unreadable))


def gauge_words(gauge: GaugeRR) -> str:
    """Return what the gauge study says, in a sentence."""
    few = gauge.parts < USUAL_PARTS
    ndc = "no limit to the" if gauge.categories is None else f"{gauge.categories}"
    return (
        f"%GRR {percent(gauge.share)}: {gauge.verdict} (AIAG: up to 10 % acceptable, up to 30 % marginal); {ndc} "
        f"distinct categories (at least 5 are wanted). {plural(gauge.parts, 'part')}, "
        f"{plural(gauge.operators, 'station')}, {plural(gauge.repeats, 'repeat')}. Both depend on how far the chosen "
        "parts differ: parts that are all alike make the same system look worse, extreme ones better."
        + (" What stations differ by is not in it: there is one." if gauge.operators == 1 else "")
        + (f" AIAG asks for {USUAL_PARTS} parts and more: from {gauge.parts} it is a guess." if few else "")
    )


def no_kappa_words(made: Study) -> str:
    """Say why no kappa is given; empty where one is."""
    if made.within is not None or made.between is not None or any(one.kappa is not None for one in made.against):
        return ""
    return (
        "No kappa: it takes parts that were inspected more than once, several of which are mostly OK and several "
        "mostly NG. How far verdicts agree beyond chance was not measured."
    )


def flipped_words(made: Study) -> str:
    """Return how many parts changed their verdict, in a sentence."""
    one = made.flipped
    if not one.n:
        return "No part was inspected twice, so nothing is known of verdicts that flip."
    low, high = one.interval
    return (
        f"{one.k} of {plural(one.n, 'part')} did not get the same verdict every time ({percent(low)} to "
        f"{percent(high)} at 95 %)."
    )


def _gauge(gauge: GaugeRR) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(title="gauge R&R of the score (ANOVA)", title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("source", "standard deviation", "of the total"):
        table.add_column(name, justify="left" if name == "source" else "right")
    rows = (
        ("repeatability", gauge.repeatability),
        ("reproducibility", gauge.reproducibility),
        ("measurement system", gauge.grr),
        ("part to part", gauge.part),
        ("total", gauge.total),
    )
    for name, value in rows:
        if name == "reproducibility" and gauge.operators == 1:
            table.add_row(name, "–", "one station")
        else:
            table.add_row(name, f"{value:.4g}", percent(value / gauge.total) if gauge.total else "–")
    return table


def _means(made: Study) -> "Table":
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="mean score", title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("of", "bias", "95 % (t)", ""):
        table.add_column(name, justify="right" if name == "bias" else "left")
    rows = [*made.differences.items()] + [(f"{one.operator} - reference", one.bias) for one in made.against_scores]
    for name, one in rows:
        told = "" if one.interval is None else "differs" if one.found else "0 is in it"
        table.add_row(escape(name), f"{one.value:.4g}", one.spread, told)
    return table


def _agreement(made: Study) -> "Table":
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="agreement of the verdicts", title_justify="left", box=box.SIMPLE_HEAD, padding=0)
    table.add_column("between", overflow="fold", min_width=18)
    for name in ("kappa", "95 %"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for name in ("missed", "false\nalarms", "no\nverdict") if made.against else ():
        table.add_column(name, justify="right", no_wrap=True)
    rows: list[tuple[str, Kappa | None, tuple[str, ...]]] = [
        ("all shots", made.within, ()),
        ("stations", made.between, ()),
        *((name, kappa, ()) for name, kappa in made.pairs.items()),
        *((f"{one.operator} × reference", one.kappa, _counted(one)) for one in made.against),
    ]
    for name, kappa, counted in rows:
        if kappa is not None or counted:
            cells = ("–", "", "") if kappa is None else (f"{kappa.value:.3f}", kappa.spread, kappa.verdict)
            table.add_row(escape(name), *cells, *counted)
    return table


def _counted(one: Against) -> tuple[str, ...]:
    return (*(f"{k} of {n}" for k, n in (one.missed, one.false_alarms)), str(one.uncalled))
