"""Typed, frozen settings: checked when built, overridden by dotted paths, saved as JSON and read back without loss.

`Settings` is the base of every config class and of every registered variant. `setting(...)` declares a field with its
help line and range. All parsing is driven by the field's type: int, float, bool, str, Literal, Enum, `X | None`,
`tuple[X, ...]`, nested `Settings`, and variants of a registry.
"""

import dataclasses
import enum
import functools
import math
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Self

from arch_zoo.errors import UserError
from arch_zoo.field_types import MISFIT, describe_type, fit, has_many, parse_text, refusal
from arch_zoo.registry import Registry, did_you_mean


class FieldError(UserError):
    """A field that is unknown, of the wrong type or out of range; `path` is dotted from where it was found."""

    def __init__(self, path: str, problem: str):
        super().__init__(f"{path}: {problem}")
        self.path, self.problem = path, problem

    def below(self, parent: str) -> "FieldError":
        """The same error seen from one level up."""
        return FieldError(f"{parent}.{self.path}" if parent else self.path, self.problem)


def setting(default: Any, help: str, *, low: float | None = None, high: float | None = None,
            variant: Registry | None = None) -> Any:
    """A field with its help line and inclusive range.

    `default` is a value, a Settings class (whose defaults are taken), or, with the registry of a `variant`, a name, or
    names for a field that is a tuple of variants.
    """
    metadata = {"help": help, "low": low, "high": high, "variant": variant}
    if variant is not None and isinstance(default, tuple):
        return dataclasses.field(default_factory=lambda: tuple(variant.get(name)() for name in default),
                                 metadata=metadata)
    if variant is not None:
        return dataclasses.field(default_factory=lambda: variant.get(default)(), metadata=metadata)
    if isinstance(default, type):  # built when first needed: variants register themselves while this is imported
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Base class: types and ranges are checked on construction, then `check` is called for rules between fields."""

    in_one_text: typing.ClassVar[bool] = False  # as a field of others, may be given as FIELD:VALUE,FIELD:VALUE

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            kept = _checked(value, field_types(type(self))[field.name], field)
            if kept is not value:
                object.__setattr__(self, field.name, kept)
        self.check()

    def check(self) -> None:
        """Raise FieldError or UserError where fields contradict each other."""

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed, checked again."""
        return dataclasses.replace(self, **changes)


@functools.cache
def field_types(cls: type) -> dict[str, Any]:
    """{field: type} of a class of settings."""
    return typing.get_type_hints(cls)


# --- Python values against types ---------------------------------------------------------------------------------

def _checked(value: Any, kind: Any, field: dataclasses.Field) -> Any:
    """`value` if it fits the field (an int for a float becomes a float, a list for a tuple a tuple), or FieldError."""
    registry = field.metadata.get("variant")
    if registry is not None and has_many(kind):
        if not isinstance(value, tuple | list):
            raise FieldError(field.name, f"expected several of: {', '.join(registry.names())}, got {value!r}")
        return tuple(_checked_variant(one, registry, f"{field.name}.{i}") for i, one in enumerate(value))
    if registry is not None:
        return _checked_variant(value, registry, field.name)
    fitted = fit(value, kind)
    if fitted is MISFIT:
        raise FieldError(field.name, refusal(value, kind))
    _check_range(fitted, field)
    return fitted


def _checked_variant(value: Any, registry: Registry, path: str) -> Any:
    if isinstance(value, str):
        value = registry.get(value)()
    if getattr(type(value), "name", None) not in registry.names():
        raise FieldError(path, f"expected one of: {', '.join(registry.names())}, got {value!r}")
    return value


def _check_range(value: Any, field: dataclasses.Field) -> None:
    low, high = field.metadata.get("low"), field.metadata.get("high")
    for number in value if isinstance(value, tuple) else (value,):
        if not isinstance(number, int | float) or isinstance(number, bool):
            continue
        if not math.isfinite(number):
            raise FieldError(field.name, f"{number} is not a finite number")
        if (low is not None and number < low) or (high is not None and number > high):
            bounds = f"at least {low}" if high is None else f"at most {high}" if low is None else f"{low} to {high}"
            raise FieldError(field.name, f"{number} is out of range: {bounds}")


# --- to JSON and back --------------------------------------------------------------------------------------------

def to_dict(settings: Settings) -> dict[str, Any]:
    """Nested JSON-ready dict; a variant carries its "name" first."""
    name = {"name": settings.name} if isinstance(getattr(type(settings), "name", None), str) else {}
    return name | _values(settings)


def _values(settings: Settings) -> dict[str, Any]:
    return {field.name: _jsonable(getattr(settings, field.name)) for field in dataclasses.fields(settings)}


def _jsonable(value: Any) -> Any:
    if isinstance(value, Settings):
        return to_dict(value)
    if isinstance(value, enum.Enum):
        return value.name.lower()
    if isinstance(value, tuple):
        return [_jsonable(v) for v in value]
    return value


def from_dict(cls: type, values: Mapping[str, Any]) -> Any:
    """The settings of class `cls` that `to_dict` wrote; missing fields take their defaults, unknown ones raise."""
    known = {field.name: field for field in dataclasses.fields(cls)}
    arguments = {}
    for name, value in values.items():
        if name not in known:
            raise FieldError(name, f"there is no such field in {cls.__name__}.{_nearest(name, known)}")
        try:
            arguments[name] = _revive(value, field_types(cls)[name], known[name])
        except FieldError as error:
            raise error.below(name) from None
    return cls(**arguments)


def _revive(value: Any, kind: Any, field: dataclasses.Field) -> Any:
    registry = field.metadata.get("variant")
    if registry is not None and isinstance(value, list | tuple):
        return tuple(_revive_one_of(i, one, field) for i, one in enumerate(value))
    if registry is not None and isinstance(value, Mapping):
        options = dict(value)
        return from_dict(registry.get(options.pop("name")), options)
    if registry is not None and isinstance(value, str):
        return registry.get(value)()
    choices = [typing.get_args(kind)[0]] if has_many(kind) else [kind, *typing.get_args(kind)]  # X of X | None
    item = next((one for one in choices if isinstance(one, type) and issubclass(one, Settings)), None)
    if item is not None:
        if isinstance(value, Mapping):
            return from_dict(item, value)
        if isinstance(value, list | tuple):
            return tuple(from_dict(item, v) if isinstance(v, Mapping) else v for v in value)
    return value


def _revive_one_of(number: int, value: Any, field: dataclasses.Field) -> Any:
    try:
        return _revive(value, Any, field)
    except FieldError as error:
        raise error.below(str(number)) from None


# --- dotted overrides --------------------------------------------------------------------------------------------

def override(settings: Settings, changes: Mapping[str, Any]) -> Any:
    """A copy with fields set by dotted path, e.g. {"model.depth": "4"}: text is parsed by the field's type.

    All changes are applied before anything is checked, so their order does not matter; naming a variant
    (`objective=masked_lm`) resets its options, which longer paths (`objective.rate`) then set. Several variants are
    named as `parts=a,b`, and reached as `parts.0`, `parts.1.rate`, or by name, `parts.b.rate`.
    """
    return from_dict(type(settings), changed(settings, changes))


def changed(settings: Settings, changes: Mapping[str, Any]) -> dict[str, Any]:
    """`override` as the dict that `to_dict` would give: texts are parsed, paths exist, but nothing is checked yet."""
    values, cls = _values(settings), type(settings)
    for path in sorted(changes, key=lambda p: p.count(".")):
        _set(values, cls, path.split("."), changes[path], path)
    return values


def _set(values: dict, cls: type, parts: list[str], value: Any, path: str) -> None:
    fields = {field.name: field for field in dataclasses.fields(cls)}
    name, rest = parts[0], parts[1:]
    if name not in fields:
        above = path.removesuffix(".".join(parts))
        raise FieldError(path, f"there is no field {name!r} here."
                               f"{_nearest(name, fields, [above + place for place in _below(values, name)])}")
    registry, kind = fields[name].metadata.get("variant"), field_types(cls)[name]
    if rest and registry is not None and has_many(kind):
        _set_one_of(values[name], registry, rest, value, path)
    elif rest:
        inner = registry.get(values[name]["name"]) if registry is not None else kind
        if not (isinstance(inner, type) and issubclass(inner, Settings)):
            raise FieldError(path, f"{name!r} is a single value ({describe_type(kind)}), it has no field {rest[0]!r}")
        _set(values[name], inner, rest, value, path)
    elif registry is not None and has_many(kind) and isinstance(value, str | tuple | list):
        items = [one.strip() for one in value.split(",") if one.strip()] if isinstance(value, str) else value
        values[name] = [_variant(registry, one, path) for one in items]
    elif registry is not None:
        values[name] = _variant(registry, value, path)
    elif isinstance(value, str) and getattr(kind, "in_one_text", False):
        values[name] = _from_one_text(kind, value, path)
    else:
        values[name] = _parsed(value, kind, path)


def _below(values: Mapping[str, Any], name: str) -> list[str]:
    """Where a field of this name stands in the groups below."""
    return [f"{group}.{place}" for group, inner in values.items() if isinstance(inner, Mapping)
            for place in [*([name] if name in inner and name != "name" else []), *_below(inner, name)]]


def _nearest(name: str, fields: Iterable[str], places: list[str] | None = None) -> str:
    """What may have been meant: fields of that name elsewhere, else those like it, else all that there are."""
    if places:
        return f" Did you mean {' or '.join(map(repr, places[:3]))}?"
    return did_you_mean(name, fields) or f" Fields: {', '.join(fields) or 'none'}"


def _from_one_text(cls: type, text: str, path: str) -> dict[str, Any]:
    """The values of "FIELD:VALUE,FIELD:VALUE"; fields that are not named have their defaults."""
    values, named = _values(cls()), set()
    for part in text.split(",") if text else ():
        name, colon, value = (piece.strip() for piece in part.partition(":"))
        if not colon or name in named:
            example = ",".join(f"{field.name}:…" for field in dataclasses.fields(cls))
            raise FieldError(path, f"expected {example} or some of these, each once, got {text!r}")
        named.add(name)
        _set(values, cls, [name], value, f"{path}.{name}")
    return values


def _set_one_of(items: list, registry: Registry, parts: list[str], value: Any, path: str) -> None:
    """Set, or set a field of, the variant with the number parts[0], or with that name where only one has it."""
    names = [one["name"] for one in items]
    if names.count(parts[0]) == 1:
        number = names.index(parts[0])
    elif parts[0].isdecimal() and int(parts[0]) < len(items):
        number = int(parts[0])
    else:
        why = "of which several are called so" if parts[0] in names else "which are numbered from 0"
        raise FieldError(path, f"there is no {parts[0]!r} among {', '.join(names) or 'none'}, {why}."
                               f"{'' if parts[0] in names else did_you_mean(parts[0], names)}")
    rest = parts[1:]
    if rest:
        _set(items[number], registry.get(items[number]["name"]), rest, value, path)
    else:
        items[number] = _variant(registry, value, path)


def _variant(registry: Registry, value: Any, path: str) -> Any:
    """The variant as `to_dict` writes it; a name stands for that variant with its defaults."""
    if not isinstance(value, str):
        return _jsonable(value)
    try:
        return to_dict(registry.get(value)())
    except FieldError:
        raise
    except UserError as error:
        raise FieldError(path, str(error)) from None


def _parsed(value: Any, kind: Any, path: str) -> Any:
    if isinstance(value, Settings):
        return to_dict(value)
    if not isinstance(value, str):
        return _jsonable(value)
    if isinstance(kind, type) and issubclass(kind, Settings):
        raise FieldError(path, f"is a group of fields; set one of: "
                               f"{', '.join(f'{path}.{f.name}' for f in dataclasses.fields(kind))}")
    try:
        parsed = parse_text(value, kind)
    except (ValueError, OverflowError):
        parsed = value
    if fit(parsed, kind) is MISFIT:
        raise FieldError(path, refusal(value, kind))
    return parsed
