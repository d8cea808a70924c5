"""What a field's type allows, says in help texts, and makes of text from the command line.

Types are int, float, bool, str, Literal, Enum, `X | None`, `tuple[X, ...]` and mappings.
"""

import enum
import types
import typing
from collections.abc import Mapping
from typing import Any

from arch_zoo.registry import did_you_mean


def has_many(kind: Any) -> bool:
    """Whether a field of this type holds several values, or several variants."""
    return typing.get_origin(kind) is tuple


MISFIT = object()  # what no value is


def fit(value: Any, kind: Any) -> Any:
    """`value` as the type has it (an int for a float becomes a float, a list for a tuple a tuple), or MISFIT."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        fits = (f for f in (fit(value, a) for a in arguments) if f is not MISFIT)
        return next(fits, MISFIT)
    if origin is typing.Literal:
        return value if value in arguments else MISFIT
    if origin is tuple:
        items = [fit(v, arguments[0]) for v in value] if isinstance(value, tuple | list) else [MISFIT]
        return MISFIT if any(i is MISFIT for i in items) else tuple(items)
    if origin in (dict, Mapping):
        return dict(value) if isinstance(value, Mapping) else MISFIT
    if kind is Any:
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is int and isinstance(value, bool):
        return MISFIT
    if isinstance(kind, type) and issubclass(kind, enum.Enum) and isinstance(value, str):
        return next((member for member in kind if value in (member.name.lower(), member.value)), MISFIT)
    return value if isinstance(value, types.NoneType if kind is None else kind) else MISFIT


def describe_type(kind: Any) -> str:
    """A type in the words of the help text: 'int', 'int or none', 'one of: a, b', 'int,…'."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(describe_type(a) for a in arguments)
    if origin is typing.Literal:
        return "one of: " + ", ".join(str(a) for a in arguments)
    if origin is tuple:
        one = describe_type(arguments[0])
        return one.replace("one of", "any of") if one.startswith("one of") else f"{one},…"
    if kind in (None, types.NoneType):
        return "none"
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return "one of: " + ", ".join(member.name.lower() for member in kind)
    return getattr(kind, "__name__", str(kind))


def refusal(value: Any, kind: Any) -> str:
    """What is said of a value that does not fit, with the nearest of the choices where the type has some."""
    choices = [str(one) for some in (kind, *typing.get_args(kind)) for one in typing.get_args(some)]
    given = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    wrong = next((one for one in given if one not in choices), "") if isinstance(given, list | tuple) else ""
    return f"expected {describe_type(kind)}, got {value!r}.{did_you_mean(str(wrong), choices)}"


def parse_text(text: str, kind: Any) -> Any:
    """The value that `text` spells for a field of type `kind`; ValueError where it spells none."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _parse_union(text, arguments)
    if origin is typing.Literal:
        return next((a for a in arguments if str(a) == text), text)
    if origin is tuple:
        inner = text.strip().removeprefix("(").removesuffix(")").strip().rstrip(",")
        return tuple(parse_text(part.strip(), arguments[0]) for part in inner.split(",")) if inner else ()
    if kind is bool:
        spelled = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        return spelled.get(text.lower(), text)
    if kind is int:
        number = float(text) if any(c in text for c in ".eE") else int(text)
        return int(number) if number == int(number) else text
    if kind is float:
        return float(text)
    return text


def _parse_union(text: str, arguments: tuple) -> Any:
    if types.NoneType in arguments and text.lower() in ("none", "null", ""):
        return None
    for kind in arguments:
        try:
            value = parse_text(text, kind)
        except ValueError:
            continue
        if fit(value, kind) is not MISFIT:
            return value
    return text
