"""The tables of an evaluation's report: decision, promise, truth, plant, classes, time, and what was not tested."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from lineside.batch.classes import confusion_rows
from lineside.batch.labels import Rate
from lineside.batch.summary import COUNTED, Collector, Limits
from lineside.batch.table import area, class_words, interval_words, percent, plural, rate_words
from lineside.contract import Contract
from lineside.export.known_images import KnownImages
from lineside.report.confusion import NOTE as CONFUSION_NOTE
from lineside.report.confusion import confusion_table
from lineside.report.document import table, tile
from lineside.report.histogram import ScoreSets
from lineside.report.markup import Markup, element, section
from lineside.report.not_tested import AGAIN, NO_DEFECTIVE, NO_GOOD, NO_TAKT, ONE_IMAGE_EACH, not_tested
from lineside.report.origin import definitions
from lineside.report.roc import operating_curves, operating_points
from lineside.report.scores import drawn_scores, review_line
from lineside.report.timing import takt_tile, times
from lineside.untested import untested

if TYPE_CHECKING:
    from lineside.bench.evaluation.limits import Answer
    from lineside.bench.evaluation.numbers import Numbers, Timing
    from lineside.bench.evaluation.parts import Part
    from lineside.bench.evaluation.plant import Plant
    from lineside.bench.evaluation.promise import EscapesBeside
    from lineside.bench.evaluation.rabbits import Rabbits
    from lineside.bench.evaluation.run import Evaluation

_HELD = {"kept": "not contradicted", "above": "more, maybe by chance", "broken": "broken", "unknown": "–"}
"""What came of a bound on escapes, in words."""


def tiles(made: "Evaluation") -> Markup:
    """Return the decision: limits one by one, and the numbers that matter most."""
    from lineside.bench.evaluation.words import decision_words

    n = made.numbers
    overkill, escapes = n.labels.overkill, n.labels.escapes
    numbers = [
        tile(_of(overkill), "overkill: good called NG", "NG" if overkill.k else "OK"),
        tile(_of(escapes), "escapes: defective called OK", "NG" if escapes.k else "OK"),
        tile(area(n.auroc.value if n.auroc else None), "image AUROC"),
        tile(n.no_call.k, "parts without a call", "NO_CALL" if n.no_call.k else "none"),
    ]
    if n.timing and n.timing.takt_share is not None:
        numbers.append(takt_tile(n.timing.takt_share))
    decision = element("p", decision_words(made), class_="warning" if made.broken or made.not_judged else None)
    return section(
        "Decision",
        decision,
        element("div", numbers, class_="tiles"),
        _limits_table(made.answers) if made.answers else None,
    )


def _limits_table(answers: "Sequence[Answer]") -> Markup:
    rows = (
        (
            one.name,
            one.words[0],
            one.words[1],
            (element("span", one.state, class_=f"verdict {one.state.replace(' ', '-')}"), _because(one.reason)),
        )
        for one in answers
    )
    return table(("Limit", "Allowed", "Found", "Verdict"), rows)


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def red_rabbits(rabbits: "Rabbits") -> Markup:
    """Say whether every challenge part was caught, and name those that were not."""
    passed = rabbits.passed
    if not passed:
        words = f"All {plural(len(rabbits.parts), 'challenge part')} in {rabbits.folder} were called NG."
        return section("Red rabbits", element("p", words))
    words = f"{len(passed)} of {plural(len(rabbits.parts), 'challenge part')} in {rabbits.folder} were not called NG:"
    items = (element("li", f"{part.worst.path}: {part.verdict}") for part in passed)
    return section("Red rabbits", element("p", words, class_="warning"), element("ul", items))


def promise(n: "Numbers") -> tuple[Markup | None, ...]:
    """Return what came of the thresholds' promises, and what may be said of escapes; for the box of the guarantee."""
    from lineside.bench.evaluation.words import escape_bound_words

    return (
        element("p", element("strong", "On these parts: "), n.promise.sentence),
        *(element("p", words) for words in n.promise.sentences[1:]),
        element("p", element("strong", "Escapes here: "), escape_bound_words(n.labels.escapes)),
        _escapes_table(n.promise.escapes) if n.promise.escapes else None,
    )


def _escapes_table(beside: "Sequence[EscapesBeside]") -> Markup:
    """Return what the model states of escapes beside those of these parts, class by class."""
    rows = (
        (
            one.label,
            f"{one.missed} of {one.n}" if one.n else "–",
            f"at most {percent(one.bound)}" if one.n else "nothing",
            _of(one.found),
            interval_words(one.found) if one.found.n else "–",
            _HELD[one.kept],
        )
        for one in beside
    )
    return table(
        ("Defects", "Stated from", "Stated, one-sided", "Escaped here", "95 % interval, two-sided", "Bound"), rows
    )


def against_the_truth(n: "Numbers") -> Markup:
    """Return rates, areas and a line for each folder."""
    from lineside.bench.evaluation.words import auroc_words, localisation_words, precision_words

    worst = "" if n.frames_per_part == 1 else " Of several frames of a part the worst counts."
    facts = [
        ("Overkill", rate_words(n.labels.overkill, "good parts called NG")),
        ("Escapes", rate_words(n.labels.escapes, "defective parts called OK")),
        ("Good parts in REVIEW", rate_words(n.in_review, "good parts called REVIEW: work for a person, no overkill")),
        ("Good parts passed", rate_words(n.good_passed, "good parts called OK: their first-pass yield")),
        ("Without a call", rate_words(n.no_call, "parts; counted apart, never as OK")),
        ("Image AUROC", auroc_words(n.auroc)),
        ("Average precision", precision_words(n)),
        *((name[0].upper() + name[1:], words) for name, words in localisation_words(n)),
    ]
    note = f"The truth is what the folders are called. Intervals of shares are exact (Clopper-Pearson, 95 %).{worst}"
    return section(
        "Against the truth",
        element("p", note, class_="note"),
        definitions(facts),
        element("h3", "By folder"),
        _folder_table(n),
    )


def _folder_table(n: "Numbers") -> Markup:
    seen = [name for name in COUNTED if n.counts[name]]
    rows = []
    for one in n.labels.classes:
        found = n.class_areas.get(one.name)
        rows.append(
            (
                one.name,
                sum(one.counts.values()),
                *(one.counts.get(name, 0) or "·" for name in seen),
                f"{'overkill' if one.is_good else 'escapes'} {percent(one.wrong.share)}",
                interval_words(one.wrong),
                "" if found is None else area(found.value),
                "" if found is None else " to ".join(area(end) for end in found.interval),
            )
        )
    return table(("Folder", "Parts", *seen, "Wrong", "95 % interval", "AUROC", "95 % interval"), rows)


def plant(made: "Plant") -> Markup:
    """Return the confusion of a million parts at the plant's share of defects."""
    from lineside.bench.evaluation.plant import DEFECTIVE, GOOD, VERDICTS
    from lineside.bench.evaluation.words import plant_words

    words = (
        f"A million parts, {made.defect_rate_ppm:,.0f} of them defective. Of the plant that share alone is known. How "
        "often good and defective parts get each verdict is taken from the test parts, all classes of defects together "
        "in the mix they have there, which decides PPV, cost and ppm too. Intervals hold at 95 % or more (two exact "
        "ones of 97.5 %)."
    )
    rows = ((kind, *(f"{made.ppm[kind][name]:,.0f}" for name in VERDICTS)) for kind in (GOOD, DEFECTIVE))
    facts = [(name[0].upper() + name[1:], value) for name, value in plant_words(made)]
    return section(
        "In the plant", element("p", words, class_="note"), table(("Truth", *VERDICTS), rows), definitions(facts)
    )


def scores(collector: Collector, limits: Limits) -> Markup:
    """Return the histogram, image by image."""
    up, down = collector.scores(good=True), collector.scores(good=False)
    more = review_line(limits.review, limits.ng)
    drawn = drawn_scores(ScoreSets(up, down, limits.ng, ("good", "defective"), more=more))
    words = "Upward: good images. Downward: defective ones. Red lies above the threshold. No call is left out."
    return section("Scores", drawn, element("p", words, class_="note"))


def curves(n: "Numbers", parts: "Sequence[Part]", contract: Contract) -> Markup:
    """Return ROC, and overkill and escapes against the threshold, by part."""
    assert n.auroc is not None
    called = [part for part in parts if part.called and part.score is not None]
    good = [part.score for part in called if part.score is not None and contract.is_good(part.label)]
    bad = [part.score for part in called if part.score is not None and not contract.is_good(part.label)]
    own = contract.threshold_ng.value
    drawn = operating_curves(operating_points(good, bad, own), own, n.auroc.value)
    note = (
        "By part, from scores alone. A threshold chosen here would fit these very parts: choose on other images, then "
        "evaluate again."
    )
    return section("Curves", element("p", note, class_="note"), drawn)


def classes(n: "Numbers", names: Sequence[str]) -> Markup:
    """Return how often a class was told rightly, what was taken for what, and whether probabilities can be believed."""
    from lineside.bench.evaluation.words import calibration_words

    assert n.classes is not None
    facts = [("Told", class_words(n.classes))]
    if n.classes.right:
        facts.append(("Right", rate_words(n.classes.right, "named parts of known classes")))
    if n.calibration:
        facts.append(("Probabilities", calibration_words(n.calibration)))
    found = [definitions(facts)]
    if n.calibration:
        rows = (
            (percent(one.confidence), percent(one.right), " to ".join(map(percent, one.interval)), one.n)
            for one in n.calibration.bins
        )
        found += [
            element("h3", "Said and true"),
            table(("Mean probability that was said", "Share that was right", "95 %, all rows together", "Parts"), rows),
        ]
    found += [
        element("h3", "Taken for"),
        element("p", CONFUSION_NOTE, class_="note"),
        confusion_table(confusion_rows(n.classes.confusion), names),
    ]
    return section("Classes", *found)


def timing(made: "Timing") -> Markup:
    """Return times per image and per part, and their share of the takt."""
    return section("Time", *times(made.image_ms, made.part_ms, made.images, made.takt_ms, made.workers))


def untested_section(made: "Evaluation", contract: Contract) -> Markup:
    """Say what neither these images nor anything else tested."""
    return not_tested((*_of_these_images(made, contract), *untested(contract)))


def _of_these_images(made: "Evaluation", contract: Contract) -> Iterable[str]:
    n = made.numbers
    if not n.labels.overkill.n:
        yield NO_GOOD
    if not n.labels.escapes.n:
        yield NO_DEFECTIVE
    if n.localisation.pixel_auroc is None:
        yield "Whether the map points at the defects: none that got a call is marked, by masks or boxes."
    here = {one.name for one in n.labels.classes}
    missing = [name for name in contract.class_names if name not in here]
    if missing:
        yield f"Classes that the model tells and that no image shows: {', '.join(missing)}."
    if made.known.compared is None:
        yield "Whether the model was trained on some of these images: its bundle names none."
    else:
        yield f"Whether edited or compressed copies of training images are among these: {made.known.compared}."
    yield from _of_lineage(made.known, contract)
    if n.frames_per_part == 1:
        yield ONE_IMAGE_EACH
    yield AGAIN
    if n.timing is None or n.timing.takt_ms is None:
        yield NO_TAKT


def _of_lineage(known: KnownImages, contract: Contract) -> Iterator[str]:
    """Say which images of later changes would go unnoticed."""
    done = {one.how for one in contract.lineage}
    if "adapted" in done:
        yield "Whether images by which the model was adapted are among these: its bundle names none."
    if known.calibrated is not None:
        yield (
            f"Whether edited or compressed copies of the {known.calibrated.words} images that the thresholds were "
            "taken from are among these: they were compared by pixels"
            f"{' and parts' if known.calibrated.parts else ''} alone."
        )
    elif "calibrated" in done:
        yield "Whether images that the thresholds were taken from are among these: its bundle names none."


def _of(counted: Rate) -> str:
    return f"{counted.k} of {counted.n}" if counted.n else "–"
