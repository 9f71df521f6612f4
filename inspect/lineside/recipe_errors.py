"""What is wrong with a settings file, in words that point at the line to change.

Every problem of a file is reported at once, since a person who mends one mistake per run stops reading the messages.
"""

import difflib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from lineside.errors import RecipeError
from lineside.recipe_yaml import Located, Location, Value, dotted

NEARLY = 0.85
"""Similarity (difflib) of a slip of the pen: ``mode`` in `pose` is meant to be ``model``, not the gate's key."""


def located_error(error: ValidationError, located: Located, file: Path, root: type[BaseModel]) -> RecipeError:
    """Put all that is wrong into one error, in the file's order, one line each.

    Parameters
    ----------
    error : ValidationError
        From `root`, whose keys are made by `lineside.recipe_block.key`.
    located : Located
        What the file holds.
    file : Path
    root : type of BaseModel
        What the whole file was read as.
    """
    value, lines = located.value, located.lines
    found: dict[str, RecipeError] = {}
    for detail in error.errors():
        at, models = _field(detail, root)
        line = lines.get(_deepest((*detail["loc"], *_custom_key(detail)), lines) or at)
        key = dotted(at)
        found.setdefault(key, RecipeError(_message(detail, at, models, value), file=file, line=line, key=key))
    first, *rest = sorted(found.values(), key=lambda e: e.line or 0)
    first.message = "\n".join(e.message for e in (first, *rest))
    first.args = (first.message,)
    return first


def _field(detail: ErrorDetails, root: type[BaseModel]) -> tuple[Location, list[type[BaseModel]]]:
    """Return the key that an error is about, without pydantic's union tags, and the models from the top to it."""
    location: Location = (*detail["loc"], *_custom_key(detail))
    models, depth = [root], 0
    while depth < len(location):
        block, deeper = _block(models[-1], location[depth]), 1
        if block is None and location[depth + 2 : depth + 3] not in ((), ("[key]",)):
            block, deeper = _named_block(models[-1], location[depth]), 2
        if block is None:
            return location[: depth + 1], models
        models.append(block)
        depth += deeper
    return location, models[:-1]


def _custom_key(detail: ErrorDetails) -> tuple[str, ...]:
    key = detail.get("ctx", {}).get("key")
    return tuple(key.split(".")) if isinstance(key, str) else ()


def _block(model: type[BaseModel], key: str | int) -> type[BaseModel] | None:
    """Return the model of the block that `key` names, or None where it is a plain key or unknown."""
    known = model.model_fields.get(str(key))
    kinds = (known.annotation, *get_args(known.annotation)) if known else ()
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _named_block(model: type[BaseModel], key: str | int) -> type[BaseModel] | None:
    """Return the model of the blocks that stand below `key`, each under a name of the user's; else None."""
    known = model.model_fields.get(str(key))
    kinds = (known.annotation, *get_args(known.annotation)) if known else ()
    of = [get_args(get_args(kind)[0] if get_origin(kind) is Annotated else kind) for kind in kinds]
    blocks = [args[1] for args in of if len(args) == 2]
    return next((kind for kind in blocks if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _deepest(location: Location, lines: Mapping[Location, int]) -> Location:
    """Follow a pydantic location through the file as far as it goes, passing over union tags."""
    reached: Location = ()
    for part in location:
        if (*reached, part) in lines:
            reached = (*reached, part)
    return reached


def _message(detail: ErrorDetails, at: Location, models: list[type[BaseModel]], value: dict[str, Value]) -> str:
    model, key = models[-1], str(at[-1])
    if detail["type"] == "extra_forbidden":
        return (
            f"unknown key {key!r}; did you mean {_nearest(key, model, models[0])}? Known keys here: {_listed(model)}."
        )
    if detail["type"] == "lineside":
        return f"{detail['msg']}."
    block = _block(model, key)
    expected = f"a block of keys ({_listed(block)})" if block else _expected(model, key)
    found = _at(value, at)
    if detail["type"] == "missing" and not isinstance(found, list):  # of a list too short it is an item that is missing
        return f"the key is missing, and required: expected {expected}."
    return f"expected {expected}; found {_described(found)}."


def _expected(model: type[BaseModel], key: str) -> str:
    extra = model.model_fields[key].json_schema_extra
    return str(extra["x-expected"]) if isinstance(extra, dict) else "another value"


def _listed(model: type[BaseModel]) -> str:
    return ", ".join(model.model_fields)


def _nearest(key: str, model: type[BaseModel], root: type[BaseModel]) -> str:
    """Return the key of this block that is nearly that, else where that very key belongs, else the most similar one."""
    alike = difflib.get_close_matches(key, list(model.model_fields), n=1, cutoff=NEARLY)
    if alike:
        return repr(alike[0])
    for place, known in _all_keys(root, ()):
        if known == key:
            return f"'{dotted((*place, known))}'" if place else f"{known!r} without indentation"
    return repr(difflib.get_close_matches(key, list(model.model_fields), n=1, cutoff=0.0)[0])


def _all_keys(model: type[BaseModel], at: Location) -> Iterator[tuple[Location, str]]:
    for name in model.model_fields:
        yield at, name
        block = _block(model, name)
        if block is not None:
            yield from _all_keys(block, (*at, name))


def _at(value: Value, location: Location) -> Value:
    """Return what the file holds there, None where it holds nothing."""
    for part in location:
        value = value.get(str(part)) if isinstance(value, dict) else value
    return value


def _described(value: Value) -> str:
    """Say what was found, so that a text is told from a number."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, str):
        hint = " (write a decimal point)" if value.replace(",", "", 1).isdigit() and "," in value else ""
        return f"the text {_shortened(json.dumps(value, ensure_ascii=False))}{hint}"
    kind = "the list " if isinstance(value, list) else "the block " if isinstance(value, dict) else ""
    return kind + _shortened(json.dumps(value, ensure_ascii=False))


def _shortened(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
