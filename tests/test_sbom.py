"""sbom.cdx.json: what a model was made of, in a format that other people's tools read."""

import json
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from lineside.contract import Ancestor, Component, Contract
from lineside.export import packages
from lineside.export.packages import Package, training_packages
from lineside.export.sbom import bill_of_materials
from tiny import tiny_contract

SHA256 = "ab" * 32
WEIGHTS = Component("weights", "a network, ImageNet-1k", "PyPI: weights 1.0", "apache-2.0", "cd" * 32)
SOFTWARE = (
    Package("lineside", "0.1.0", "Apache-2.0", from_index=False, needs=("odd", "torch")),
    Package("odd", "1.0", "Old Licence of Ours", from_index=True, needs=()),
    Package("silent", "2.0", "", from_index=True, needs=()),
    Package("torch", "2.14.1+cpu", "BSD-3-Clause", from_index=True, needs=("silent",)),
)


@pytest.fixture
def contract() -> Contract:
    """A contract with weights and a parent."""
    before = Ancestor("extended", "ef" * 32, 12, "Twelve more good parts.")
    return replace(tiny_contract(), components=(WEIGHTS,), lineage=(before,))


def document(contract: Contract) -> dict[str, Any]:
    """The document for some software."""
    found: dict[str, Any] = json.loads(bill_of_materials(contract, SHA256, SOFTWARE))
    return found


def by_name(contract: Contract, name: str) -> dict[str, Any]:
    """One component of it."""
    found: dict[str, Any] = next(part for part in document(contract)["components"] if part["name"] == name)
    return found


@pytest.mark.parametrize("software", [SOFTWARE, (), None])
def test_it_follows_the_schema(contract: Contract, software: tuple[Package, ...] | None) -> None:
    """CycloneDX's own schema, strictly, takes it: with this software, with none, with what is installed here."""
    text = bill_of_materials(contract, SHA256, software)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_the_schema_would_find_a_mistake(contract: Contract) -> None:
    """The check above can fail: a hash that is none is refused."""
    text = bill_of_materials(contract, "no hash", SOFTWARE)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is not None


def test_the_model_is_named_by_its_hash(contract: Contract) -> None:
    """The document is about model.onnx and the models before it, each by its SHA-256."""
    model = document(contract)["metadata"]["component"]
    assert (model["type"], model["name"]) == ("machine-learning-model", "tiny")
    assert model["hashes"] == [{"alg": "SHA-256", "content": SHA256}]
    assert [before["hashes"][0]["content"] for before in model["pedigree"]["ancestors"]] == ["ef" * 32]


def test_weights_come_with_licence_and_hash(contract: Contract) -> None:
    """Licences are SPDX expressions where they are known as such."""
    weights = by_name(contract, WEIGHTS.name)
    assert weights["licenses"] == [{"expression": "Apache-2.0"}]
    assert weights["hashes"] == [{"alg": "SHA-256", "content": "cd" * 32}]


def test_a_package_says_what_is_known_of_it(contract: Contract) -> None:
    """An unknown licence keeps its name, an unsaid one is not guessed; a local version is escaped in its address."""
    assert by_name(contract, "odd")["licenses"] == [{"license": {"name": "Old Licence of Ours"}}]
    assert "licenses" not in by_name(contract, "silent")
    assert by_name(contract, "torch")["purl"] == "pkg:pypi/torch@2.14.1%2Bcpu"


def test_what_came_from_no_index_has_no_address_there(contract: Contract) -> None:
    """A package of the same name on PyPI would be another one."""
    assert "purl" not in by_name(contract, "lineside")


def test_it_says_what_needs_what(contract: Contract) -> None:
    """The model needs its weights and lineside, lineside its packages, these theirs."""
    needs = {entry["ref"]: entry["dependsOn"] for entry in document(contract)["dependencies"]}
    torch = "pkg:pypi/torch@2.14.1%2Bcpu"
    assert needs[f"model:{SHA256}"] == ["weights:0", "pkg:pypi/lineside@0.1.0"]
    assert needs["pkg:pypi/lineside@0.1.0"] == ["pkg:pypi/odd@1.0", torch]
    assert needs[torch] == ["pkg:pypi/silent@2.0"]


def test_the_same_model_gives_the_same_bytes(contract: Contract) -> None:
    """No time, no random number; another model or another package gives another serial number."""
    texts = {bill_of_materials(contract, SHA256) for _ in range(2)}
    serials = {document(contract)["serialNumber"], *(json.loads(text)["serialNumber"] for text in texts)}
    other = json.loads(bill_of_materials(contract, "12" * 32))["serialNumber"]
    assert len(texts) == 1
    assert len(serials | {other}) == 3


def test_the_packages_are_those_of_the_training() -> None:
    """What training needs, directly or through another package; not the tools that lie beside it."""
    found = {package.name: package for package in training_packages()}
    assert found["torch"].version == version("torch")
    assert {"lightning", "jinja2"} <= set(found)  # anomalib's, torch's
    assert not {"pytest", "hypothesis", "ruff", "mypy", "cyclonedx-python-lib"} & set(found)
    assert all(set(package.needs) <= set(found) for package in found.values())


def test_without_metadata_nothing_is_claimed(contract: Contract, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where lineside was not installed nobody knows what it needs: the document says so."""
    aggregates = [document(contract)["compositions"][0]["aggregate"]]
    monkeypatch.setattr(packages, "ROOT", "no-such-package")
    text = bill_of_materials(contract, SHA256)
    aggregates.append(json.loads(text)["compositions"][0]["aggregate"])
    assert aggregates == ["incomplete", "unknown"]
