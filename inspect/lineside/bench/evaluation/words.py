"""An evaluation in sentences: for the console and the report alike."""

from lineside.batch.labels import Rate
from lineside.batch.summary import ENOUGH_FOR_P99
from lineside.batch.table import area, number, percent, plural
from lineside.bench.evaluation.numbers import Numbers, Timing
from lineside.bench.evaluation.plant import Bounded, Plant
from lineside.bench.evaluation.run import Evaluation
from lineside.binomial import upper_bound
from lineside.calibrate.auroc_interval import Area
from lineside.calibrate.probability import Calibration
from lineside.capture import copies

_NAMED = 6


def verdict_words(made: Evaluation) -> str:
    """Say in a few sentences, without a term of statistics, how the model did."""
    n, labels = made.numbers, made.numbers.labels
    said = []
    if labels.overkill.n:
        said.append(f"Of {plural(labels.overkill.n, 'good part')} it rejected {_none(labels.overkill.k)}")
    if labels.escapes.n:
        missed = f"{_none(labels.escapes.k)} of {plural(labels.escapes.n, 'defective part')}"
        said.append(f"it let {missed} pass" if said else f"It let {missed} pass")
    found = f"{' and '.join(said)}." if said else "No part got a call, so nothing is known."
    if n.no_call.k:
        found += f" {plural(n.no_call.k, 'part')} got no call: the picture was not fit for a verdict."
    if n.counts["REVIEW"]:
        found += f" {plural(n.counts['REVIEW'], 'part')} went to a person for review."
    return f"{found} {decision_words(made)}"


def decision_words(made: Evaluation) -> str:
    """Say whether limits and red rabbits let the model pass."""
    if made.not_judged:
        return f"It cannot be released: these images cannot answer {plural(len(made.not_judged), 'limit')}."
    if made.broken:
        return f"It cannot be released: {' and '.join(_broken(made))}."
    if made.answers or made.rabbits:
        kept = "It keeps every limit that was set" if made.answers else "No limit was set"
        return f"{kept}{', and every red rabbit was caught' if made.rabbits else ''}."
    return "No limit was set, so this page does not say whether that is good enough."


def _broken(made: Evaluation) -> list[str]:
    """Say how many limits are broken, and how many red rabbits passed."""
    broken = sum(one.state == "broken" for one in made.answers)
    said = (
        [f"{broken} of {plural(len(made.answers), 'limit')} {'is' if broken == 1 else 'are'} broken"] if broken else []
    )
    if made.rabbits and made.rabbits.passed:
        said.append(f"{len(made.rabbits.passed)} of {plural(len(made.rabbits.parts), 'red rabbit')} passed")
    return said


def escape_bound_words(rate: Rate) -> str:
    """Say what the defective parts of the test allow to be claimed: the exact bound, one-sided as in the contract."""
    if not rate.n:
        return "No defective part got a call: nothing is known of escapes."
    return (
        f"{rate.k} of {plural(rate.n, 'defective part')} passed: with 95 % confidence, of defects like these and in "
        f"this mix, at most {percent(upper_bound(rate.k, rate.n))} pass (one-sided)."
    )


def auroc_words(found: Area | None) -> str:
    """Say an AUROC with its interval and how that was found."""
    if found is None:
        return "needs good and defective parts"
    low, high = found.interval
    return f"{area(found.value)} ({100 * found.confidence:g} % interval {area(low)} to {area(high)}, {found.method})"


def precision_words(n: Numbers) -> str:
    """Say the average precision beside that of chance."""
    if n.average_precision is None:
        return "needs good and defective parts"
    return f"{area(n.average_precision)} (chance: {area(n.defect_share)}, the share of defective parts here)"


def localisation_words(n: Numbers) -> list[tuple[str, str]]:
    """Return name and value of what masks tell; one line that there are none."""
    where = n.localisation
    if where.pixel_auroc is None:
        return [("localisation", "needs masks of defects in ground_truth/, or boxes in boxes.csv or coco.json")]
    boxed = (
        f", {n.boxed} of them by boxes: all that lies in a rectangle counts as defective, so not to be compared with "
        "areas from masks"
        if n.boxed
        else ""
    )
    return [
        ("pixel AUROC", f"{area(where.pixel_auroc)} ({plural(n.masks + n.boxed, 'marked image')}{boxed})"),
        ("AUPRO", f"{area(where.aupro)} up to a false-positive rate of 0.3, {area(where.aupro_strict)} up to 0.05"),
    ]


def timing_words(timing: Timing) -> list[tuple[str, str]]:
    """Return name and value of times."""
    ms, part = timing.image_ms, timing.part_ms
    shared = "" if timing.workers == 1 else f", {timing.workers} images at the same time"
    few = f"; {timing.images} images tell no p99: the slowest of them may lie below it"
    few = few if timing.images < ENOUGH_FOR_P99 else f"; {timing.images:,} images"
    lines = [("ms per image", f"{ms.p50:.1f} median, {ms.p95:.1f} p95, {ms.p99:.1f} p99{shared}{few}")]
    if timing.takt_ms is not None:
        shares = " / ".join(percent(value / timing.takt_ms) for value in (part.p50, part.p95, part.p99))
        lines.append(("share of takt", f"{shares} of {timing.takt_ms / 1000:g} s per part (median / p95 / p99)"))
    return lines


def plant_words(plant: Plant) -> list[tuple[str, str]]:
    """Return name and value of what the plant would see."""
    lines = [
        ("NG that is defective", f"{_bounded(plant.ppv)} (positive predictive value)"),
        ("OK that is good", f"{_bounded(plant.npv, 4)} (negative predictive value)"),
        ("first-pass yield", _bounded(plant.first_pass_yield)),
    ]
    if plant.cost_per_thousand is not None and plant.cost_per_thousand.value is not None:
        low, high = plant.cost_per_thousand.interval
        value = number(plant.cost_per_thousand.value)
        lines.append(("cost of 1,000 parts", f"{value} ({number(low)} to {number(high)}), overkill and escapes"))
    return lines


def calibration_words(found: Calibration) -> str:
    """Say how far the classes' probabilities may be believed."""
    few = "; with so few parts the error comes out too large" if found.n < 100 else ""
    brier, error = (f"{low:.3f} to {high:.3f}" for low, high in (found.brier_interval, found.ece_interval))
    return (
        f"Brier score {found.brier:.3f} (95 % interval {brier}), expected calibration error {found.ece:.3f} ({error}); "
        f"{plural(found.n, 'part')} by the class of the worst image{few}"
    )


def copies_words(made: Evaluation) -> str | None:
    """Say which images count as one part although no name said so; None where there are none."""
    if not made.copies:
        return None
    more = f" and {len(made.copies) - _NAMED} more" if len(made.copies) > _NAMED else ""
    sets = "; ".join(", ".join(one[:_NAMED]) for one in made.copies[:_NAMED])
    return f"Images that are copies of one another, by pixels or within noise, count once: {sets}{more}."


def unsure_words(made: Evaluation) -> str | None:
    """Say which images may be copies and count as parts of their own, as training says it; None without any."""
    return copies.unsure_words(made.unsure, made.near_limit, "say so by --group") if made.unsure else None


def left_out_words(made: Evaluation) -> str | None:
    """Say what became of images that model or thresholds were made from; None where there was none."""
    if made.left_out:
        return made.known.left_out(made.left_out, made.twins, evaluating=True)
    if made.known.compared is None:
        return "Whether the model was trained on some of these images cannot be told: its bundle names none."
    return None


def _none(count: int) -> str:
    return "none" if count == 0 else f"{count:,}"


def _bounded(found: Bounded, digits: int = 1) -> str:
    if found.value is None:
        return "not defined: there was none"
    low, high = (f"{100 * end:.{digits}f}" for end in found.interval)
    return f"{100 * found.value:.{digits}f} % ({low} to {high} %)"
