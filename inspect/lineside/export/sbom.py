"""sbom.cdx.json: what a model was made of, in CycloneDX 1.6: weights, software, licences, and models before it.

Written as plain JSON: a library for it would be one more dependency of every training, for a document of one shape.
Without a time and without a random serial number, so that the same training gives the same bundle.

Source: ECMA-424, CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/); package URLs: ECMA-427, type pypi.
"""

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from lineside.contract import MODEL_FILE, Ancestor, Component, Contract
from lineside.export.packages import ROOT, Package, training_packages

SBOM_FILE = "sbom.cdx.json"
_MODEL, _FORMAT = "machine-learning-model", "1.6"
_KINDS = {"backbone": _MODEL, "weights": _MODEL, "method": "library"}
"""Type of component by what it is in the model."""
_INSIDE = "incomplete"  # native libraries inside the packages' files are not listed


def bill_of_materials(contract: Contract, model_sha256: str, packages: Sequence[Package] | None = None) -> str:
    """Return the text of sbom.cdx.json.

    Parameters
    ----------
    contract : Contract
        Of the model: its backbone, weights and method with their licences, and its lineage.
    model_sha256 : str
        Of model.onnx.
    packages : sequence of Package, optional
        The software; by default what is installed here and lineside's training needs.
    """
    used = training_packages() if packages is None else packages
    parts = [_part(number, component) for number, component in enumerate(contract.components)]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": _FORMAT,
        "version": 1,
        "metadata": {"component": _model(contract, model_sha256)},
        "components": [*parts, *(_software(package) for package in used)],
        "dependencies": _dependencies(model_sha256, [part["bom-ref"] for part in parts], used),
        "compositions": [{"aggregate": _INSIDE if used else "unknown", "dependencies": [_reference(model_sha256)]}],
    }
    serial = uuid5(NAMESPACE_URL, json.dumps(document, sort_keys=True))
    return json.dumps({**document, "serialNumber": f"urn:uuid:{serial}"}, indent=1, ensure_ascii=False) + "\n"


def _reference(model_sha256: str) -> str:
    return f"model:{model_sha256}"


def _model(contract: Contract, model_sha256: str) -> dict[str, Any]:
    facts = {"python": contract.software.get("python", ""), "recipe_sha256": contract.recipe_sha256}
    facts |= {"data_sha256": contract.data_sha256, "contract_version": contract.contract_version}
    component: dict[str, Any] = {
        "type": _MODEL,
        "bom-ref": _reference(model_sha256),
        "name": contract.part,
        "version": model_sha256[:12],
        "description": f"{MODEL_FILE}: defect inspection of {contract.part}",
        "hashes": [_hash(model_sha256)],
        "properties": [{"name": f"{ROOT}:{name}", "value": value} for name, value in facts.items()],
    }
    if contract.lineage:
        component["pedigree"] = {"ancestors": [_ancestor(contract.part, before) for before in contract.lineage]}
    return component


def _ancestor(part: str, before: Ancestor) -> dict[str, Any]:
    return {
        "type": _MODEL,
        "name": part,
        "version": before.parent_sha256[:12],
        "description": f"{before.how} with {before.frames} frames: {before.statement}",
        "hashes": [_hash(before.parent_sha256)],
    }


def _part(number: int, component: Component) -> dict[str, Any]:
    return {
        "type": _KINDS[component.role],
        "bom-ref": f"{component.role}:{number}",
        "name": component.name,
        "description": f"{component.role}, from {component.source}",
        **({"hashes": [_hash(component.sha256)]} if component.sha256 else {}),
        "licenses": _licences(component.licence),
    }


def _software(package: Package) -> dict[str, Any]:
    return {
        "type": "application" if package.name == ROOT else "library",
        "bom-ref": _package_url(package),
        "name": package.name,
        "version": package.version,
        **({"purl": _package_url(package)} if package.from_index else {}),
        **({"licenses": _licences(package.licence)} if package.licence else {}),
    }


def _package_url(package: Package) -> str:
    return f"pkg:pypi/{package.name}@{quote(package.version, safe='')}"


def _licences(said: str) -> list[dict[str, Any]]:
    """Return a licence as an SPDX expression where it is one, else by the name that it was given."""
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    try:
        return [{"expression": canonicalize_license_expression(said)}]
    except InvalidLicenseExpression:
        return [{"license": {"name": said}}]


def _hash(sha256: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": sha256}


def _dependencies(model_sha256: str, parts: Sequence[str], used: Sequence[Package]) -> list[dict[str, Any]]:
    """Say what needs what: the model its parts and lineside, each package those that it names."""
    urls = {package.name: _package_url(package) for package in used}
    of_model = [*parts, *([urls[ROOT]] if ROOT in urls else [])]
    of_packages = [{"ref": urls[package.name], "dependsOn": [urls[name] for name in package.needs]} for package in used]
    return [{"ref": _reference(model_sha256), "dependsOn": of_model}, *of_packages]
