"""The installed Python packages that make a model: what lineside's training names, and what that needs in turn.

Not the whole environment: a notebook or a linter that lies beside them made nothing. Everything is read from what pip
wrote on this machine; nothing is looked up anywhere.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageMetadata, PackageNotFoundError, distribution

ROOT = "lineside"
TRAINING_EXTRAS = frozenset({"train", "text"})
_LONGEST_NAME = 80  # characters; what is longer is a licence's text, not its name
_CLASSIFIER = "License :: "


@dataclass(frozen=True)
class Package:
    """An installed package."""

    name: str
    """As PyPI normalises it."""
    version: str
    licence: str
    """An SPDX expression, a name, or the empty string where its metadata says nothing short."""
    from_index: bool
    """Whether it came from a package index; else from a folder or file, and the same name on PyPI may be another's."""
    needs: tuple[str, ...]
    """Names of the packages that it needs and that are installed, sorted."""


def training_packages() -> tuple[Package, ...]:
    """Return lineside and every installed package that its training needs, directly or not, by name.

    Returns
    -------
    tuple of Package
        Empty where lineside itself was not installed, so that nothing on this machine says what it needs.
    """
    found: dict[str, Distribution] = {}
    needs: dict[str, set[str]] = {}
    asked: set[tuple[str, str]] = set()
    waiting = [(ROOT, extra) for extra in ("", *sorted(TRAINING_EXTRAS))]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in asked:
            continue
        asked.add((name, extra))
        if name not in found:
            try:
                found[name] = distribution(name)
            except PackageNotFoundError:
                continue
        wanted = list(_requirements(found[name], extra))
        needs.setdefault(name, set()).update(other for other, _ in wanted)
        waiting += wanted
    return tuple(_package(name, found[name], needs[name] & set(found)) for name in sorted(found))


def _requirements(package: Distribution, extra: str) -> Iterator[tuple[str, str]]:
    """Yield (name, extra) of what a package needs here, with one of its extras or without any."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    for text in package.requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            for inner in ("", *sorted(requirement.extras)):
                yield canonicalize_name(requirement.name), inner


def _package(name: str, installed: Distribution, needs: set[str]) -> Package:
    from_index = installed.read_text("direct_url.json") is None  # PEP 610
    return Package(name, installed.version, _licence(installed.metadata), from_index, tuple(sorted(needs - {name})))


def _licence(metadata: PackageMetadata) -> str:
    """Return what a package says of its licence: the expression, the old field where it is a name, or classifiers."""
    expression, old = (next(iter(metadata.get_all(key) or ()), "") for key in ("License-Expression", "License"))
    if expression:
        return expression
    if old and old != "UNKNOWN" and len(old) <= _LONGEST_NAME and "\n" not in old:
        return old
    kinds = [said for said in metadata.get_all("Classifier") or () if said.startswith(_CLASSIFIER)]
    return " AND ".join(kind.rpartition(" :: ")[2] for kind in kinds)
