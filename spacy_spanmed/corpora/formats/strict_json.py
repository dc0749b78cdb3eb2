"""Read JSON objects, and say what is wrong with them and what to do about it."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

MAX_DEPTH = 100  # levels of lists and objects in `info`: deeper ones can't be stored everywhere

Object = dict[str, Any]


class Unusable(ValueError):
    """What is wrong and what to do about it."""


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
        if "\\u" in line:  # an escape may stand for half a character
            json.dumps(value, ensure_ascii=False).encode("utf8")
    except Unusable:
        raise
    except UnicodeEncodeError:
        raise Unusable(
            "an escape such as \\ud800 stands for half a character. Write both halves or none."
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


def name_type(value: Any) -> str:
    """RETURNS (str): What a JSON value is, in words."""
    if value is None:
        return "null"
    names = {bool: "true or false", int: "a number", float: "a number", str: "a string"}
    return {**names, list: "a list", dict: "an object"}[type(value)]


_KINDS = {str: "a string", int: "a whole number", bool: "true or false"}


_KINDS.update({list: "a list", dict: "an object"})


_MISSING = object()


def get(item: Object, key: str, kind: type, default: Any = _MISSING) -> Any:
    """RETURNS (Any): An entry of the right type; the default where it is missing or null.
    RAISES (Unusable): If it is of another type, or missing without a default."""
    value = item.get(key)
    if value is None and default is not _MISSING:
        return default
    if type(value) is not kind:  # True is no number
        found = name_type(value) if key in item else "missing"
        raise Unusable(f"{key!r} is {found}. It must be {_KINDS[kind]}.")
    if kind is int and not -(2**63) <= value < 2**63:
        raise Unusable(f"{key!r} is too large for an offset. Correct it.")
    return value


def get_name(item: Object, key: str, default: Any = _MISSING) -> str:
    """RETURNS (str): An id, which may be written as a number."""
    if type(item.get(key)) is int:
        return str(item[key])
    return get(item, key, str, default)


def get_info(item: Object, key: str = "info") -> Object:
    """RETURNS (Dict[str, Any]): An object of anything, empty if it is missing.
    RAISES (Unusable): If it is nested too deeply to be stored."""
    info = get(item, key, dict, {})
    level: list[Any] = [info]
    for _ in range(MAX_DEPTH):
        inner = (v.values() if isinstance(v, dict) else v for v in level)
        level = [v for values in inner for v in values if isinstance(v, (dict, list))]
        if not level:
            return info
    raise Unusable(
        f"{key!r} holds lists and objects of more than {MAX_DEPTH} levels. Remove what no "
        f"document needs."
    )
