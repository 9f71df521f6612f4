"""A training as its report and card are made of, on the tiny graph."""

import dataclasses
from pathlib import Path

import numpy as np

from classed import classed_contract
from lineside.capture.copies import Copies
from lineside.contract import Component, Verdict
from lineside.report.training import pages
from lineside.train.record import ClassEvaluation, Evaluation, FrontRecord, ScoredImage, TrainingRecord
from report_pages import Page, paint
from tiny import tiny_contract, tiny_model

FRONT = FrontRecord(
    words=("exposure on: It changes the good images' spread in level by -14.9%.", "No pose: it is a texture."),
    numbers={
        "exposure": {"spread without": 0.0625, "spread with": 0.05},
        "pose": {"unexplained_none": 0.4, "elsewhere_shift": float("nan")},
    },
    golden=np.full((8, 8, 3), 120, np.uint8),
    good_ranges={"mean_level": (61.5, 88.25)},
)


def scored(folder: Path, name: str, red: int, verdict: Verdict | None = None) -> ScoredImage:
    """Paint an image with a score of red - 90, judged at 20."""
    score = float(red - 90)
    verdict = Verdict(int(score > 20)) if verdict is None else verdict
    return ScoredImage(name, paint(folder / name, red), Path(name).parent.name, score, verdict.name)


def training_record(folder: Path) -> TrainingRecord:
    """A run on the tiny graph: one escape in test, one in training, one overkill, three images to calibrate on."""
    part = Component("backbone", "some-net", "pypi:some-net==1", "Apache-2.0", "ab" * 32)
    counts = {"train/good": 3, "train/scratch": 1, "test/good": 2, "test/scratch": 3}
    steps = {"exposure": "gain 0.4 to 2.5", "pose": "off"}
    contract = dataclasses.replace(tiny_contract(), components=(part,), image_counts=counts, normalisation=steps)
    tested = [("train/scratch/t.png", 98), ("test/good/0.png", 95), ("test/good/1.png", 130)]
    tested += [("test/scratch/near.png", 109), ("test/scratch/clear.png", 160), ("test/scratch/big.png", 200)]
    model = tiny_model(contract)
    return TrainingRecord(
        contract=contract,
        out=folder / "out",
        model_sha256="c" * 64,
        model_bytes=len(model),
        calibration=tuple(scored(folder, f"train/good/{i}.png", red) for i, red in enumerate((96, 104, 100))),
        tested=tuple(scored(folder, name, red) for name, red in tested),
        evaluation=Evaluation(
            good=2,
            defective=3,
            overkill=1,
            escapes=1,
            no_call=0,
            auroc=0.8333,
            auroc_interval=(0.2345, 0.9876),
            escapes_by_class=(("scratch", 1, 3),),
        ),
        parity_frames=12,
        parity_worst_rel=3e-7,
        swap_vector=False,
        front=FRONT,
        adaptation=None,
        copies=Copies(),
        decisions=("Memory of 128 patches.", *FRONT.words),
        stage_seconds=(("fit", 1.25),),
        model=model,
    )


def page_of(record: TrainingRecord) -> Page:
    """Make the page and read it."""
    return Page(pages(record)["report.html"].decode())


def with_classes(record: TrainingRecord) -> TrainingRecord:
    """Return the run with classes told: three images of scratch, of which two are called so."""
    contract = dataclasses.replace(
        classed_contract(("dent", "scratch")),
        components=record.contract.components,
        image_counts=record.contract.image_counts,
        normalisation=record.contract.normalisation,
    )
    told = ClassEvaluation(
        right=2, named=3, interval=(0.094, 0.992), confusion=(("scratch", "dent", 1), ("scratch", "scratch", 2))
    )
    return dataclasses.replace(
        record, contract=contract, evaluation=dataclasses.replace(record.evaluation, classes=told)
    )
