"""Sweeps: combinations of values become the arms of a study. Pure functions on values.

A combination is {dotted path: value}; a list of them is what `--sweep` and the `get_hyper` of a sweep file give. A
value is as a config file would write it, or a text, which is parsed by the type of its field: `2`, `1e-3`, `rotary`,
and for a field of several values `[0,128]`.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from arch_zoo.config import RunConfig
from arch_zoo.errors import UserError
from arch_zoo.settings import FieldError, changed, from_dict, override
from experiments.studies.config import Arm, StudyConfig
from experiments.studies.sweep_names import combination_names, short_ends, shown, told_apart

Combination = dict[str, Any]

_MOST = 100_000  # combinations in one product: more would only fill the memory before they are refused
_OF_THE_SWEEP = ("base", "arms", "varies")  # fields of the study that the sweep itself sets

_NO_LIST = "holds one value, and [] is the empty list; write values as A,B"


# --- the algebra -------------------------------------------------------------------------------------------------

class Hyper:
    """What `get_hyper(hyper)` is given: each method returns a list of combinations."""

    @staticmethod
    def sweep(path: str, values: Sequence[Any]) -> list[Combination]:
        """One combination for each value of a field."""
        if not isinstance(path, str):
            raise UserError(f"sweep({path!r}, …) needs the path of one field; zipit([sweep(…), sweep(…)]) changes "
                            f"several together")
        if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
            raise UserError(f"sweep({path!r}, …) needs a list of values, got {values!r}")
        values = list(values)
        if not values:
            raise UserError(f"{path}: the list of values is empty")
        shown = [repr(value) for value in values]
        if twice := next((value for value in shown if shown.count(value) > 1), None):
            raise UserError(f"{path}: the value {twice} is given twice")
        return [{path: value} for value in values]

    @staticmethod
    def product(parts: Sequence[Sequence[Combination]]) -> list[Combination]:
        """Every combination of one part with every one of the others; the last part changes fastest."""
        parts = _checked_parts("product", parts)
        if (count := math.prod(map(len, parts))) > _MOST:
            raise UserError(f"product: {count:,} combinations, more than {_MOST:,}")
        return [_joined("product", several) for several in itertools.product(*parts)]

    @staticmethod
    def zipit(parts: Sequence[Sequence[Combination]]) -> list[Combination]:
        """The first combinations of all parts together, then the second ones, and so on: parts of equal length."""
        parts = _checked_parts("zipit", parts)
        if len({len(part) for part in parts}) > 1:
            shown = ", ".join(f"{len(part)} of {', '.join(dict.fromkeys(itertools.chain(*part)))}" for part in parts)
            raise UserError(f"zipit needs parts of equal length, got {shown}")
        return [_joined("zipit", several) for several in zip(*parts, strict=True)]

    @staticmethod
    def chainit(parts: Sequence[Sequence[Combination]]) -> list[Combination]:
        """The combinations of all parts, one part after another."""
        return list(itertools.chain(*_checked_parts("chainit", parts)))


def _checked_parts(name: str, parts: Any) -> list[list[Combination]]:
    example = f"hyper.{name}([hyper.sweep('model.depth', [2, 4]), …])"
    if not isinstance(parts, list | tuple) or not parts:
        raise UserError(f"{name} needs a list of parts, e.g. {example}; got {parts!r}")
    return [checked_combinations(part, f"a part of {name}, e.g. {example},") for part in parts]


def checked_combinations(found: Any, what: str) -> list[Combination]:
    """`found` if it is a list of combinations, and UserError otherwise; `what` says what should have been one."""
    def is_one(part: Any) -> bool:
        return isinstance(part, dict) and all(isinstance(path, str) for path in part)

    if not isinstance(found, list | tuple) or not all(map(is_one, found)):
        raise UserError(f"{what} is a list of combinations; got {found!r:.80}")
    if not found:
        raise UserError(f"{what} is a list of combinations; it is empty")
    return list(found)


def _joined(name: str, parts: Sequence[Combination]) -> Combination:
    joined = {}
    for part in parts:
        if twice := next((path for path in part if path in joined), None):
            raise UserError(f"{twice} is swept twice in one {name}")
        joined |= part
    return joined


# --- the command line --------------------------------------------------------------------------------------------

def parse_sweep(text: str) -> list[Combination]:
    """The combinations of `PATH=VALUE,VALUE,…`. Commas between brackets belong to a value: `model.windows=[0],[0,128]`.
    """
    path, equals, values = (part.strip() for part in text.partition("="))
    if not path or not equals:
        raise UserError(f"--sweep={text}: a field and its values are needed, e.g. --sweep='model.depth=2,4,8'")
    if not values:
        raise UserError(f"--sweep={text}: the list of values is empty; write them behind the sign, e.g. {path}=A,B")
    parts, depth = [""], 0
    for character in values:
        depth += {"[": 1, "]": -1}.get(character, 0)
        if depth < 0:
            break
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    if depth:
        raise UserError(f"--sweep={text}: brackets do not match")
    parts = [part.strip() for part in parts]
    if not all(parts):
        raise UserError(f"--sweep={text}: there is an empty value; none is written none, and an empty list []")
    return Hyper.sweep(path, parts)


# --- from combinations to a study --------------------------------------------------------------------------------

def make_study(base: RunConfig, combinations: Sequence[Combination], changes: Mapping[str, Any], max_cells: int,
               title: str = "") -> StudyConfig:
    """The study whose arms are the combinations, all of them checked. `changes` are fields of the study by dotted path.

    Arms are compared with the combination that is the base itself, or with the first one.
    """
    paths = list(dict.fromkeys(itertools.chain(*combinations)))
    if not paths:
        raise UserError("the combinations change nothing: there is no field in them")
    study = _settings_of_study(base, changes)
    if (cells := len(combinations) * study.cells_of_arm) > max_cells:
        raise UserError(f"{len(combinations)} combinations × {study.cells_of_arm_text} = {cells} cells, more than "
                        f"--max_cells={max_cells}")
    _refuse_contradictions(paths, study)
    arms, same = _arms(base, combinations)
    short = " and ".join(short_ends(paths).values())
    return study.replace(arms=arms, varies=tuple(paths), reference=str(changes.get("reference", same)),
                         title=study.title or title or f"Sweep of {short}",
                         question=study.question or f"What do the metrics make of {' and '.join(paths)}?")


def _settings_of_study(base: RunConfig, changes: Mapping[str, Any]) -> StudyConfig:
    for path in changes:
        if path.partition(".")[0] in _OF_THE_SWEEP:
            raise UserError(f"--study.{path}: the sweep sets it; fields of the run are --config.FIELD=VALUE")
    rest = {path: value for path, value in changes.items() if path != "reference"}  # which needs the arms
    try:
        return override(StudyConfig(base=base, match="steps"), rest)
    except FieldError as error:
        raise error.below("study") from None


def _refuse_contradictions(paths: list[str], study: StudyConfig) -> None:
    solved = {"params": f"model.{study.match_params_by}", "none": None}.get(study.match, "steps")
    for path in paths:
        if path == "seed":
            raise UserError("seed cannot be swept: every combination is run with the seeds of --seeds")
        if path == "optimizer.learning_rate" and study.tuning.rates:
            raise UserError(f"sweeping {path} contradicts --study.tuning.rates, from which each arm is given its own")
        if path == solved:
            raise UserError(f"sweeping {path} contradicts --match={study.match}, which sets {path} in every arm; use "
                            f"--match=none, which leaves every combination as it is")


def _arms(base: RunConfig, combinations: Sequence[Combination]) -> tuple[tuple[Arm, ...], str]:
    """The arms, and the slug of the one that is the base, or '': UserError names the combination that cannot be."""
    read = [_read(base, combination) for combination in combinations]
    names = combination_names([overrides for overrides, _ in read])
    configs, refused = {}, []
    for name, (_, values) in zip(names, read, strict=True):
        try:
            config = from_dict(type(base), values)
        except UserError as error:
            refused.append(f"the combination {name} is refused: {error}")
            continue
        if (other := configs.get(repr(config))) is not None:
            raise UserError(f"the combinations {other} and {name} are the same run" if other != name else
                            f"the combination {name} is there twice")
        configs[repr(config)] = name
    if refused:
        raise UserError(refused[0] + (f" (and so on: {len(refused)} in all)" if len(refused) > 1 else ""))
    arms = tuple(Arm(name, overrides) for name, (overrides, _) in zip(told_apart(names), read, strict=True))
    return arms, next((arm.slug for arm, config in zip(arms, configs, strict=True) if config == repr(base)), "")


def _read(base: RunConfig, combination: Combination) -> tuple[Combination, dict[str, Any]]:
    """The combination with typed values, and the whole config as a dict that is not checked yet."""
    plain = {path: value[1:-1] if _in_brackets(value) else value for path, value in combination.items()}
    try:
        values = changed(base, plain)
    except FieldError as error:
        if combination.get(error.path) == "[]" and "''" in error.problem:
            raise FieldError(error.path, _NO_LIST) from None
        raise error if _fails_alone(base, plain, error) else UserError(
            f"the combination {', '.join(f'{path}={shown(v)}' for path, v in plain.items())}: {error}") from None
    typed = {}
    for path, given in combination.items():
        found = _value_at(values, path)
        several = isinstance(found, list | tuple)
        if several and isinstance(given, str) and not _in_brackets(given):
            raise FieldError(path, f"holds several values: put each choice in brackets, e.g. [{given}],[…]")
        if given == "[]" and not several:  # of a field that may be none
            raise FieldError(path, _NO_LIST)
        if isinstance(found, Mapping) and "name" not in found:
            raise FieldError(path, "is a group of fields; sweep one of them")
        kept = found if _is_plain(found) or not _in_words(given) else plain[path]
        typed[path] = list(kept) if isinstance(kept, tuple) else kept  # as it is when it is read back from JSON
    return typed, values


def _fails_alone(base: RunConfig, values: Combination, error: FieldError) -> bool:
    """Whether a field is wrong whatever the others of its combination are."""
    try:
        changed(base, {error.path: values[error.path]} if error.path in values else {})
    except FieldError as alone:
        return str(alone) == str(error)
    return False


def _in_brackets(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("[") and value.endswith("]")


def _in_words(value: Any) -> bool:
    return isinstance(value, str) or isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)


def _is_plain(value: Any) -> bool:
    """Whether it is no variant and no list of variants, which a text names."""
    return not any(isinstance(one, Mapping) for one in (value if isinstance(value, list) else [value]))


def _value_at(values: Any, path: str) -> Any:
    for part in path.split("."):
        if isinstance(values, list):
            part = int(part) if part.isdecimal() else [one["name"] for one in values].index(part)
        values = values[part]
    return values
