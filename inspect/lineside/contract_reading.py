"""From JSON values to the contract's dataclasses, every field checked: the runtime has no pydantic to do it."""

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from lineside.errors import BundleError

_T = TypeVar("_T")


def built(kind: type[_T], document: Mapping[str, Any], where: str) -> _T:
    """Make a dataclass from a JSON object, checking every field's presence and type."""
    hints = get_type_hints(kind)
    unknown = sorted(set(document) - set(hints))
    if unknown:
        raise BundleError(f"{where}: unknown field {unknown[0]!r} in the contract.")
    values: dict[str, Any] = {}
    for name, hint in hints.items():
        if name not in document:
            raise BundleError(f"{where}: the contract lacks the field {name!r}.")
        values[name] = _value(hint, document[name], f"{where}: {name}")
    return kind(**values)


def _value(hint: Any, value: Any, where: str) -> Any:
    """Check one JSON value against one type hint and return it in that type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return built(cast(type[Any], hint), value, where)
    if origin is Literal and value in arguments:
        return value
    if origin in (Union, types.UnionType):
        return None if value is None else _value(arguments[0], value, where)
    if origin is tuple and isinstance(value, list):
        if arguments[-1] is Ellipsis:
            return tuple(_value(arguments[0], item, where) for item in value)
        if len(value) == len(arguments):
            return tuple(_value(kind, item, where) for kind, item in zip(arguments, value, strict=True))
    if origin is Mapping and isinstance(value, dict):
        return {str(key): _value(arguments[1], item, where) for key, item in value.items()}
    if origin is dict and isinstance(value, dict):
        return value
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and type(value) is hint:
        return value
    raise BundleError(f"{where}: expected {getattr(hint, '__name__', hint)} in the contract, found {value!r}.")
