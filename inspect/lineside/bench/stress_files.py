"""What a stress test leaves behind: the table as CSV, everything as JSON, and one page to read."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from lineside.batch.files import storage_errors, write_text
from lineside.batch.labels import Rate
from lineside.bench.stress_result import Curve, LevelResult, StressResult
from lineside.report.stress import render_stress

CSV_FILE, JSON_FILE, HTML_FILE = "stress.csv", "stress.json", "stress.html"
_RATES = ("overkill", "escapes", "good_no_call", "defective_no_call")


def write_stress(result: StressResult, out: str | Path) -> tuple[Path, ...]:
    """Write stress.csv, stress.json and stress.html; those of an earlier test are replaced.

    Raises
    ------
    StorageError
        When they cannot be written.
    """
    folder = Path(out)
    with storage_errors(folder, begun=False):
        folder.mkdir(parents=True, exist_ok=True)
    contents = {
        CSV_FILE: stress_csv(result),
        JSON_FILE: json.dumps(stress_document(result), indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        HTML_FILE: render_stress(result),
    }
    for name, text in contents.items():
        write_text(folder / name, text, begun=False)
    return tuple(folder / name for name in contents)


def stress_csv(result: StressResult) -> str:
    """Return the table: a line per level, each share with k, n and the ends of its exact 95 % interval."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    numbers = [f"{name}{end}" for name in _RATES for end in ("", "_k", "_n", "_low", "_high")]
    writer.writerow(("disturbance", "level", "words", *numbers))
    for name, level in result.rows():
        cells = [cell for rate in _RATES for cell in _cells(getattr(level, rate))]
        writer.writerow((name, "" if name == "none" else f"{level.level:g}", level.words, *cells))
    return text.getvalue()


def stress_document(result: StressResult) -> dict[str, Any]:
    """Return what fits into JSON: counts, shares with their intervals, and where overkill gets too much."""
    return {
        "part": result.part,
        "model_sha256": result.model_sha256,
        "lineside_version": result.lineside_version,
        "wish_overkill": result.wish_overkill,
        "limit_overkill": result.limit,
        "threshold": result.threshold,
        "seed": result.seed,
        "good": result.n_good,
        "defective": result.n_defective,
        "left_out": result.n_left_out,
        "unreadable": list(result.unreadable),
        "undisturbed": _level(result.undisturbed),
        "disturbances": [_curve(curve) for curve in result.curves],
    }


def _curve(curve: Curve) -> dict[str, Any]:
    exceeded = [
        {
            "side": crossing.side,
            "first_level": crossing.first.level if crossing.first else None,
            "strongest_level_tried": crossing.farthest.level,
        }
        for crossing in curve.crossings()
    ]
    return {
        "name": curve.name,
        "what": curve.what,
        "neutral_level": curve.neutral,
        "good_stays_good": curve.good_stays_good,
        "overkill_exceeds_limit": exceeded,
        "levels": [{"level": level.level, **_level(level)} for level in curve.levels],
    }


def _level(level: LevelResult) -> dict[str, Any]:
    rates = {name: _rate(getattr(level, name)) for name in _RATES}
    return {"words": level.words, "good": dict(level.good), "defective": dict(level.defective), **rates}


def _rate(rate: Rate) -> dict[str, Any]:
    return {"share": rate.share, "k": rate.k, "n": rate.n, "interval": list(rate.interval)}


def _cells(rate: Rate) -> tuple[object, ...]:
    share = "" if rate.share is None else f"{rate.share:.4f}"
    low, high = (f"{end:.4f}" for end in rate.interval)
    return share, rate.k, rate.n, low, high
