"""Settings looked at: as flat dotted paths, side by side, as lines of help."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from arch_zoo.field_types import describe_type, has_many
from arch_zoo.settings import Settings, field_types, to_dict


def flatten(settings: Settings | Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{dotted path: value}; a variant contributes `path` (its name) and `path.option` for each option.

    Of several variants in one field, each does so by its number: `path.0`, `path.0.option`.
    """
    values = settings if isinstance(settings, Mapping) else to_dict(settings)
    flat = {}
    for name, value in values.items():
        path = prefix if name == "name" and prefix else f"{prefix}.{name}" if prefix else name
        if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            value = {str(i): item for i, item in enumerate(value)}
        if isinstance(value, Mapping):
            flat.update(flatten(value, path))
        else:
            flat[path] = value
    return flat


def difference(a: Settings | Mapping[str, Any],
               b: Settings | Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """{dotted path: (value in a, value in b)} for the paths at which they differ; None where one has no such path."""
    flat_a, flat_b = flatten(a), flatten(b)
    return {path: (flat_a.get(path), flat_b.get(path))
            for path in [*flat_a, *(p for p in flat_b if p not in flat_a)] if flat_a.get(path) != flat_b.get(path)}


def not_default(settings: Settings, usual: Settings | None = None) -> list[str]:
    """Dotted paths of the fields that differ from their class's defaults, or from `usual`.

    A variant counts by its name, and by those of its options that differ from its own defaults.
    """
    usual, paths = usual or type(settings)(), []
    for field in dataclasses.fields(settings):
        value, default = getattr(settings, field.name), getattr(usual, field.name)
        if value == default:
            continue
        several = isinstance(value, tuple) and any(isinstance(one, Settings) for one in value)
        places = [(f"{field.name}.{i}", one) for i, one in enumerate(value)] if several else [(field.name, value)]
        for path, one in places:
            alike = isinstance(one, Settings) and type(one) is type(default)
            paths += [] if alike else [path]
            if isinstance(one, Settings):
                paths += [f"{path}.{below}" for below in not_default(one, default if alike else None)]
    return paths


def help_lines(settings: Settings, prefix: str) -> list[str]:
    """One line for each field: `--prefix.path=default  help (type, range)`."""
    lines = []
    for field in dataclasses.fields(settings):
        value, kind = getattr(settings, field.name), field_types(type(settings))[field.name]
        path, registry = f"{prefix}.{field.name}", field.metadata.get("variant")
        help_text = field.metadata.get("help", "")
        variants = {f"{path}.{i}": one for i, one in enumerate(value)} if registry and has_many(kind) else \
            {path: value} if registry else {}
        for place, variant in variants.items():
            known = ", ".join(registry.names())
            lines.append(f"  --{place}={type(variant).name}\n        {help_text} (one of: {known})")
            lines.extend(help_lines(variant, place))
        if registry and not variants:
            lines.append(f"  --{path}=\n        {help_text} (any of: {', '.join(registry.names())})")
        if isinstance(value, Settings) and not registry:
            lines.extend(help_lines(value, path))
        elif not registry:
            low, high = field.metadata.get("low"), field.metadata.get("high")
            bounds = "" if low is None and high is None else f", {low if low is not None else '…'}–{high or '…'}"
            shown = ",".join(map(str, value)) if isinstance(value, tuple) else value
            lines.append(f"  --{path}={shown}\n        {help_text} ({describe_type(kind)}{bounds})")
    return lines
