"""What the programs share that ask a trained run: their options, by which objective it is asked, and opening it."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from arch_zoo.errors import UserError
from arch_zoo.settings import Settings, override


@dataclasses.dataclass(frozen=True)
class Request:
    """`how`: the program's own options. `changes`: to the run's config, by dotted path."""

    how: Any
    changes: Mapping[str, str]


def load(source: str | None, overrides: Mapping[str, str], config_class: type[Settings]) -> Request:
    """How `program.run` makes the request from the flags."""
    if source is not None:
        raise UserError(f"--config={source}: this program reads the config of the run in --workdir")
    of_run = {path.removeprefix("run."): text for path, text in overrides.items() if path.startswith("run.")}
    rest = {path: text for path, text in overrides.items() if not path.startswith("run.")}
    return Request(override(config_class(), rest), of_run)


def aliases(config_class: type[Settings]) -> dict[str, str]:
    """{flag: path}: each option under its own name, those of groups too, and the run's objective."""
    found = {"objective": "run.objective"}
    for field in dataclasses.fields(config_class):
        group = getattr(config_class(), field.name)
        if isinstance(group, Settings):
            found |= {inner.name: f"{field.name}.{inner.name}" for inner in dataclasses.fields(group)}
        else:
            found[field.name] = field.name
    return found


def require_workdir(workdir: str | None) -> pathlib.Path:
    """What --workdir says; UserError where it says nothing."""
    if workdir is None:
        raise UserError("--workdir=DIR is required: the directory of the run")
    return pathlib.Path(workdir).expanduser()


def open_predicting(workdir: str | None, changes: Mapping[str, str]) -> Any:
    """The run in --workdir, with a head that predicts tokens; what is compiled for it is kept."""
    from arch_zoo.training.trained import open_predicting_run
    from experiments import program

    run = open_predicting_run(require_workdir(workdir), changes)
    program.use_compilation_cache(run.config.data.cache_dir)
    return run


def lines_of_file(flag: str, path: str) -> list[str]:
    """The lines of a file that a flag names; UserError where there are none."""
    from arch_zoo.data.local_text import lines_of

    where = pathlib.Path(path).expanduser()
    if not where.is_file():
        raise UserError(f"--{flag}={path}: no such file")
    lines = [line.rstrip("\n") for line in lines_of(where)]
    if not any(line.strip() for line in lines):
        raise UserError(f"--{flag}={path}: empty")
    return lines
