"""Training with a tuned tail on small rendered caps, end to end: beside the anomaly score. Slow."""

from pathlib import Path

import onnx
import pytest

from caps import cap, folder_of, other_camera
from conftest import Trained, train_part, write_part
from lineside.capture.decode import read_image
from lineside.contract import MODEL_FILE
from lineside.runtime import Inspector, verify_bundle
from lineside.train.line import adapt
from test_class_training import KINDS, rows, write_defects

pytestmark = pytest.mark.slow


def test_a_tuned_tail_is_in_the_graph_that_is_proven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training proves it against NumPy; the bundle says finetune, gives what training recorded, and follows a changed
    camera: of all that stands behind the trunk the map alone reads taps as they are."""
    monkeypatch.setattr("lineside.transfer.classes.tail.LEAST_EXAMPLES", 5)
    folder = write_part(tmp_path, goods=10, test_goods=2, test_defects=3)
    write_defects(folder / "images", 5, masks=True)
    recipe = (folder / "recipe.yaml").read_text()
    wished = "transfer: {task: both, classes: {method: finetune}, "
    (folder / "recipe.yaml").write_text(recipe.replace("transfer: {", wished))
    trained: Trained = train_part(folder)
    contract = trained.record.contract
    assert contract.classes is not None
    assert contract.classes.method == "finetune"
    assert contract.classes.accuracy is not None
    assert contract.class_names[:2] == KINDS
    assert b"class_down0" in (trained.bundle / MODEL_FILE).read_bytes()
    inspector = Inspector(trained.bundle)
    for row in rows(trained):
        result = inspector.inspect(read_image(trained.images / row["name"]))
        assert result.score == pytest.approx(float(row["score"]), rel=1e-4)
        assert result.defect_class == inspector.contract.class_name(int(row["defect_class"]))
    assert verify_bundle(trained.bundle).vectors >= 2
    frames = folder_of(tmp_path / "frames", {f"{i:03d}": other_camera(cap(500 + i)) for i in range(12)})
    adapt(trained.bundle, [frames], tmp_path / "adapted", known_good=True)
    assert verify_bundle(tmp_path / "adapted").vectors >= 1
    nodes = onnx.load(tmp_path / "adapted" / MODEL_FILE).graph.node
    assert {node.name.split("/")[0] for node in nodes if "tap0_raw" in node.input} == {"front", "follow"}
    assert {node.name.split("/")[0] for node in nodes if "tap0" in node.input} >= {"head", "classes"}
