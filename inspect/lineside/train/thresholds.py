"""Thresholds that defective training images decide, and what they tell of escapes.

The images are those of train/<class>, never of test/. Where no score was fitted on them the deployed graph itself
scores them, so that a promise of escapes is about the head that is deployed; where parts are sorted, the folds of the
calibration scored them (`lineside.train.calibration`).
"""

from dataclasses import replace

import numpy as np

from lineside.calibrate.wishes import thresholds
from lineside.contract import Contract
from lineside.dataset import Dataset
from lineside.graph.rewrite import read_model
from lineside.recipe import LoadedRecipe
from lineside.train.calibration import Calibration, note_thresholds
from lineside.train.deployed_scores import Shown, deployed_scores
from lineside.train.images import References
from lineside.train.progress import Journal

HOW = "training images that no score was fitted on"
MOST = "each as if it were called by the class that is tolerated most, since the class head has learned from them"


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
    defects = () if references.sorts else dataset.select("train", good=False)
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
    made = replace(calibration, threshold=found.ng, review=found.review, escapes=found.escapes)
    if found.ng != calibration.threshold:
        note_thresholds(found, journal)
    journal.note(found.escapes.statement)
    return made
