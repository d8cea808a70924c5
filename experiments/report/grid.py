"""Whether a study's arms are a full grid of factors, and which; from study.json alone."""

import dataclasses
import itertools
import json
import math
from collections.abc import Mapping
from typing import Any

from experiments.report.record import Study

_LOG_FROM = 10  # a numeric factor whose largest value is more than this many times its least gets a logarithmic axis


@dataclasses.dataclass(frozen=True)
class Factor:
    """What varies between arms: one declared path, or several that always change together."""

    paths: tuple[str, ...]
    title: str
    levels: tuple[str, ...]                  # as they are printed
    numbers: tuple[float, ...] | None        # in ascending order, where all are numbers
    of_arm: Mapping[str, int]                # {slug: index of its level}

    @property
    def log(self) -> bool:
        """Whether its axis is better logarithmic."""
        return self.numbers is not None and self.numbers[0] > 0 and self.numbers[-1] > _LOG_FROM * self.numbers[0]


@dataclasses.dataclass(frozen=True)
class Design:
    """The factors of a study's compared arms, and whether the arms are all of their combinations, each once."""

    factors: tuple[Factor, ...]
    arms: tuple[str, ...]
    full: bool

    def place(self, slug: str) -> tuple[int, ...]:
        """Index of an arm's level, for each factor."""
        return tuple(factor.of_arm[slug] for factor in self.factors)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(factor.levels) for factor in self.factors)


def design(study: Study) -> Design:
    """The factors: paths that arms override below what is declared to vary, with the base's value elsewhere."""
    arms = [arm for arm in study.record["arms"] if not arm.get("preparation")]
    slugs = tuple(arm["slug"] for arm in arms)
    paths = dict.fromkeys(path for arm in arms for path in arm.get("overrides") or {} if _declared(study, path))
    values = {path: [_value(study, arm, path) for arm in arms] for path in paths}
    factors = _titled(_merged([_factor(path, dict(zip(slugs, found, strict=True))) for path, found in values.items()
                               if len({_key(value) for value in found}) > 1]))
    places = [tuple(factor.of_arm[slug] for factor in factors) for slug in slugs]
    combinations = set(itertools.product(*(range(len(factor.levels)) for factor in factors)))
    full = bool(factors) and set(places) == combinations and len(places) == len(combinations)
    return Design(factors, slugs, full)


def _declared(study: Study, path: str) -> bool:
    return any(path == declared or path.startswith(f"{declared}.") for declared in study.record.get("varies", []))


def _value(study: Study, arm: dict[str, Any], path: str) -> Any:
    overrides = arm.get("overrides") or {}
    if path in overrides:
        return _plain(overrides[path])
    value = study.record["configs"][arm["slug"]]
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return _plain(value["name"] if isinstance(value, dict) and "name" in value else value)


def _plain(value: Any) -> Any:
    """Numbers that were written as text, from a flag, as numbers; a variant without options as its name."""
    if isinstance(value, str):
        try:
            return int(value) if value.strip().lstrip("-").isdigit() else float(value)
        except ValueError:
            return value
    return value["name"] if isinstance(value, dict) and list(value) == ["name"] else value


def _key(value: Any) -> str:
    return json.dumps(float(value) if _is_number(value) else value, sort_keys=True)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _factor(path: str, values: dict[str, Any]) -> Factor:
    levels = {_key(value): value for value in values.values()}
    numeric = all(map(_is_number, levels.values()))
    if numeric:
        levels = dict(sorted(levels.items(), key=lambda item: item[1]))
    order = list(levels)
    return Factor((path,), path, tuple(map(_label, levels.values())),
                  tuple(map(float, levels.values())) if numeric else None,
                  {slug: order.index(_key(value)) for slug, value in values.items()})


def _label(value: Any) -> str:
    if isinstance(value, dict):
        name, options = value.get("name", ""), {k: v for k, v in value.items() if k != "name"}
        return f"{name}({', '.join(f'{k}={_label(v)}' for k, v in options.items())})"
    if isinstance(value, list):
        return ", ".join(map(_label, value)) or "none"
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _merged(factors: list[Factor]) -> list[Factor]:
    """Paths that change together are one factor: an effect cannot be given to either."""
    found: list[Factor] = []
    for factor in factors:
        for i, other in enumerate(found):
            pairs = {(other.of_arm[slug], factor.of_arm[slug]) for slug in factor.of_arm}
            if len(pairs) == len(other.levels) == len(factor.levels):
                partner = dict(pairs)
                levels = tuple(f"{label}, {factor.levels[partner[j]]}" for j, label in enumerate(other.levels))
                found[i] = dataclasses.replace(other, paths=(*other.paths, *factor.paths), levels=levels, numbers=None)
                break
        else:
            found.append(factor)
    return found


def _titled(factors: list[Factor]) -> tuple[Factor, ...]:
    """Named by the end of their paths, as long as that tells them apart."""
    every = [path for factor in factors for path in factor.paths]

    def short(path: str) -> str:
        ends = (path.split(".", n)[-1] for n in range(path.count("."), -1, -1))
        return next(end for end in ends if sum(f".{other}".endswith(f".{end}") for other in every) == 1).replace("_",
                                                                                                                 " ")

    return tuple(dataclasses.replace(factor, title=", ".join(map(short, factor.paths))) for factor in factors)
