"""Names for combinations of values: short, readable, and different as directories too."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from arch_zoo.errors import UserError
from arch_zoo.settings import Settings, to_dict
from experiments.studies.config import Arm

_LONGEST_SLUG = 200  # characters; file systems stop at 255


def combination_names(combinations: Sequence[Mapping[str, Any]]) -> list[str]:
    """'depth=2, learning_rate=1e-3': what varies, by the shortest ends of paths that tell them apart."""
    paths = list(dict.fromkeys(itertools.chain(*combinations)))
    values = {path: _texts([one[path] for one in combinations if path in one]) for path in paths}
    numbered = {path: iter(texts) for path, texts in values.items()}
    told = [{path: next(numbered[path]) for path in one} for one in combinations]
    varying = [path for path in paths if len(set(values[path])) > 1 or len(values[path]) < len(combinations)] or paths
    short = short_ends(varying)
    return [", ".join(f"{short[path]}={one[path]}" for path in varying if path in one) or "base" for one in told]


def _texts(values: list[Any]) -> list[str]:
    """What names say of the values of one field: of files the ends that differ, of variants the options that do."""
    texts = [shown(value, values) for value in values]
    files = short_ends([text for text in texts if "/" in text and "," not in text], "/")
    return [files.get(text, text) for text in texts]


def short_ends(paths: Iterable[str], separator: str = ".") -> dict[str, str]:
    """{path: the shortest end of it that no other path has too}; an end that is a mere number does not count."""
    split = {path: path.split(separator) for path in paths}

    def end(path: str, parts: int) -> str:
        return separator.join(split[path][-parts:])

    found = {}
    for path, parts in split.items():
        enough = (n for n in range(1, len(parts)) if not end(path, n).isdecimal()
                  and not any(end(other, n) == end(path, n) for other in split if other != path))
        found[path] = end(path, next(enough, len(parts)))
    return found


def shown(value: Any, beside: Sequence[Any] = ()) -> str:
    """A value in a name: 2, 1e-3, true, none, [0,128], rotary; with its options where another one `beside` it differs.
    """
    value = to_dict(value) if isinstance(value, Settings) else value
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "none"}[value]
    if isinstance(value, float):
        return _short_number(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(map(shown, value))}]"
    if isinstance(value, Mapping):
        like = [one for one in beside if isinstance(one, Mapping) and one.get("name") == value.get("name")]
        options = [f"{key}={shown(option)}" for key, option in value.items()
                   if any(one.get(key) != option for one in like)]
        return f"{value.get('name')}({', '.join(options)})" if options else str(value.get("name"))
    return str(value)


def _short_number(value: float) -> str:
    """The shorter of 0.001 and 1e-3, every digit kept."""
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    number = Decimal(repr(value)).normalize()
    sign, digits, exponent = number.as_tuple()
    mantissa = f"{digits[0]}.{''.join(map(str, digits[1:]))}".rstrip(".")
    scientific = f"{'-' * sign}{mantissa}e{exponent + len(digits) - 1}"
    return min(f"{number:f}", scientific, key=len)


def told_apart(names: list[str]) -> list[str]:
    """The names, with a number behind those that would share a directory, such as x=1 and x=-1."""
    slugs, told = [], []
    for name in names:
        slug = Arm(name, {}).slug
        if len(slug) > _LONGEST_SLUG:
            raise UserError(f"the name of a combination has {len(slug)} characters, too many for a directory: sweep "
                            f"fewer fields at once, or give texts shorter names; {name:.60} …")
        slugs.append(slug)
        told.append(name if slugs.count(slug) == 1 else f"{name} #{slugs.count(slug)}")
    return told
