"""From the plant's wish and honest scores to the thresholds of NG and REVIEW, and to what is known of escapes."""

from dataclasses import dataclass

from lineside.calibrate.cost import cost_threshold
from lineside.calibrate.counted import fixed_threshold
from lineside.calibrate.escape import escape_statement, escape_threshold, no_escapes
from lineside.calibrate.honest import Honest
from lineside.calibrate.review import review_threshold
from lineside.calibrate.threshold import overkill_threshold
from lineside.contract_thresholds import EscapeStatement, Threshold, Wish
from lineside.errors import UsageError


@dataclass(frozen=True)
class Thresholds:
    """Both thresholds, the same where no band for REVIEW was wished, and what is known of escapes."""

    ng: Threshold
    review: Threshold
    escapes: EscapeStatement


def thresholds(wish: Wish, review: float | None, goods: Honest, defects: Honest | None) -> Thresholds:
    """Find the thresholds for a wish.

    Parameters
    ----------
    wish : Wish
    review : float or None
        Share of good parts that may go to a person, beyond those that are NG; None: no band.
    goods : Honest
        Of at least one part that no finding makes NG.
    defects : Honest or None

    Raises
    ------
    UsageError
        When the wish needs defective images and there are none that got a call.
    """
    ng = _ng(wish, goods, defects)
    band = ng if review is None else review_threshold(ng, review, goods)
    return Thresholds(ng, band, no_escapes() if defects is None else escape_statement(ng, band, defects))


def _ng(wish: Wish, goods: Honest, defects: Honest | None) -> Threshold:
    if wish.kind == "overkill":
        assert wish.share is not None
        return overkill_threshold(
            goods.scores,
            goods.groups,
            wish.share,
            crossfit=goods.how,
            held_out=goods.held_out,
            confidence=wish.confidence,
            kept_from=goods.kept_from,
        )
    if wish.kind == "fixed":
        assert wish.score is not None
        return fixed_threshold(wish.score, goods.scores, goods.groups, crossfit=goods.how, held_out=goods.held_out)
    if defects is None or not len(defects.scores):
        refused = f": all {defects.no_call} of them got no call" if defects is not None and defects.no_call else ""
        raise UsageError(no_defects(wish, refused))
    if wish.kind == "escape":
        assert wish.share is not None
        return escape_threshold(wish.share, goods, defects)
    return cost_threshold(wish, goods, defects)


def no_defects(wish: Wish, why: str = "") -> str:
    """Say that a wish cannot be served without defective images."""
    return (
        f"The wish is {wish.in_words}, and there are no defective images to take it from{why}. Give some, or wish an "
        "overkill."
    )
