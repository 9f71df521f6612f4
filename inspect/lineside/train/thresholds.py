"""Thresholds that defective training images decide, and what they tell of escapes.

The images are those of train/<class>, never of test/, and none of a part that stands among the good training images too
(by its name, or as a copy): the score has learned that part, so it proves nothing of others. Where no score was fitted
on them the deployed graph itself scores them, so that a promise of escapes is about the head that is deployed; where
parts are sorted, the folds of the calibration scored them (`lineside.train.calibration`).
"""

from dataclasses import replace

import numpy as np

from lineside.calibrate.wishes import thresholds
from lineside.contract import Contract
from lineside.dataset import Dataset, Sample
from lineside.graph.rewrite import read_model
from lineside.recipe import LoadedRecipe
from lineside.train.calibration import Calibration, note_thresholds
from lineside.train.deployed_scores import Shown, deployed_scores
from lineside.train.images import References
from lineside.train.progress import Journal
from lineside.wish_images import deciding_defects

HOW = "training images that no score was fitted on"
MOST = "each as if it were called by the class that is tolerated most, since the class head has learned from them"
_NAMED = 6


def with_defects(
    loaded: LoadedRecipe,
    dataset: Dataset,
    references: References,
    calibration: Calibration,
    deployed: tuple[bytes, Contract],
    journal: Journal,
) -> Calibration:
    """Return the calibration with thresholds and escapes by the defective training images, where there are any.

    Parameters
    ----------
    loaded : LoadedRecipe
    dataset : Dataset
    references : References
        What the score was fitted on.
    calibration : Calibration
    deployed : (bytes, Contract)
        The graph with the thresholds of `calibration`.
    journal : Journal
    """
    defects = () if references.sorts else _deciding(loaded, dataset, journal)
    if not defects or not calibration.called:
        return calibration
    model, contract = deployed
    journal.stage("defective training images", len(defects))
    shown = [Shown(s.name, s.label, s.group, references.reader.lazily(s)) for s in defects]
    seen = deployed_scores(read_model(model, "model.onnx"), contract, shown, journal.step)
    honest = seen.honest(range(len(shown)), HOW)
    if contract.class_factors:
        most = max(contract.tolerances)
        honest = replace(honest, scores=honest.scores / np.float32(most), how=f"{HOW}, {MOST}")
    wish, review = loaded.recipe.calibrate.wish, loaded.recipe.calibrate.review
    found = thresholds(wish, review, calibration.goods, honest)
    names = (one.name for one, called in zip(shown, seen.called, strict=True) if called)
    scores = dict(zip(names, honest.scores.tolist(), strict=True))
    made = replace(calibration, threshold=found.ng, review=found.review, escapes=found.escapes, defects=scores)
    if found.ng != calibration.threshold:
        note_thresholds(found, journal)
    journal.note(found.escapes.statement)
    return made


def _deciding(loaded: LoadedRecipe, dataset: Dataset, journal: Journal) -> tuple[Sample, ...]:
    """Return the defective images that may decide, and say which may not."""
    kept = deciding_defects(loaded, dataset)
    left = [s.name for s in dataset.select("train", good=False) if s not in kept]
    if left:
        more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
        journal.note(
            "Defective training images of parts that stand among the good ones too, which the score has learned, say "
            f"nothing of escapes: {', '.join(left[:_NAMED])}{more}."
        )
    return kept
