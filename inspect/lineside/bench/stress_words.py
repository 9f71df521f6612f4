"""A stress test in the words that console and page share."""

from lineside.batch.labels import Rate
from lineside.batch.table import percent, plural
from lineside.bench.stress_result import Crossing, Curve, LevelResult, StressResult


def summary_words(result: StressResult) -> str:
    """Say in two sentences how far the model can be trusted."""
    limit = percent(result.limit)
    if not result.n_good:
        return "There is no good image among them, so nothing is known of overkill; only escapes were counted."
    start = result.undisturbed.overkill
    if start.share is not None and start.share > result.limit:
        return (
            f"Undisturbed already, {start.k} of {plural(start.n, 'good image')} that got a call are NG: more than "
            f"twice the {percent(result.wish_overkill)} that the model was trained for."
        )
    judged = [curve for curve in result.curves if curve.good_stays_good]
    broken = [curve.name for curve in judged if any(crossing.first for crossing in curve.crossings())]
    if not judged:
        return "No disturbance was tried under which a good part stays good."
    if not broken:
        return f"Under none of {plural(len(judged), 'disturbance')} did overkill exceed {limit} in the range tried."
    return (
        f"Overkill exceeds {limit}, twice what the model was trained for, somewhere in the range of {len(broken)} of "
        f"{plural(len(judged), 'disturbance')}: {', '.join(broken)}."
    )


def crossing_words(crossing: Crossing) -> str:
    """Say where overkill first exceeds the limit, or how far it does not."""
    if crossing.first is None:
        n = crossing.farthest.overkill.n
        if not sum(crossing.farthest.good.values()):
            return "no good image"
        return f"not up to {crossing.farthest.words}" + ("" if n else ", where none got a call")
    overkill = crossing.first.overkill
    return f"{crossing.first.words}: {percent(overkill.share)}, {overkill.k} of {overkill.n}"


def curve_words(curve: Curve) -> str:
    """Say the same for both sides of a curve."""
    return "; ".join(crossing_words(crossing) for crossing in curve.crossings()) or "no level"


def escapes_words(curve: Curve, undisturbed: LevelResult) -> str:
    """Say under which level the largest share of defective images was called OK."""
    return _most([(level, level.escapes) for level in curve.levels], undisturbed.escapes)


def no_call_words(curve: Curve, undisturbed: LevelResult) -> str:
    """Say under which level the largest share of good images got no call."""
    return _most([(level, level.good_no_call) for level in curve.levels], undisturbed.good_no_call)


def _most(levels: list[tuple[LevelResult, Rate]], start: Rate) -> str:
    known = [(rate.share, rate, level) for level, rate in levels if rate.share is not None]
    if not known:
        return "–"
    share, rate, level = max(known, key=lambda item: item[0])
    if start.share is not None and share <= start.share:
        return "none" if start.share == 0.0 else "no more than undisturbed"
    return f"{level.words}: {percent(share)}, {rate.k} of {rate.n}"
