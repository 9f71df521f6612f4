"""`verify` on vectors that were altered, hashes and all: whatever is wrong is one line that names file and entry."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lineside.errors import BundleError
from lineside.runtime import verify_bundle
from tiny import Edit, rewrite, seal, tiny_contract, write_bundle


def entry(**changes: object) -> Edit:
    """Change fields of the first vector."""
    return lambda document: document["vectors"][0].update(changes)


def output(**changes: object) -> Edit:
    """Change outputs of the first vector."""
    return lambda document: document["vectors"][0]["outputs"].update(changes)


def without(key: str) -> Edit:
    """Take a field of the first vector away."""
    return lambda document: document["vectors"][0].pop(key)


def deep(levels: int) -> list[Any]:
    """Nest a list."""
    nested: list[Any] = []
    for _ in range(levels):
        nested = [nested]
    return nested


def test_true_vectors_are_proven(proven: Path) -> None:
    """The bundle that the others spoil passes."""
    done = verify_bundle(proven)
    assert (done.vectors, done.tells_swapped_channels, done.worst_score_rel) == (3, True, 0.0)
    assert done.files == 2 + 3 * 3 + 1


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        pytest.param(lambda d: d.pop("tells_swapped_channels"), "tells_swapped_channels, found nothing", id="no swap"),
        pytest.param(lambda d: d.update(tells_swapped_channels="no"), "true or false .* found 'no'", id="swap a word"),
        pytest.param(lambda d: d.update(vectors=[]), "holds no vectors", id="empty"),
        pytest.param(lambda d: d.update(vectors={"a": 1}), "holds no vectors", id="vectors an object"),
    ],
)
def test_a_wrong_document_is_refused(proven: Path, edit: Edit, words: str) -> None:
    """What holds for all vectors is checked before any is run; the error names the file."""
    rewrite(proven, edit)
    with pytest.raises(BundleError, match=rf"vectors\.json: .*{words}"):
        verify_bundle(proven)


@pytest.mark.parametrize("content", [b"[]", b"{", b"\xff", b"null", b"[" * 100_000])
def test_a_file_that_holds_no_document_is_refused(proven: Path, content: bytes) -> None:
    """Another kind of JSON, half of it, no text, or brackets without end."""
    (proven / "vectors" / "vectors.json").write_bytes(content)
    seal(proven)
    with pytest.raises(BundleError, match=r"vectors\.json: "):
        verify_bundle(proven)


def test_vectors_that_are_missing_are_refused(proven: Path) -> None:
    """A bundle without vectors proves nothing."""
    (proven / "vectors" / "vectors.json").unlink()
    seal(proven)
    with pytest.raises(BundleError, match=r"vectors\.json: missing from the bundle"):
        verify_bundle(proven)


@pytest.mark.parametrize("wrong", [None, 5, "ok", [1]])
def test_an_entry_that_is_no_object_is_refused(proven: Path, wrong: object) -> None:
    """An entry of another type is named by its number."""
    rewrite(proven, lambda document: document["vectors"].insert(1, wrong))
    with pytest.raises(BundleError, match=r"vectors\.json: vector 2: expected a JSON object"):
        verify_bundle(proven)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        pytest.param(entry(outputs=None), "as outputs, found nothing", id="outputs null"),
        pytest.param(entry(outputs=[1]), r"as outputs, found \[1\]", id="outputs a list"),
        pytest.param(output(score="5"), "numbers as output score, found '5'", id="score a word"),
        pytest.param(output(score=True), "numbers as output score, found True", id="score a truth value"),
        pytest.param(output(score=None), "numbers as output score, found nothing", id="score null"),
        pytest.param(output(score=10**400), "numbers as output score", id="score beyond all numbers"),
        pytest.param(output(score=float("inf")), "output score is not finite", id="score infinite"),
        pytest.param(output(score=[5.0]), r"output score has the shape \[\], recorded was \[1\]", id="score a list"),
        pytest.param(output(pose=[[1], [1, 2]]), "numbers as output pose", id="pose ragged"),
        pytest.param(output(pose=deep(500)), "pose", id="pose nested"),
        pytest.param(lambda d: d["vectors"][0]["outputs"].pop("gate"), "outputs lacks gate", id="no gate"),
        pytest.param(entry(frame_shape_hwc=[162]), r"expected \[H, W, C\] .*found \[162\]", id="shape of one"),
        pytest.param(entry(frame_shape_hwc="6"), "found '6'", id="shape a word"),
        pytest.param(entry(frame_shape_hwc=[6, 9, 3.0]), "whole numbers", id="shape of fractions"),
        pytest.param(entry(frame_shape_hwc=[6, -9, -3]), "from 1 on", id="shape below zero"),
        pytest.param(entry(frame_shape_hwc=[6, 27, 1]), "the contract has 3 channels", id="channels"),
        pytest.param(
            entry(frame_shape_hwc=[6, 8, 3]), r"ok\.u8 has 162 bytes, but its shape needs 144", id="frame size"
        ),
        pytest.param(entry(anomaly_map_shape_hw=[64]), r"expected \[h, w\]", id="map shape of one"),
        pytest.param(entry(anomaly_map_shape_hw=[8, 9]), r"ok\.map\.f32 has 256 bytes", id="map size"),
        pytest.param(entry(anomaly_map_shape_hw=[4, 16]), "output anomaly_map has the shape", id="map turned"),
        pytest.param(without("frame"), "as frame a file in vectors/ .* found nothing", id="no frame"),
        pytest.param(entry(frame=["ok.u8"]), "as frame a file", id="frame a list"),
        pytest.param(entry(frame="ok\0.u8"), "as frame a file", id="frame with a zero byte"),
        pytest.param(entry(frame="ng.map.f32"), "has 256 bytes", id="frame another file"),
    ],
)
def test_a_wrong_entry_is_refused(proven: Path, edit: Edit, words: str) -> None:
    """Types, shapes, sizes and names of an entry are checked before the graph runs; the error names the entry."""
    rewrite(proven, edit)
    with pytest.raises(BundleError, match=rf"vectors\.json: vector 1 \('ok'\): .*{words}") as caught:
        verify_bundle(proven)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("key", ["frame", "anomaly_map"])
@pytest.mark.parametrize("path", ["../../secret", "../model.onnx", "x/../../../secret", "absolute"])
def test_no_file_outside_the_vectors_is_read(proven: Path, key: str, path: str) -> None:
    """A path that leads out of vectors/, or a file that no sum covers, is refused, though its size would fit."""
    secret = proven.parent / "secret"
    secret.write_bytes(bytes(162 if key == "frame" else 256))
    rewrite(proven, entry(**{key: str(secret.resolve()) if path == "absolute" else path}))
    with pytest.raises(BundleError, match=rf"vector 1 \('ok'\): expected as {key} a file in vectors/ that SHA256SUMS"):
        verify_bundle(proven)


def test_a_map_that_is_not_finite_is_refused(proven: Path) -> None:
    """One infinite cell would make the tolerance on all others infinite."""
    (proven / "vectors" / "ok.map.f32").write_bytes(np.full(64, np.inf, "<f4").tobytes())
    seal(proven)
    with pytest.raises(BundleError, match=r"vector 1 \('ok'\): output anomaly_map is not finite"):
        verify_bundle(proven)


def test_a_graph_that_fails_on_a_vector_is_named_with_it(proven: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ONNX Runtime raises comes out as one line."""

    def fails(*_: object) -> None:
        raise RuntimeError("Non-zero status code\nmore")

    monkeypatch.setattr("lineside.runtime.verify.Inspector.raw_outputs", fails)
    with pytest.raises(BundleError, match=r"vector 1 \('ok'\): the graph fails on its frame \(Non-zero") as caught:
        verify_bundle(proven)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(("tolerance", "factor", "passes"), [(1e-3, 1.005, True), (1e-3, 1.05, False),
                                                             (2e-2, 1.05, True), (2e-2, 1.2, False)])  # fmt: skip
def test_cells_of_the_map_may_differ_as_the_contract_allows(
    proven: Path, tolerance: float, factor: float, passes: bool
) -> None:
    """By a hundredth of the largest, or where scores may differ more, as in int8, by five times as much as they."""
    contract = replace(tiny_contract(), score_tolerance_rel=tolerance)
    write_bundle(proven, contract)
    file = next(path for path in sorted((proven / "vectors").glob("*.map.f32")) if np.fromfile(path, "<f4").any())
    (np.fromfile(file, "<f4") * np.float32(factor)).tofile(file)
    seal(proven)
    if passes:
        assert verify_bundle(proven).vectors == 3
        return
    with pytest.raises(BundleError, match="output anomaly_map is"):
        verify_bundle(proven)
