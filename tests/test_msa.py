"""The measurement system study: which shots, what is summed up, what is refused."""

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from flat_parts import GOOD_RGB, paint
from lineside.bench.msa import Answer, Study, summed_up
from lineside.bench.msa import study as measure
from lineside.bench.msa_files import msa_csv, msa_document
from lineside.bench.msa_runs import ONE_OPERATOR, Shot, shots_of
from lineside.bench.msa_table import flipped_words, gauge_words, msa_table, no_kappa_words
from lineside.errors import UsageError
from lineside.runtime import Inspector
from tiny import tiny_contract, write_bundle


def study(noise: float, stations: tuple[str, ...] = ("A", "B"), repeats: int = 3, *, reference: bool = True) -> Study:
    """Return a study of ten parts with scores 0 to 9, NG above 4.5, read with some noise."""
    rng, answers = np.random.default_rng(0), []
    for part in range(10):
        truth = ("NG" if part > 4 else "OK") if reference else None
        for station in stations:
            for repeat in range(repeats):
                score = part + noise * float(rng.standard_normal())
                shot = Shot(Path(f"{station}/{part}/{repeat}.png"), f"part{part}", station, truth)
                answers.append(Answer(shot, score, "NG" if score > 4.5 else "OK"))
    return summed_up("caps", answers)


def test_a_steady_model_is_acceptable_and_one_that_wavers_is_not() -> None:
    """Little noise: small %GRR, full agreement, no flip; much noise: both limits broken, and it is said."""
    steady, wavering = study(0.05), study(4.0)
    assert steady.gauge is not None
    assert wavering.gauge is not None
    assert steady.gauge.verdict == "acceptable"
    assert (steady.flipped.k, steady.flipped.n, steady.broken) == (0, 10, ())
    assert all(one.kappa is not None and one.kappa.value == 1.0 for one in steady.against)
    assert wavering.gauge.verdict == "not acceptable"
    assert wavering.flipped.k > 3
    assert {"%GRR", "distinct categories", "kappa of all shots"} <= set(wavering.broken)
    assert "not acceptable" in gauge_words(wavering.gauge)
    assert "depend on how far the chosen parts differ" in gauge_words(steady.gauge)
    assert f"{wavering.flipped.k} of 10 parts" in flipped_words(wavering)


def test_what_is_missed_is_counted_for_each_station() -> None:
    """Against the reference: NG parts called OK, OK parts called NG, of the shots that got a verdict."""
    answers = [
        Answer(Shot(Path("1"), "a", "A", "NG"), 1.0, "OK"),
        Answer(Shot(Path("2"), "a", "A", "NG"), 9.0, "NG"),
        Answer(Shot(Path("3"), "b", "A", "OK"), 9.0, "NG"),
        Answer(Shot(Path("4"), "b", "A", "OK"), 9.0, "NO_CALL"),
        Answer(Shot(Path("5"), "c", "A", None), 9.0, "NG"),
    ]
    (one,) = summed_up("caps", answers).against
    assert (one.missed, one.false_alarms, one.uncalled) == ((1, 2), (1, 1), 1)


def test_the_balanced_study_leaves_out_what_has_no_place() -> None:
    """A part that one station did not see, and a third repeat where others have two, are counted and left out."""
    made = study(0.1, repeats=2)
    more = [Answer(Shot(Path("x"), "part0", "A"), 0.0, "OK"), Answer(Shot(Path("y"), "only", "A"), 0.0, "OK")]
    unbalanced = summed_up("caps", [*made.answers, *more])
    assert unbalanced.left_out == 2
    assert unbalanced.gauge == made.gauge


def test_one_missing_repeat_costs_its_part_alone() -> None:
    """Two repeats of ten parts, and one picture missing: nine parts are studied."""
    answers = study(0.1, repeats=2).answers[1:]
    made = summed_up("caps", answers)
    assert made.gauge is not None
    assert (made.gauge.parts, made.gauge.repeats, made.left_out) == (9, 2, 3)


def test_one_station_says_nothing_of_stations_and_one_kind_of_part_nothing_of_kappa() -> None:
    """What was not measured is no 0.0 %, and no empty table."""
    made = study(0.05, stations=("A",))
    assert made.gauge is not None
    assert "What stations differ by is not in it" in gauge_words(made.gauge)
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(msa_table(made))
    assert re.search(r"reproducibility\s+–\s+one station", console.export_text())
    goods = summed_up("caps", [a for a in made.answers if a.verdict == "OK"])
    assert "How far verdicts agree beyond chance was not measured" in no_kappa_words(goods)
    assert no_kappa_words(made) == ""


def test_one_picture_under_two_names_is_no_repeat(tmp_path: Path) -> None:
    """A copy would agree with itself, and make any system look steady."""
    bundle = write_bundle(tmp_path / "model", tiny_contract())
    for name in ("0.png", "1.png"):
        paint(tmp_path / "runs" / "part" / name, GOOD_RGB)
    with pytest.raises(UsageError, match=r"are the same picture: a repeat is another one"):
        measure(Inspector(bundle), shots_of(tmp_path / "runs"))


def test_without_repeats_there_is_no_gauge_study_and_it_is_said() -> None:
    """One shot a part: no numbers are made up."""
    made = study(0.1, stations=("A",), repeats=1, reference=False)
    assert made.gauge is None
    assert "at least 2 parts and 2 repeats" in made.no_gauge
    assert (made.within, made.flipped.n, made.against) == (None, 0, ())
    assert "nothing is known" in flipped_words(made)
    assert any(words.startswith("no gauge R&R") for words in made.broken)


def test_a_bias_breaks_the_study_only_beyond_what_its_stations_show_by_chance() -> None:
    """Twelve readings each, t = 2.5 of 11 degrees of freedom (p = 0.03): one station breaks the limit, two do not."""
    spread = np.tile([-1.0, 1.0], 6)
    shift = 2.5 * float(spread.std(ddof=1)) / np.sqrt(12)
    for stations, broken in (("A", True), ("AB", False)):
        answers = [
            Answer(Shot(Path(f"{name}{i}"), f"part{i}", name, None, 0.0), float(apart), "OK")
            for name in stations
            for i, apart in enumerate(spread + (shift if name == "A" else 0.0))
        ]
        made = summed_up("caps", answers)
        assert made.against_scores[0].bias.found
        assert ("score of A against the reference" in made.broken) == broken


def test_what_was_not_measured_does_not_pass() -> None:
    """Shots without a verdict, and stations that saw other parts, leave nothing to accept."""
    refused = summed_up("caps", [replace(answer, verdict="NO_CALL") for answer in study(0.1).answers])
    assert "no shot got a verdict" in refused.broken
    apart = [replace(a, shot=replace(a.shot, part=a.shot.part + a.shot.operator)) for a in study(0.1).answers]
    assert any("no part got a score from all 2 stations" in words for words in summed_up("caps", apart).broken)


def test_a_single_slip_among_good_parts_decides_no_kappa() -> None:
    """Where all parts are good, chance explains agreement: kappa stays open, the flipped part is counted."""
    answers = [a for a in study(0.01).answers if a.shot.reference == "OK"]
    slipped = summed_up("caps", [replace(answers[0], verdict="NG"), *answers[1:]])
    assert (slipped.within, slipped.between, slipped.pairs, slipped.flipped.k) == (None, None, {}, 1)
    assert slipped.broken == ()


def test_everything_is_written_down() -> None:
    """The CSV has a line for each shot, the JSON is standard and holds the limits' answers."""
    made = study(0.05)
    assert len(msa_csv(made).splitlines()) == 1 + 60
    document = json.loads(json.dumps(msa_document(made), allow_nan=False))
    assert document["gauge_rr"]["verdict"] == "acceptable"
    assert document["kappa_pairs"]["A × B"]["value"] == 1.0


def test_folders_say_part_and_station(tmp_path: Path) -> None:
    """station/part/picture and part/picture are understood; a pattern reads other layouts."""
    for name in ("west/p1/a.png", "west/p2/a.png", "p3/a.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = {(shot.part, shot.operator) for shot in shots_of(tmp_path)}
    assert found == {("p1", "west"), ("p2", "west"), ("p3", ONE_OPERATOR)}
    named = shots_of(tmp_path / "west", r"(?P<part>p\d)/.*")
    assert [shot.part for shot in named] == ["p1", "p2"]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [("(", "no regular expression"), (".*", "expected a group"), (r"(?P<part>x)", "does not fit the pattern")],
)
def test_patterns_that_cannot_be_used_are_refused(tmp_path: Path, pattern: str, message: str) -> None:
    """Each with the reason."""
    (tmp_path / "a.png").touch()
    with pytest.raises(UsageError, match=message):
        shots_of(tmp_path, pattern)


def test_stations_are_compared_part_by_part() -> None:
    """Station B reads 0.5 more: the difference is a paired one, as scipy's, and one of two stations is its half."""
    plain = study(0.1, reference=False).answers
    answers = [replace(a, score=a.score + 0.5 * (a.shot.operator == "B")) for a in plain]
    made = summed_up("caps", answers)
    by = {(a.shot.part, a.shot.operator): [] for a in answers}
    for a in answers:
        by[a.shot.part, a.shot.operator].append(a.score)
    one, other = ([float(np.mean(by[f"part{i}", station])) for i in range(10)] for station in "AB")
    paired = stats.ttest_rel(one, other).confidence_interval()
    found = made.differences["A - B"]
    assert found.interval == pytest.approx((paired.low, paired.high))
    assert (found.n, found.unit, found.found) == (10, "part", True)
    assert made.bias["A"].value == pytest.approx(found.value / 2)
    assert made.bias["A"].value == pytest.approx(-made.bias["B"].value)
    assert study(0.1, stations=("A",), reference=False).differences == {}


def test_scores_are_held_against_what_they_ought_to_be() -> None:
    """Parts are what is counted, each by its mean; a bias breaks a limit and stands on console and in the files; a shot
    without a call is no reading, and a part without a reference has no say."""
    told = [
        replace(a, shot=replace(a.shot, reference_score=float(a.shot.part[4:]) - 0.5 * (a.shot.operator == "B")))
        for a in study(0.05, reference=False).answers
        if a.shot.part != "part9"
    ]
    refused = replace(told[0], score=1000.0, verdict="NO_CALL")
    unknown = [a for a in study(0.05, reference=False).answers if a.shot.part == "part9"]
    made = summed_up("caps", [*told, refused, *unknown])
    west, east = made.against_scores
    assert (west.operator, west.bias.n, west.bias.unit, west.bias.found) == ("A", 9, "part", False)
    assert (east.bias.n, east.bias.found) == (9, True)
    assert east.bias.interval is not None
    assert east.bias.interval[0] < 0.5 < east.bias.interval[1]
    assert {(part.n, part.unit) for part in west.parts.values()} == {(3, "shot")}
    assert made.broken == ("score of B against the reference",)
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(msa_table(made))
    shown = console.export_text()
    assert re.search(r"B - reference +0\.\d+ .*\(9 parts\) +differs", shown)
    assert re.search(r"A - B .* 0 is in it", shown)
    document = json.loads(json.dumps(msa_document(made), allow_nan=False))
    assert document["score_against_reference"][1]["found"] is True
    assert document["score_against_reference"][0]["parts"]["part3"]["n"] == 3
    assert msa_csv(made).splitlines()[1].split(",")[4] == "0.0"


def test_a_csv_says_more(tmp_path: Path) -> None:
    """Pictures lie beside the CSV; the reference may be left out line by line, the station everywhere."""
    file = tmp_path / "runs.csv"
    text = "image,part,operator,reference,reference_score,light\na.png,p1,west,ng,1.5,on\nb.png,p2,east,,,off\n"
    file.write_text(text, encoding="utf-8")
    assert shots_of(file) == (
        Shot(tmp_path / "a.png", "p1", "west", "NG", 1.5),
        Shot(tmp_path / "b.png", "p2", "east", None),
    )
    file.write_text("image,part\na.png,p1\n", encoding="utf-8")
    assert shots_of(file) == (Shot(tmp_path / "a.png", "p1", ONE_OPERATOR, None),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,name\n", "missing: part"),
        ("image,part\na.png,\n", "line 2: image and part"),
        ("image,part,reference\na.png,p,maybe\n", "'maybe'; expected OK or NG"),
        ("image,part,reference\na.png,p,OK\nb.png,p,NG\n", "both OK and NG"),
        ("image,part,reference_score\na.png,p,high\n", "line 2: reference_score 'high'; expected a number"),
        ("image,part,reference_score\na.png,p,nan\n", "reference_score 'nan'; expected a number"),
        ("image,part,reference_score\na.png,p,1\nb.png,p,2\n", "both 1.0 and 2.0"),
        ("image,part,reference_score\na.png,p,1,5\n", "line 2: more cells than columns"),
        ("image,part,operater\na.png,p,x\n", "column 'operater': did you mean operator"),
        ("image,part,operator\na.png,p,x\nb.png,p,\n", "b.png has no operator, others are of x"),
        ("image,part\n", "no picture"),
        ("image,part\na.png,p\na.png,p\n", "listed twice"),
    ],
)
def test_a_csv_that_is_wrong_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """The message names the line or what is missing."""
    (tmp_path / "runs.csv").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        shots_of(tmp_path / "runs.csv")
