"""Objects out of JSON and YAML, checked by pydantic, with errors in one line of plain words.

A message says which entry is wrong, what it is, and what it must be. JSON is read strictly, beyond
what Python's own parser and pydantic's refuse: no key twice in one object, no numbers that aren't
finite, no lone surrogates, which no UTF-8 file can hold.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from functools import cache
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)

from ..doc.layers import LAYERS

MAX_DEPTH = 100  # levels of lists and objects in `info`: deeper ones can't be stored everywhere

Object = dict[str, Any]


class Unusable(ValueError):
    """What is wrong and what to do about it."""


class Checked(BaseModel):
    """An object whose entries must be of the very types declared. Others are ignored."""

    model_config = ConfigDict(strict=True)


def _limit_depth(info: Object) -> Object:
    level: list[Any] = [info]
    for _ in range(MAX_DEPTH):
        inner = (v.values() if isinstance(v, dict) else v for v in level)
        level = [v for values in inner for v in values if isinstance(v, (dict, list))]
        if not level:
            return info
    raise ValueError(
        f"holds lists and objects of more than {MAX_DEPTH} levels. Remove what no document needs."
    )


def _know_layer(value: Any) -> Any:
    if value not in LAYERS:
        raise ValueError(f"is an unknown layer. Known are {list(LAYERS)}.")
    return value


# An id, which may be written as a number
Name = Annotated[str, BeforeValidator(lambda value: str(value) if type(value) is int else value)]
Layer = Annotated[str, BeforeValidator(_know_layer)]
Offset = Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63)]
Flag = Annotated[bool, Field(strict=True)]
# An object of anything that isn't nested too deeply to be stored
Info = Annotated[Object, AfterValidator(_limit_depth)]

Made = TypeVar("Made")


@cache
def _get_adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def check(kind: type[Made], value: Any) -> Made:
    """RETURNS (Made): A value as an object of that type, such as a dataclass or a model.
    RAISES (Unusable): If it is none."""
    adapter: TypeAdapter[Made] = _get_adapter(kind)  # type: ignore[arg-type]  # mypy: no Hashable
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise Unusable(explain(error)) from None


_EXPECTED = {
    "string_type": "a string",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "dataclass_type": "an object",
}


def explain(error: ValidationError) -> str:
    """RETURNS (str): What is wrong, and what to do about it, of the first entry that is."""
    first = error.errors(include_url=False)[0]
    kind, value = first["type"], first["input"]
    loc = [part for part in first["loc"] if part != "[key]"]  # of a key: it is there itself
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    where = repr("".join(parts).removeprefix(".")[:80])
    if kind in _EXPECTED:
        if not loc:
            return f"{name_type(value)} instead of {_EXPECTED[kind]}."
        return f"{where} is {name_type(value)}. It must be {_EXPECTED[kind]}."
    if kind == "missing":
        return f"{where} is missing. Add it."
    if kind == "unexpected_keyword_argument":
        return f"{where} is unknown. Remove it, or correct its name."
    if kind in ("greater_than_equal", "less_than", "less_than_equal"):
        return f"{where} is too large for an offset. Correct it."
    reason = first["ctx"]["error"] if kind == "value_error" else f"can't be used. {first['msg']}."
    return f"{where} {reason}"


def name_type(value: Any) -> str:
    """RETURNS (str): What a value out of JSON or YAML is, in words."""
    names = {bool: "true or false", int: "a number", float: "a number", str: "a string"}
    names |= {list: "a list", dict: "an object", type(None): "null"}
    return names.get(type(value), type(value).__name__)


def parse_object(line: str) -> Object:
    """RETURNS (Dict[str, Any]): The JSON object that a line is.
    RAISES (Unusable): If it is none, or holds what JSON has no word for, or a key twice."""
    try:
        value = json.loads(
            line,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_without_duplicates,
        )
        if "\\u" in line:  # an escape may stand for a lone surrogate
            json.dumps(value, ensure_ascii=False).encode("utf8")
    except Unusable:
        raise
    except UnicodeEncodeError:
        raise Unusable(
            "an escape such as \\ud800 stands for a lone surrogate. Write both surrogates of the "
            "character, or none."
        ) from None
    except RecursionError:
        raise Unusable("JSON that is nested too deeply. Remove what no document needs.") from None
    except ValueError as error:
        raise Unusable(
            f"not JSON ({error}). Each line must be one JSON object; a file that is one JSON "
            f"list has to be written as lines first."
        ) from None
    if not isinstance(value, dict):
        raise Unusable(f"{name_type(value)} instead of a JSON object with a 'text'.")
    return value


def _refuse_constant(name: str) -> None:
    raise Unusable(f"{name} is not JSON. Use null, or leave it out.")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise Unusable(f"the number {text[:40]} is too large. Use a smaller one.")
    return value


def _without_duplicates(pairs: list[Any]) -> Object:
    value = dict(pairs)
    if len(value) != len(pairs):
        name = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise Unusable(f"the key {name[:40]!r} occurs twice in one object. Remove one of them.")
    return value
