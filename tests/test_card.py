"""The model card and training.json: what they say of a training."""

import dataclasses
import json

import pytest

from lineside.binomial import clopper_pearson
from lineside.contract import Finding, QualityLimit
from lineside.contract_thresholds import Escapes
from lineside.recipe import Transfer
from lineside.train.card import card
from lineside.train.licences import OBLIGATIONS, obligation
from lineside.train.record import TrainingRecord
from training_records import FRONT


def test_the_card_says_what_may_be_asked_of_a_model(record: TrainingRecord) -> None:
    """Ranges of the good images, exact intervals, what each licence asks, whole hashes, and how to go on."""
    text = card(record)
    assert "| mean_level | 61.5 | 88.25 | 5 to any |" in text
    ends = [f"{100 * end:.1f}" for end in clopper_pearson(record.evaluation.overkill, record.evaluation.good)]
    assert f"of {record.evaluation.good} ({ends[0]} to {ends[1]} %) good images called NG" in text
    assert "- Image AUROC: 0.8333, 95 % interval 0.2345 to 0.9876 (2 good, 3 defective)" in text
    licences = {part.licence for part in record.contract.components}
    assert all(obligation(licence) in text and "Not described" not in obligation(licence) for licence in licences)
    assert record.model_sha256 in text
    assert record.contract.data_sha256 in text
    assert "lineside calibrate MODEL --good" in text


def test_the_card_says_what_is_ng_whatever_the_score(record: TrainingRecord) -> None:
    """A finding with its ends; one that too few good images were there for is not mentioned."""
    at = Finding("shading", "a part of it is darker", (QualityLimit("shading", None, 8.0),))
    off = Finding("other", "nothing", (QualityLimit("match", None, None), QualityLimit("shading", None, 8.0)))
    contract = dataclasses.replace(record.contract, findings=(at, off))
    text = card(dataclasses.replace(record, contract=contract))
    assert "NG whatever the score, with shading above 8: a part of it is darker." in text
    assert text.count("NG whatever the score") == 1


@pytest.mark.parametrize(
    ("counted", "chose", "said"),
    [
        (0, 0, "of escapes no training image told anything"),
        (7, 0, "Good parts alone decide what is anomalous; by 7 defective parts"),
        (7, 7, "7 defective parts had a say in the threshold (scratch)"),
    ],
)
def test_the_card_says_what_defects_decided(record: TrainingRecord, counted: int, chose: int, said: str) -> None:
    """Nothing, escapes alone, or the threshold too, as a wish for escapes makes it although no class is named."""
    contract = record.contract
    escapes = Escapes("all", 0, counted, 0.4)
    classes = (dataclasses.replace(escapes, label="scratch"),) if counted else ()
    contract = dataclasses.replace(
        contract,
        threshold_ng=dataclasses.replace(contract.threshold_ng, n_defects=chose),
        escapes=dataclasses.replace(contract.escapes, overall=escapes, classes=classes),
    )
    text = card(dataclasses.replace(record, contract=contract))
    assert said in text
    assert ("Good parts alone decide" in text) == (chose == 0)


def test_every_allowed_licence_has_its_sentence_and_others_are_not_made_up() -> None:
    """The recipe's own default licences are described; of an unknown one the card says that it must be read."""
    assert all(name in OBLIGATIONS for name in Transfer().licences)
    assert "read its text" in obligation("proprietary")
    assert obligation("AGPL-3.0-only") == OBLIGATIONS["agpl-3.0"]


def test_training_json_holds_the_numbers(record: TrainingRecord) -> None:
    """Decisions on light and pose, with numbers; what was not measured is left out, since JSON has no word for it."""
    told = json.loads(record.to_json(), parse_constant=lambda word: pytest.fail(word))["light_and_pose"]
    assert told["steps"] == {"exposure": "gain 0.4 to 2.5", "pose": "off"}
    assert told["words"] == list(FRONT.words)
    assert told["numbers"]["exposure"] == {"spread without": 0.0625, "spread with": 0.05}
    assert told["numbers"]["pose"] == {"unexplained_none": 0.4}
    assert told["quality_of_good_images"] == {"mean_level": [61.5, 88.25]}
