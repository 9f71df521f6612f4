"""An evaluation for the console."""

from typing import TYPE_CHECKING

from lineside.batch.summary import COUNTED
from lineside.batch.table import (
    area,
    escaped,
    facts_grid,
    interval_words,
    no_call_words,
    percent,
    plain_table,
    plural,
    rate_words,
)
from lineside.bench.evaluation.limits import Answer
from lineside.bench.evaluation.plant import DEFECTIVE, GOOD, VERDICTS, Plant
from lineside.bench.evaluation.rabbits import Rabbits
from lineside.bench.evaluation.run import Evaluation
from lineside.bench.evaluation.words import (
    auroc_words,
    calibration_words,
    copies_words,
    decision_words,
    left_out_words,
    localisation_words,
    plant_words,
    precision_words,
    timing_words,
    unsure_words,
)

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_STYLES = {"kept": "green", "broken": "bold red", "not judged": "bold yellow"}
_RABBITS_NAMED = 12


def evaluation_table(made: Evaluation) -> "RenderableType":
    """Return an evaluation as something that rich can print."""
    from rich.console import Group
    from rich.text import Text

    blocks: list[RenderableType] = [_truth(made), _facts(made)]
    if made.numbers.plant:
        blocks.append(_plant(made.numbers.plant))
    if made.answers:
        blocks.append(_limits(made.answers))
    if made.rabbits:
        blocks.append(_rabbits(made.rabbits))
    told = left_out_words(made), copies_words(made), unsure_words(made)
    blocks += [Text(words, style="yellow") for words in told if words]
    style = "bold red" if made.broken or made.not_judged else "bold"
    return Group(*blocks, Text(decision_words(made), style=style))


def _truth(made: Evaluation) -> "Table":
    n = made.numbers
    images = "" if n.images == n.parts else f" in {plural(n.images, 'image')}; the worst frame of a part counts"
    table = plain_table(f"{made.summary.part}: {plural(n.parts, 'part')}{images}")
    seen = [name for name in COUNTED if n.counts[name]]
    for name in ("folder", "parts", *seen, "wrong", "95 %", "AUROC"):
        table.add_column(name, justify="left" if name == "folder" else "right", no_wrap=name != "folder")
    for one in n.labels.classes:
        counts = [one.counts.get(name, 0) for name in seen]
        found = n.class_areas.get(one.name)
        table.add_row(
            escaped(one.name),
            str(sum(counts)),
            *(str(count) if count else "·" for count in counts),
            percent(one.wrong.share),
            interval_words(one.wrong),
            area(found.value) if found else "",
        )
    return table


def _facts(made: Evaluation) -> "Table":
    n = made.numbers
    lines = [
        ("overkill", rate_words(n.labels.overkill, "good parts called NG")),
        ("escapes", rate_words(n.labels.escapes, "defective parts called OK")),
        ("promise", " ".join(n.promise.sentences)),
        ("AUROC", auroc_words(n.auroc)),
        ("average precision", precision_words(n)),
        *localisation_words(n),
        ("good parts passed", rate_words(n.good_passed, "good parts called OK")),
    ]
    if made.summary.no_call.count:
        lines.append(("no call (images)", no_call_words(made.summary.no_call)))
    if n.classes and n.classes.right:
        lines.append(("class accuracy", rate_words(n.classes.right, "named parts of known classes right")))
    if n.calibration:
        lines.append(("probabilities", calibration_words(n.calibration)))
    if n.timing:
        lines += timing_words(n.timing)
    lines.append(("report", f"{made.summary.out}/report.html"))
    return facts_grid(lines)


def _plant(plant: Plant) -> "RenderableType":
    from rich.console import Group
    from rich.text import Text

    title = f"a million parts of the plant, {plant.defect_rate_ppm:,.0f} of them defective"
    table = plain_table(None)
    for name in ("truth", *VERDICTS):
        table.add_column(name, justify="left" if name == "truth" else "right")
    for kind in (GOOD, DEFECTIVE):
        table.add_row(kind, *(f"{plant.ppm[kind][name]:,.0f}" for name in VERDICTS))
    return Group("", Text(title, style="bold"), table, facts_grid(plant_words(plant)))


def _limits(answers: tuple[Answer, ...]) -> "RenderableType":
    from rich.console import Group

    table = plain_table("limits")
    for name in ("limit", "allowed", "found", ""):
        table.add_column(name, justify="left" if name in ("limit", "") else "right")
    for one in answers:
        allowed, found = one.words
        said = f"{one.state}: {one.reason}" if one.reason else one.state
        table.add_row(escaped(one.name), allowed, found, escaped(said), style=_STYLES[one.state])
    return Group("", table)


def _rabbits(rabbits: Rabbits) -> "RenderableType":
    from rich.text import Text

    passed = rabbits.passed
    if not passed:
        return Text(f"red rabbits: all {len(rabbits.parts)} were NG", style="green")
    named = [f"  {part.worst.path}: {part.verdict}" for part in passed[:_RABBITS_NAMED]]
    more = [f"  … and {len(passed) - _RABBITS_NAMED} more"] if len(passed) > _RABBITS_NAMED else []
    head = f"red rabbits: {len(passed)} of {len(rabbits.parts)} were not NG:"
    return Text("\n".join([head, *named, *more]), style="bold red")
