"""The JavaScript examples, really run: Node.js and a browser reproduce every output of a bundle's vectors."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from javascript import EXAMPLES, agree, browse, modules_folder, node_verify, shown_right
from lineside.contract import CONTRACT_VERSION, OUTPUTS, Finding, QualityLimit, Verdict
from tiny import rewrite, seal, tiny_contract, tiny_model


def test_node_reproduces_the_vectors_of_a_tiny_bundle(proven: Path) -> None:
    """Node.js gets each recorded output."""
    done = node_verify(proven)
    assert done.returncode == 0, done.stderr
    agree([json.loads(line) for line in done.stdout.splitlines()], proven)


@pytest.mark.parametrize("name", [name for name in OUTPUTS if name not in ("anomaly_map", "class_prob")])
def test_node_sees_an_output_that_differs(proven: Path, name: str) -> None:
    """Each output is compared: one that was recorded otherwise is named with its vector."""

    def edit(document: dict[str, Any]) -> None:
        outputs = document["vectors"][0]["outputs"]
        moved = np.asarray(outputs[name]) + 1
        outputs[name] = moved.tolist()

    rewrite(proven, edit)
    done = node_verify(proven)
    assert done.returncode == 1
    assert f"vector ok: output {name} is " in done.stderr


def test_node_sees_a_map_that_differs(proven: Path) -> None:
    """One cell of the map is enough."""
    file = proven / "vectors" / "ok.map.f32"
    cells = np.fromfile(file, "<f4")
    cells[5] *= 0.9
    file.write_bytes(cells.tobytes())
    seal(proven)
    done = node_verify(proven)
    assert done.returncode == 1
    assert "vector ok: output anomaly_map is " in done.stderr


def test_node_sees_a_shape_that_differs(proven: Path) -> None:
    """An output of another length is named with both shapes."""
    rewrite(proven, lambda document: document["vectors"][0]["outputs"].update(embedding=[1.0, 2.0]))
    assert "output embedding has the shape [3], recorded was [2]" in node_verify(proven).stderr


def test_node_refuses_another_contract(proven: Path) -> None:
    """A later major version is not read."""
    file = proven / "contract.json"
    file.write_text(file.read_text().replace(f'"{CONTRACT_VERSION}"', '"99.0"'))
    seal(proven)
    done = node_verify(proven)
    assert done.returncode == 1
    assert "contract_version is 99.0" in done.stderr


@pytest.mark.parametrize("name", ["model.onnx", "contract.json", "vectors/vectors.json", "vectors/ok.u8"])
def test_node_refuses_a_file_that_was_altered(proven: Path, name: str) -> None:
    """Each file that is read is held against the sums."""
    with (proven / name).open("ab") as file:
        file.write(b" ")
    done = node_verify(proven)
    assert done.returncode == 1
    assert f"{name}: altered after the bundle was written" in done.stderr


@pytest.mark.parametrize("listed", [False, True])
def test_node_reads_nothing_outside_of_the_bundle(proven: Path, listed: bool) -> None:
    """A vector whose frame lies elsewhere is refused, also where forged sums list it."""
    outside = proven.parent / "ok.u8"
    shutil.copy(proven / "vectors" / "ok.u8", outside)
    rewrite(proven, lambda document: document["vectors"][0].update(frame="../../ok.u8"))
    name = "vectors/../../ok.u8"
    if listed:
        with (proven / "SHA256SUMS").open("a") as sums:
            sums.write(f"{hashlib.sha256(outside.read_bytes()).hexdigest()}  {name}\n")
    done = node_verify(proven)
    assert done.returncode == 1
    assert f"{name}: no file that SHA256SUMS lists inside the bundle" in done.stderr


def test_the_page_refuses_a_file_that_was_altered(proven: Path, tmp_path: Path) -> None:
    """A contract with another tolerance is not believed."""
    file = proven / "contract.json"
    file.write_text(file.read_text().replace('"score_tolerance_rel": 0.001', '"score_tolerance_rel": 1e9'))
    assert browse(proven, tmp_path / "page")["loaded"] == "error: contract.json: altered after the bundle was written"


def test_the_examples_know_this_contract() -> None:
    """The outputs and the major version in lineside.mjs are the package's."""
    text = (EXAMPLES / "lineside.mjs").read_text(encoding="utf-8")
    listed = text.split("export const OUTPUTS = [")[1].split("]")[0]
    assert tuple(part.strip().strip('"') for part in listed.split(",") if part.strip()) == OUTPUTS
    assert f'CONTRACT_MAJOR = "{CONTRACT_VERSION.split(".")[0]}"' in text
    assert str([verdict.name for verdict in Verdict]).replace("'", '"') in text


def test_the_page_shows_verdict_and_heatmap_of_a_tiny_bundle(proven: Path, tmp_path: Path) -> None:
    """A browser gets each recorded output, and shows what was dropped."""
    shown_right(browse(proven, tmp_path / "page"), proven)


def test_the_page_names_a_finding(proven: Path, tmp_path: Path) -> None:
    """NG without a place in the map has its reason in words: all of a finding's numbers beyond their limits."""
    bright = Finding("bright", "the part is too bright", (QualityLimit("mean_level", 20.0, 115.0),))
    both = Finding("both", "this never holds", (*bright.limits, QualityLimit("mean_level", 50.0, None)))
    contract = replace(tiny_contract(), findings=(both, bright))
    (proven / "model.onnx").write_bytes(tiny_model(contract))
    (proven / "contract.json").write_text(contract.to_json())
    seal(proven)
    report = browse(proven, tmp_path / "page")
    shown_right(report, proven)
    assert report["drops"]["ng"]["reasons"] == ["the part is too bright"]


def test_the_page_sees_an_output_that_differs(proven: Path, tmp_path: Path) -> None:
    """A vector that was recorded otherwise is shown as an error."""
    rewrite(proven, lambda document: document["vectors"][1]["outputs"].update(verdict=2))
    report = browse(proven, tmp_path / "page")
    assert report["checked"] == "error: vector ng: output verdict is 1 at 0, recorded was 2"


def test_the_page_names_a_file_that_is_missing(proven: Path, tmp_path: Path) -> None:
    """Without a contract the page says so."""
    shutil.move(proven / "contract.json", tmp_path)
    assert browse(proven, tmp_path / "page")["loaded"].startswith("error: model/contract.json: 404")


def test_a_missing_package_skips_here_and_fails_in_ci(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the packages a test says what is missing; where CI is set it does not pass over that."""
    monkeypatch.setenv("LINESIDE_NODE", str(tmp_path))
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="onnxruntime-web is not installed"):
        modules_folder("onnxruntime-web")
    monkeypatch.setenv("CI", "1")
    with pytest.raises(pytest.fail.Exception, match=r"onnxruntime-web is not installed.*in CI this test must run"):
        modules_folder("onnxruntime-web")
