"""A deployed class head gets further examples, or a further class: nothing is trained, nothing old is forgotten."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import images
from class_clouds import clouds
from classed import classed_contract
from commands import invoke
from lineside.contract import OUTPUTS, UNKNOWN_DEFECT_CLASS, Contract, Verdict
from lineside.contract_thresholds import Wish
from lineside.errors import BundleError, UsageError
from lineside.export.assemble import assemble
from lineside.export.decision import FINDING_FLOOR, FINDING_LIMITS, UNFAMILIAR_LIMIT, export_decision
from lineside.export.known_images import picture_of
from lineside.export.state import pack_state, unpack_state
from lineside.graph.join import rename_output, select_outputs
from lineside.graph.rewrite import constants
from lineside.graph.run import Graph
from lineside.train.class_state import ClassState, class_state
from lineside.train.classes import class_part, fit_again
from lineside.train.line_calibrate import recalibrated
from lineside.train.line_class_graph import class_values, decision_of, with_class_part
from lineside.train.line_defect import extended_classes, grown_state
from lineside.train.line_parent import LineImage, Opened, Parent
from lineside.train.line_result import Changed
from lineside.train.progress import Journal, SilentProgress
from lineside.transfer.classes.examples import Examples
from lineside.transfer.classes.head import classify_reference
from lineside.transfer.classes.meta import Start
from tiny import seal, tiny_contract, tiny_model

COLOURS = {"dull": (120, 60, 60), "green": (160, 220, 60), "orange": (250, 120, 20), "good": (90, 90, 90)}
TRUNK_GIVES = ("class_embedding", "patch_score", "front_gate", "front_quality", "novelty", "anomaly_map", "pose",
               "transform", "embedding")  # fmt: skip
RNG = np.random.default_rng(3)


def frame(colour: str, seed: int) -> np.ndarray:
    """Return a flat picture [8, 8, 3] of about this colour."""
    level = np.array(COLOURS[colour]) + np.random.default_rng(seed).integers(-5, 5, 3)
    return np.tile(np.clip(level, 0, 255).astype(np.uint8), (8, 8, 1))


def image(label: str, seed: int, name: str | None = None) -> LineImage:
    """Return a new picture of a class."""
    loaded = frame(label, seed)
    return LineImage(Path(f"{label}{seed}.png"), f"{label}{seed}", lambda: loaded, name or label)


def colour_contract() -> Contract:
    """Return the contract of two colours, with a novelty."""
    limits = ((5.0, None), (None, 9.0))
    return replace(classed_contract(), quality_names=("mean_level", "novelty"), quality_limits=limits)


def colour_trunk() -> onnx.ModelProto:
    """Return what stands before a class head: the tiny graph, its mean colour as the class embedding."""
    model = onnx.load_model_from_string(tiny_model(tiny_contract()))
    for old, new in (("score", "patch_score"), ("gate", "front_gate"), ("quality", "front_quality")):
        model = rename_output(model, old, new)
    graph, node = model.graph, helper.make_node
    graph.initializer.append(numpy_helper.from_array(np.array(25.5, np.float32), "tenth"))
    graph.node.append(node("Div", ["embedding", "tenth"], ["class_embedding"]))
    graph.node.append(node("Sub", ["patch_score", "patch_score"], ["novelty"]))
    graph.output.append(helper.make_tensor_value_info("class_embedding", TensorProto.FLOAT, ["N", 3]))
    graph.output.append(helper.make_tensor_value_info("novelty", TensorProto.FLOAT, ["N"]))
    return select_outputs(model, TRUNK_GIVES)


def embedded(colour: str, seed: int) -> np.ndarray:
    """Return a picture's class embedding [3] as the graph has it."""
    return np.asarray(frame(colour, seed).mean(axis=(0, 1)) / 25.5, np.float32)


@pytest.fixture(scope="module")
def parent() -> Parent:
    """A deployed graph that tells dull from green, by 12 examples of each, NG where red is 20 above blue."""
    labels = np.repeat([0, 1], 12)
    shown = [(("dull", "green")[label], seed) for seed, label in enumerate(labels)]
    rows = np.stack([embedded(*one) for one in shown])
    pictures = tuple(picture_of(frame(*one)) for one in shown)
    examples = Examples(rows, labels, np.arange(24), np.ones(24, np.bool_))
    known = ClassState(
        ("dull", "green"),
        "auto",
        0.05,
        0,
        examples,
        np.zeros((0, 3), np.float32),
        None,
        pictures,
        tuple(map(str, range(24))),
    )
    contract, fit = colour_contract(), fit_again(known)
    parts = (("classes", class_part(fit)), ("decision", export_decision(decision_of(contract))))
    numbers = {UNFAMILIAR_LIMIT: np.array([9.0], np.float32), FINDING_LIMITS: np.zeros((1, 2), np.float32),
               FINDING_FLOOR: np.array([40.0], np.float32)}  # fmt: skip
    model = assemble(colour_trunk(), parts, {**numbers, **fit.values.feed()}, contract)
    state: object = None
    return Parent(Path("model"), "0" * 64, contract, model, constants(model), known.arrays(), state)  # type: ignore[arg-type]


def changed(parent: Parent, *images: LineImage) -> Changed:
    """Return the parent's classes extended."""
    return extended_classes(parent, images, Journal(SilentProgress()))


@pytest.fixture(scope="module")
def oranged(parent: Parent) -> Changed:
    """Extended by a class that was not known, six images of it."""
    return changed(parent, *(image("orange", seed) for seed in range(6)))


@pytest.fixture(scope="module")
def model(parent: Parent, oranged: Changed) -> onnx.ModelProto:
    """The graph that comes of it."""
    assert oranged.classes is not None
    contract = replace(parent.contract, class_names=oranged.classes.names, classes=oranged.classes.statement)
    return with_class_part(parent.model, contract, oranged.classes.fit)


def test_a_new_class_is_told_and_the_old_ones_as_before(parent: Parent, model: onnx.ModelProto) -> None:
    """In the one graph: the new class has a column behind the old ones, whose numbers and answers stay."""
    old, new = Graph(parent.model), Graph(model)
    for number, name in enumerate(("dull", "green", "orange")):
        for seed in range(100, 106):
            feed = {"frame": frame(name, seed)[None]}
            out, before = new(feed), old(feed)
            assert out["class_prob"].shape == (1, 3)
            assert out["defect_class"].tolist() == [number]
            assert number == 2 or before["defect_class"].tolist() == [number]


def test_nothing_but_classes_changes(parent: Parent, oranged: Changed, model: onnx.ModelProto) -> None:
    """Score, verdict, map, gate and quality of any batch are the very same numbers, thresholds too."""
    batch = RNG.integers(0, 256, (9, 12, 10, 3), dtype=np.uint8)
    old, new = Graph(parent.model)({"frame": batch}), Graph(model)({"frame": batch})
    assert tuple(new) == OUTPUTS
    for name in set(OUTPUTS) - {"defect_class", "class_prob", "class_p_value"}:
        np.testing.assert_array_equal(new[name], old[name])
    assert oranged.threshold == parent.contract.threshold_ng
    for name in ("threshold_ng", "threshold_review"):
        np.testing.assert_array_equal(constants(model)[name], parent.constants[name])


def test_the_graph_holds_what_was_fitted(oranged: Changed, model: onnx.ModelProto) -> None:
    """Its probabilities are those of the fit, computed in NumPy."""
    assert oranged.classes is not None
    values = class_values(constants(model))
    np.testing.assert_array_equal(values.map, oranged.classes.fit.values.map)
    said = classify_reference(values, embedded("orange", 50)[None])
    out = Graph(model)({"frame": frame("orange", 50)[None]})
    np.testing.assert_allclose(out["class_prob"].astype(np.float64), said.prob, atol=1e-5)
    np.testing.assert_allclose(out["class_p_value"], said.p_value, rtol=1e-6)


def test_the_statement_counts_old_and_new_images(oranged: Changed) -> None:
    """Images by class, held-out accuracy of all of them, and what was done in words."""
    assert oranged.classes is not None
    statement = oranged.classes.statement
    assert statement.images == {"dull": 5, "green": 5, "orange": 6}
    assert statement.n == 30
    assert oranged.classes.names == ("dull", "green", "orange")
    assert "New: orange" in oranged.statement
    assert oranged.counted == {"extend/orange": 6}


def test_examples_of_a_known_class_move_its_border(parent: Parent) -> None:
    """What was unknown is called green, once others like it are known to be green."""
    change = changed(parent, *(image("orange", seed, "green") for seed in range(8)))
    assert change.classes is not None
    odd = embedded("orange", 77)[None]
    assert classify_reference(class_values(parent.constants), odd).index.tolist() == [UNKNOWN_DEFECT_CLASS]
    assert classify_reference(change.classes.fit.values, odd).index.tolist() == [1]


def test_what_is_known_is_not_learned_twice(parent: Parent) -> None:
    """An old example among the new images is left out; alone it is refused, and as another class it is an error."""
    again = changed(parent, image("green", 12), image("green", 200))
    assert again.facts["images_used"] == 1.0
    assert changed(parent, image("green", 200), image("green", 200)).facts["images_used"] == 1.0
    with pytest.raises(UsageError, match="already; give others"):
        changed(parent, image("green", 12))
    with pytest.raises(UsageError, match="already an example of green"):
        changed(parent, image("green", 12, "dull"))


def test_a_model_without_classes_is_told_what_to_do(parent: Parent) -> None:
    """It must be trained with train/<class>, and so must one whose tail was tuned."""
    plain = replace(parent, contract=tiny_contract())
    with pytest.raises(UsageError, match=r"train/<class>"):
        changed(plain, image("green", 200))
    told = parent.contract.classes
    assert told is not None
    tuned = replace(parent, contract=replace(parent.contract, classes=replace(told, method="finetune")))
    with pytest.raises(UsageError, match="were tuned"):
        changed(tuned, image("green", 200))


def test_a_new_class_that_is_nearly_an_old_one_is_pointed_out(parent: Parent) -> None:
    """A slip of the hand makes a class of its own; the words say so, and how to undo it."""
    change = changed(parent, *(image("green", 300 + seed, "gren") for seed in range(3)))
    assert "If gren was meant to be green, extend the model of before again." in change.statement


@pytest.mark.parametrize("name", ["good", "OK", "Normal", "unknown", "UNKNOWN", " ", "a/b"])
def test_what_is_no_class_is_refused(parent: Parent, name: str) -> None:
    """Words that mean something else already cannot become a class."""
    with pytest.raises(UsageError, match="cannot be a class"):
        changed(parent, image("green", 200, name))


def test_frames_without_a_verdict_are_refused(parent: Parent) -> None:
    """Pictures too dark for the gate never get a class, so they are no examples of one."""
    dark = LineImage(Path("dark.png"), "dark", lambda: np.zeros((8, 8, 3), np.uint8), "green")
    with pytest.raises(UsageError, match="none of the 1 images a verdict"):
        changed(parent, dark)


def test_images_that_are_ok_are_counted(parent: Parent) -> None:
    """A class is told only of what is NG, and whoever adds images should know how many are not."""
    change = changed(parent, image("good", 1, "pale"), image("good", 2, "pale"), image("orange", 3, "pale"))
    assert Verdict(int(Graph(parent.model)({"frame": frame("good", 1)[None]})["verdict"][0])) is Verdict.OK
    assert change.facts["images_ok"] == 2.0
    assert "2 of the 3 images are OK" in change.statement


def kept(start: Start | None = None) -> ClassState:
    """Return what a bundle keeps of three clouds."""
    goods, pictures = RNG.standard_normal((9, 20)).astype(np.float32), tuple(f"picture {i}" for i in range(18))
    return ClassState(
        ("a", "b", "c"), "auto", 0.1, 7, clouds(6), goods, start, pictures, tuple(f"p{i}" for i in range(18))
    )


@pytest.mark.parametrize(
    "start", [None, Start("reptile", RNG.standard_normal((4, 20)).astype(np.float32), ("rendered",), 200)]
)
def test_a_kept_class_head_is_fitted_as_it_was(start: Start | None) -> None:
    """Through state.npz and back, the same examples, settings and start give the same numbers."""
    known = kept(start)
    back = class_state(unpack_state(pack_state(known.arrays()), "here"), "here")
    for one, other in zip(fit_again(known).values.feed().values(), fit_again(back).values.feed().values(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "spoil", [lambda arrays: arrays.pop("class_labels"), lambda arrays: arrays.update(class_settings=np.array("{"))]
)
def test_a_state_without_examples_is_told_what_to_do(spoil: Callable[[dict[str, np.ndarray]], object]) -> None:
    """A bundle of an older training names the remedy."""
    arrays = dict(kept().arrays())
    spoil(arrays)
    with pytest.raises(BundleError, match="Train the recipe again"):
        class_state(arrays, "here")


def test_copies_join_as_copies_of_their_image() -> None:
    """Old rows stay as they are; a new image is one part with its copies, and only itself is counted."""
    known = kept()
    new = RNG.standard_normal((2, 4, 20)).astype(np.float32)
    grown = grown_state(known, [("d", new[0]), ("a", new[1])], ["e", "f"], ["x", "y"])
    assert grown.names == ("a", "b", "c", "d")
    assert grown.pictures[17:] == ("picture 17", "e", "f")
    rows = grown.examples
    np.testing.assert_array_equal(rows.embeddings[:18], known.examples.embeddings)
    np.testing.assert_array_equal(rows.labels[18:], [3] * 4 + [0] * 4)
    np.testing.assert_array_equal(rows.groups[18:], [18] * 4 + [19] * 4)
    assert rows.counts.tolist() == [7, 6, 6, 1]
    assert rows.turned is not None
    assert rows.turned.sum() == 6


def test_images_of_one_part_are_one_group() -> None:
    """A new image of a known part joins it, and two of a new one are together: no fold has them on both sides."""
    new = RNG.standard_normal((4, 1, 20)).astype(np.float32)
    grown = grown_state(kept(), [("a", row) for row in new], list("efgh"), ["x", "p4", "x", "y"])
    np.testing.assert_array_equal(grown.examples.groups[18:], [18, 4, 18, 19])
    assert grown.parts[18:] == ("x", "y")
    assert class_state(grown.arrays(), "here").parts == grown.parts


def test_the_recipes_pattern_tells_parts_of_new_examples(parent: Parent, tmp_path: Path) -> None:
    """By `capture.group`, as training has it."""
    (tmp_path / "recipe.lock.yaml").write_text("recipe: {capture: {group: '^(.+)_'}}\nimages: []\n")
    seal(tmp_path)
    shots = [replace(image("green", seed), path=Path(f"7_{seed}.png")) for seed in (70, 71)]
    assert "7" in class_state(parent.arrays, "here").parts
    change = extended_classes(replace(parent, folder=tmp_path), shots, Journal(SilentProgress()))
    assert change.classes is not None
    assert change.classes.arrays["class_groups"][24:].tolist() == [7, 7]


def test_the_command_takes_one_kind_of_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Help names both; neither, both, and a class without a folder are errors that say what is expected."""
    monkeypatch.setenv("COLUMNS", "160")
    answer = invoke("extend", "--help")
    assert "--defect" in answer.output
    assert "CLASS=PATH" in answer.output
    for options in ([], ["--good", "a", "--defect", "b=c"]):
        result = invoke("extend", tmp_path, *options)
        assert "either --good" in str(result.exception)
    result = invoke("extend", tmp_path, "--defect", "scratch")
    assert "expected CLASS=PATH" in str(result.exception)


def test_what_a_class_learned_has_no_say_in_a_calibration(parent: Parent, oranged: Changed, tmp_path: Path) -> None:
    """Examples that `extend` added are no new images, in whatever file they are given."""
    assert oranged.classes is not None
    state = {**parent.arrays, **oranged.classes.arrays}
    (tmp_path / "state.npz").write_bytes(pack_state(state))
    seal(tmp_path)
    opened = Opened(tmp_path, parent.sha256, parent.contract, parent.model, parent.constants, state)

    def given(label: str, colour: str, seed: int) -> LineImage:
        path = images.write(tmp_path / f"{label}_{seed}.bmp", frame(colour, seed))
        return LineImage(path, path.name, lambda: frame(colour, seed), label)

    goods = [given("good", "good", seed) for seed in range(20, 26)]
    defects = [given("orange", "orange", seed) for seed in (2, 3, 40)]  # two of the six learned ones
    journal = Journal(SilentProgress())
    made = recalibrated(opened, [*goods, *defects], Wish("overkill", 0.5), None, journal)
    assert made.escapes.overall.n == 1
    assert "2 images were left out, since the model learned from them: orange_2.bmp, orange_3.bmp." in journal.decisions
    assert "pictures of classes; " in made.threshold.statement


def test_pictures_of_one_part_count_once_in_a_calibration(parent: Parent, tmp_path: Path) -> None:
    """A picture saved anew and another frame of the same part join it: a promise counts parts."""
    opened = Opened(tmp_path, parent.sha256, parent.contract, parent.model, parent.constants, {})

    def given(name: str, shown: np.ndarray, label: str = "good") -> LineImage:
        path = images.write(tmp_path / name, shown)
        return LineImage(path, name, lambda: shown, label)

    shots = {f"{seed}.png": images.picture(seed, 160, 160) for seed in range(8)}
    noise = np.random.default_rng(0).normal(0, 1, shots["5.png"].shape)
    burst = np.clip(shots["5.png"] + noise, 0, 255).round().astype(np.uint8)
    shown = [given(name, one) for name, one in {**shots, "anew.bmp": shots["2.png"], "burst.png": burst}.items()]
    journal, wish = Journal(SilentProgress()), Wish("overkill", 0.5)
    limit = recalibrated(opened, shown, wish, None, journal).threshold
    assert (limit.n, limit.n_groups) == (10, 8)
    assert any(words.endswith("count once: 2.png, anew.bmp; 5.png, burst.png.") for words in journal.decisions)
    wrong = given("wrong.bmp", shots["3.png"], "orange")
    with pytest.raises(UsageError, match=r"wrong\.bmp is given as orange, and the same picture, .*3\.png, as good"):
        recalibrated(opened, [*shown, wrong], wish, None, journal)
