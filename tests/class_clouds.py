"""Made-up embeddings of defect classes for the tests of the class head."""

import numpy as np

from lineside.transfer.classes.examples import Examples


def clouds(per_class: int, classes: int = 3, size: int = 20, seed: int = 0, apart: float = 3.0) -> Examples:
    """Return examples of classes that lie apart in their first dimensions."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), per_class)
    rows = rng.standard_normal((len(labels), size))
    rows[np.arange(len(labels)), labels] += apart
    number = np.arange(len(labels))
    return Examples(rows.astype(np.float32), labels, number, np.ones(len(labels), np.bool_))
