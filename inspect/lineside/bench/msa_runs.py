"""Which picture shows which part, taken by whom: the runs of a measurement system study.

From a CSV with the columns image and part, and where there are any operator, reference (OK or NG) and reference_score
(what the score of the part ought to be, as a master station gave it); or from a folder, whose paths say it:
station/part/picture or part/picture, or whatever a pattern names.
"""

import csv
import difflib
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from lineside.contract import Verdict
from lineside.dataset import GOOD_NAMES
from lineside.errors import UsageError
from lineside.image_files import walk_images

ONE_OPERATOR = "one station"
OK, NG = Verdict.OK.name, Verdict.NG.name
DEFAULT_PATTERN = r"(?:(?P<operator>[^/]+)/)?(?P<part>[^/]+)/[^/]+"
_COLUMNS = ("image", "part", "operator", "reference", "reference_score")
NEARLY = 0.75
"""Likeness (difflib's ratio) from which on a column is taken for a slip of the hand."""


T = TypeVar("T", str, float)


@dataclass(frozen=True)
class Shot:
    """One picture of one part."""

    path: Path
    part: str
    operator: str
    """Person or station that took it."""
    reference: str | None = None
    """``OK`` or ``NG``: what the part really is, where somebody said so."""
    reference_score: float | None = None
    """What the part's score ought to be, where somebody said so."""


def shots_of(runs: Path, pattern: str | None = None) -> tuple[Shot, ...]:
    """List the shots of a study, in the order of their parts, operators and files.

    Parameters
    ----------
    runs : Path
        CSV file or folder.
    pattern : str, optional
        Of a folder: regular expression on the whole path below it, with a group ``part`` and, if there are several
        stations, a group ``operator``.

    Raises
    ------
    UsageError
        When there is nothing, a column is missing, empty or misspelt, a line has too many cells, some pictures have a
        station and others none, a path does not fit the pattern, or a part has two references.
    """
    found = tuple(_of_csv(runs) if runs.is_file() else _of_folder(runs, pattern or DEFAULT_PATTERN))
    if not found:
        raise UsageError(f"{runs}: no picture in it.")
    if runs.is_file():
        _refuse_no_station(runs, found)
    once = {shot.path.resolve() for shot in found}
    if len(once) < len(found):
        raise UsageError(f"{runs}: a picture is listed twice; a repeat is another picture of the part.")
    verdicts = _of_parts(runs, ((shot.part, shot.reference) for shot in found))
    scores = _of_parts(runs, ((shot.part, shot.reference_score) for shot in found))
    found = tuple(  # a reference is the part's, not the shot's
        replace(shot, reference=verdicts.get(shot.part), reference_score=scores.get(shot.part)) for shot in found
    )
    return tuple(sorted(found, key=lambda shot: (shot.part, shot.operator, shot.path.as_posix())))


def _of_parts(runs: Path, told: Iterable[tuple[str, T | None]]) -> dict[str, T]:
    """Return what was said of each part; two different things are refused."""
    known: dict[str, T] = {}
    for part, said in told:
        if said is not None and known.setdefault(part, said) != said:
            raise UsageError(f"{runs}: part {part!r} is both {known[part]} and {said}. Correct the wrong reference.")
    return known


def _of_csv(file: Path) -> Iterator[Shot]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: cannot be read as a CSV in UTF-8 ({error}). Save it again as one.") from None
    reader = csv.DictReader(lines)
    columns = reader.fieldnames or []
    missing = [name for name in _COLUMNS[:2] if name not in columns]
    if missing:
        raise UsageError(
            f"{file}: expected the columns image and part, and where there are any operator, reference and "
            f"reference_score; missing: {', '.join(missing)}, found: {', '.join(columns) or 'none'}."
        )
    _refuse_slips(file, columns)
    for line, row in enumerate(reader, 2):
        where = f"{file}, line {line}"
        if None in row:
            raise UsageError(
                f"{where}: more cells than columns. Write numbers with a point, and put text with a comma in quotes."
            )
        image, part = (row.get("image") or "").strip(), (row.get("part") or "").strip()
        if not image or not part:
            raise UsageError(f"{where}: image and part must both be given.")
        operator = (row.get("operator") or "").strip() or ONE_OPERATOR
        reference, score = _reference(row.get("reference"), where), _score(row.get("reference_score"), where)
        yield Shot(file.parent / image, part, operator, reference, score)


def _refuse_slips(file: Path, columns: Sequence[str]) -> None:
    """Refuse a column that is nearly one of those that are read: it would be left out in silence."""
    for name in columns:
        near = difflib.get_close_matches(name.strip().lower(), _COLUMNS, n=1, cutoff=NEARLY)
        if near and name not in _COLUMNS:
            raise UsageError(f"{file}: column {name!r}: did you mean {near[0]}? Other columns are left out.")


def _refuse_no_station(runs: Path, shots: Sequence[Shot]) -> None:
    """Refuse shots of nobody beside shots of named stations: they would count as a station of their own."""
    named = {shot.operator for shot in shots} - {ONE_OPERATOR}
    nobody = [shot.path.name for shot in shots if shot.operator == ONE_OPERATOR]
    if named and nobody:
        raise UsageError(
            f"{runs}: {nobody[0]} has no operator, others are of {', '.join(sorted(named))}. Name the station of every "
            "picture, or of none."
        )


def _reference(word: str | None, where: str) -> str | None:
    told = (word or "").strip()
    if not told:
        return None
    if told.upper() in (OK, NG):
        return told.upper()
    if told.lower() in GOOD_NAMES:
        return OK
    raise UsageError(f"{where}: reference {told!r}; expected OK or NG, or nothing.")


def _score(word: str | None, where: str) -> float | None:
    told = (word or "").strip()
    if not told:
        return None
    try:
        score = float(told)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise UsageError(f"{where}: reference_score {told!r}; expected a number such as 1.25, or nothing.")
    return score


def _of_folder(folder: Path, pattern: str) -> Iterator[Shot]:
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder or CSV file.")
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"--pattern {pattern!r}: no regular expression ({error}).") from None
    if "part" not in expression.groupindex:
        raise UsageError(f"--pattern {pattern!r}: expected a group (?P<part>...), and (?P<operator>...) for stations.")
    for path in walk_images(folder):
        below = path.relative_to(folder).as_posix()
        match = expression.fullmatch(below)
        if match is None:
            raise UsageError(
                f"{path}: does not fit the pattern {pattern!r}. Expected station/part/picture or part/picture; name "
                "another with --pattern, or list the pictures in a CSV."
            )
        named = match.groupdict()
        yield Shot(path, named["part"], named.get("operator") or ONE_OPERATOR)
