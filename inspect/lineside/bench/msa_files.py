"""What a measurement system study leaves behind: every answer as CSV, the numbers as JSON."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from lineside.batch.files import storage_errors, write_text
from lineside.batch.labels import Rate
from lineside.bench.msa import Study
from lineside.calibrate.agreement import Kappa
from lineside.calibrate.bias import Bias

CSV_FILE, JSON_FILE = "msa.csv", "msa.json"


def write_msa(made: Study, out: Path) -> tuple[Path, ...]:
    """Write msa.csv and msa.json; those of an earlier study are replaced.

    Raises
    ------
    StorageError
        When they cannot be written.
    """
    with storage_errors(out, begun=False):
        out.mkdir(parents=True, exist_ok=True)
    document = json.dumps(msa_document(made), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    for name, text in {CSV_FILE: msa_csv(made), JSON_FILE: document}.items():
        write_text(out / name, text, begun=False)
    return out / CSV_FILE, out / JSON_FILE


def msa_csv(made: Study) -> str:
    """Return a line for each shot."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("image", "part", "operator", "reference", "reference_score", "score", "verdict"))
    for one in made.answers:
        shot = one.shot
        told = shot.reference or "", "" if shot.reference_score is None else shot.reference_score
        writer.writerow((shot.path.as_posix(), shot.part, shot.operator, *told, one.score, one.verdict))
    return text.getvalue()


def msa_document(made: Study) -> dict[str, Any]:
    """Return what fits into JSON."""
    gauge = made.gauge
    return {
        "part": made.part,
        "shots": len(made.answers),
        "unreadable": list(made.unreadable),
        "shots_with_verdict": made.called,
        "broken": list(made.broken),
        "gauge_rr": None
        if gauge is None
        else {
            "parts": gauge.parts,
            "operators": gauge.operators,
            "repeats": gauge.repeats,
            "sd_repeatability": gauge.repeatability,
            "sd_reproducibility": gauge.reproducibility,
            "sd_interaction": gauge.interaction,
            "sd_grr": gauge.grr,
            "sd_part": gauge.part,
            "sd_total": gauge.total,
            "grr_share": gauge.share,
            "ndc": gauge.categories,
            "interaction_p": gauge.interaction_p,
            "verdict": gauge.verdict,
        },
        "no_gauge": made.no_gauge,
        "shots_left_out": made.left_out,
        "score_bias": {name: _bias(one) for name, one in made.bias.items()},
        "score_differences": {name: _bias(one) for name, one in made.differences.items()},
        "score_against_reference": [
            {
                "operator": one.operator,
                **_bias(one.bias),
                "parts": {name: _bias(part) for name, part in one.parts.items()},
            }
            for one in made.against_scores
        ],
        "flipped_parts": _rate(made.flipped),
        "kappa_all_shots": _kappa(made.within),
        "kappa_between_operators": _kappa(made.between),
        "kappa_pairs": {name: _kappa(kappa) for name, kappa in made.pairs.items()},
        "against_reference": [
            {
                "operator": one.operator,
                "missed_shots": dict(zip(("k", "n"), one.missed, strict=True)),
                "false_alarm_shots": dict(zip(("k", "n"), one.false_alarms, strict=True)),
                "shots_without_verdict": one.uncalled,
                "kappa": _kappa(one.kappa),
            }
            for one in made.against
        ],
    }


def _bias(one: Bias) -> dict[str, Any]:
    interval = None if one.interval is None else list(one.interval)
    return {"value": one.value, "sd": one.sd, "interval": interval, "n": one.n, "unit": one.unit, "found": one.found}


def _rate(one: Rate) -> dict[str, Any]:
    return {"k": one.k, "n": one.n, "share": one.share, "interval": list(one.interval)}


def _kappa(one: Kappa | None) -> dict[str, Any] | None:
    if one is None:
        return None
    interval = None if one.interval is None else list(one.interval)
    return {"value": one.value, "interval": interval, "parts": one.parts, "verdict": one.verdict}
