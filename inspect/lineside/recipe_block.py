"""What blocks of the recipe are made of: their base, and keys that carry the sentence their errors are made of."""

from typing import Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic_core import PydanticCustomError


class Block(BaseModel):
    """A block of keys; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def key(default: Any, expected: str, description: str, unit: str = "none", **limits: Any) -> Any:
    """Return a pydantic field with the sentence that its errors are made of."""
    extra: dict[str, JsonValue] = {"x-expected": expected, "x-unit": unit}
    told = f"{description} Takes {expected}." + (f" Unit: {unit}." if unit != "none" else "")
    return Field(default, description=told, json_schema_extra=extra, **limits)


def empty_block(value: Any) -> Any:
    """Take a block whose every line is commented out (YAML: null) as the block's defaults."""
    return {} if value is None else value


def refuse(name: str, reason: str) -> NoReturn:
    """Refuse a key of a block for a reason, from inside one of its validators."""
    raise PydanticCustomError("lineside", "{reason}", {"reason": reason, "key": name})
