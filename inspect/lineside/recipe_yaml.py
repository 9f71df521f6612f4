"""YAML text to plain values, with the line of every key, so that each error can point at the place to change.

`yaml.safe_load` was rejected: it forgets line numbers, lets a later key silently win over an earlier one of the same
name, and reads by YAML 1.1, where ``off`` and ``no`` are booleans, ``1e-2`` is a text and ``010`` is eight. Here
scalars follow the core schema of YAML 1.2 (chapter 10.3), without ``.inf`` and ``.nan``, which no recipe key accepts.
Aliases, merge keys and tags are refused: a recipe must be readable from top to bottom, and a dozen lines of aliases can
stand for gigabytes.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import yaml

from lineside.errors import RecipeError

Value = None | bool | int | float | str | list["Value"] | dict[str, "Value"]
"""What a recipe can hold."""
Location = tuple[str | int, ...]
"""Keys and list indices from the top to a value."""

_NULL = re.compile(r"|~|null|Null|NULL")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INTEGER = re.compile(r"[-+]?[0-9]{1,300}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")


@dataclass(frozen=True)
class Located:
    """Values, and the 1-based line of each key and each list entry."""

    value: dict[str, Value]
    lines: dict[Location, int]


_PLAIN_WORDS = {
    "mapping values are not allowed here": "a ':' where none can stand; each line is 'key: value', check this line "
    "and the one above, and their indentation",
    "but found another document": "a second document ('---'); a recipe is one",
    "found character '\\t' that cannot start any token": "a tab; use spaces",
    "could not find expected ':'": "no ':' after a key; each line is 'key: value'",
}
"""What PyYAML says of the commonest mistakes, and what people understand."""


class _Loader(yaml.SafeLoader):
    """Composes nodes only; refuses aliases and tags while it does."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _refused("an alias (*name)", event)
        if event.tag is not None:
            raise _refused(f"a tag ({event.tag})", event)
        return super().compose_node(parent, index)


def _refused(what: str, event: yaml.Event) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(
        problem=f"{what} is not allowed in a recipe", problem_mark=cast("yaml.Mark | None", event.start_mark)
    )


_NEEDS = "A recipe needs at least the keys 'part' and 'images'."


def read_yaml(text: str, file: Path, needs: str = _NEEDS) -> Located:
    """Read the text of a recipe, or of another file of settings.

    Parameters
    ----------
    text : str
        The whole file.
    file : Path
        Where it came from, for the error.
    needs : str
        What such a file needs, for the error on an empty one.

    Raises
    ------
    RecipeError
        When it is empty, no YAML, more than one document, not a mapping, or has a key twice.
    """
    _refuse_unprintable(text, file)
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, text, file) from None
    except RecursionError:
        raise RecipeError("nested too deeply for a recipe.", file=file) from None
    finally:
        loader.dispose()
    if root is None:
        raise RecipeError(f"the file is empty. {needs}", file=file)
    if not isinstance(root, yaml.MappingNode):
        found = "a list" if isinstance(root, yaml.SequenceNode) else f"the text {_shortened(root.value)!r}"
        raise RecipeError(
            f"expected lines 'key: value', found {found}. {needs}",
            file=file,
            line=_line(root),
        )
    lines: dict[Location, int] = {}
    return Located(_mapping(root, (), lines, file), lines)


def _refuse_unprintable(text: str, file: Path) -> None:
    """Look for what YAML forbids anywhere; PyYAML would report it without a line."""
    bad = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if bad is None:
        return
    line = text.count("\n", 0, bad.start()) + 1
    code = f"U+{ord(bad.group()):04X}"
    raise RecipeError(f"the character {code} is not allowed in YAML. Remove it.", file=file, line=line)


def _syntax_error(error: yaml.MarkedYAMLError, text: str, file: Path) -> RecipeError:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else None
    source = text.splitlines()[mark.line] if mark and mark.line < len(text.splitlines()) else ""
    if "\t" in source[: len(source) - len(source.lstrip())]:
        return RecipeError("indented with a tab, which YAML does not allow. Use spaces.", file=file, line=line)
    problem = error.problem or "cannot be read"
    if problem in _PLAIN_WORDS:
        return RecipeError(f"not valid YAML: {_PLAIN_WORDS[problem]}.", file=file, line=line)
    context = f"{error.context}, " if error.context else ""
    return RecipeError(f"not valid YAML: {context}{problem}.", file=file, line=line)


def _mapping(node: yaml.MappingNode, at: Location, lines: dict[Location, int], file: Path) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise RecipeError("a key must be a plain word.", file=file, line=_line(key_node))
        key: str = key_node.value
        if key == "<<":
            raise RecipeError("a merge key (<<) is not allowed in a recipe.", file=file, line=_line(key_node))
        here = (*at, key)
        if key in values:
            message = f"the key is given twice, first in line {lines[here]}. Remove one of them."
            raise RecipeError(message, file=file, line=_line(key_node), key=dotted(here))
        lines[here] = _line(key_node)
        values[key] = _value(value_node, here, lines, file)
    return values


def _value(node: yaml.Node, at: Location, lines: dict[Location, int], file: Path) -> Value:
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, at, lines, file)
    if isinstance(node, yaml.SequenceNode):
        items: list[Value] = []
        for index, item in enumerate(node.value):
            lines[(*at, index)] = _line(item)
            items.append(_value(item, (*at, index), lines, file))
        return items
    assert isinstance(node, yaml.ScalarNode)
    return _scalar(node.value) if node.style is None else cast(str, node.value)


def _scalar(text: str) -> Value:
    """Read an unquoted scalar by YAML 1.2's core schema."""
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text) or _FALSE.fullmatch(text):
        return text.lower() == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def dotted(location: Location) -> str:
    """Return a location as people write it: ``transfer.taps``."""
    return ".".join(str(part) for part in location)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _shortened(text: str, limit: int = 40) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
