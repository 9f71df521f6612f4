"""The class head on real defects."""

from pathlib import Path

import numpy as np
import pytest

from class_crops import Eye, crops_of, drawn, fitted
from lineside.transfer.classes.head import classify_reference


@pytest.mark.slow
def test_six_kinds_of_printed_circuit_defect_are_told_apart(real_data: Path) -> None:
    """From 20 crops of each kind, at least 4 of 5 crops of other images are called what they are."""
    learn, judge = crops_of(real_data)
    eye = Eye()
    few = [learn[i] for i in drawn(learn, 20, 0)]
    others = [judge[i] for i in drawn(judge, 30, 0)]
    fit = fitted(few, np.stack([eye.views(crop.read()) for crop in few]), 0)
    called = classify_reference(fit.values, np.stack([eye(crop.read()) for crop in others])).prob.argmax(axis=1)
    assert (called == [crop.kind for crop in others]).mean() >= 0.8
