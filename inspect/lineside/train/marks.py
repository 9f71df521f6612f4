"""The map's threshold from training images whose defects somebody marked; see `lineside.calibrate.map_level`."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from lineside.calibrate.map_level import MarkedMap, level_of_marks, marked_cells
from lineside.capture.truth import defect_mask
from lineside.contract import Contract
from lineside.dataset import Dataset, Sample
from lineside.graph.run import Graph
from lineside.train.deploy import rethresholded
from lineside.train.images import FrameReader
from lineside.train.progress import Journal


def fitted_to_marks(
    model: bytes, contract: Contract, dataset: Dataset, reader: FrameReader, journal: Journal
) -> tuple[bytes, Contract]:
    """Return the deployed graph and its contract with the map's threshold that fits marked training images best.

    Both come back as they were where no defective training image is marked: a threshold from good frames is in them
    already. Nothing is fitted on test images, and the head saw none of these.
    """
    samples = [sample for sample in dataset.select("train", good=False) if sample.is_marked]
    level = level_of_marks(tuple(_marked_maps(Graph(model), samples, reader))) if samples else None
    if level is not None:
        contract = replace(contract, map_threshold=level.value, map_rule=level.rule)
        model = rethresholded(model, contract)
    journal.note(f"Boxes: a cell above {contract.map_threshold:.4g} belongs to a defect ({contract.map_rule}).")
    return model, contract


def _marked_maps(graph: Graph, samples: Sequence[Sample], reader: FrameReader) -> Iterator[MarkedMap]:
    """Yield the maps of marked images that the gate lets through."""
    for sample in samples:
        frame = reader.read(sample)
        out = graph({"frame": frame[None]}, ("anomaly_map", "gate"))
        mask = defect_mask(sample, (frame.shape[1], frame.shape[0]))
        if mask is not None and not out["gate"][0]:
            anomaly_map = out["anomaly_map"][0].astype(np.float32, copy=False)
            height, width = anomaly_map.shape
            yield MarkedMap(anomaly_map, marked_cells(mask, (height, width)))
