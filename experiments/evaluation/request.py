"""What a person asks for: tasks, and by which objective the run is asked."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from arch_zoo.errors import UserError
from arch_zoo.registry import TASKS
from arch_zoo.settings import Settings, override, setting

if TYPE_CHECKING:  # it imports JAX
    from arch_zoo.tasks.base import Task

ALIASES = {"tasks": "tasks", "objective": "run.objective"}


@dataclasses.dataclass(frozen=True)
class EvaluateConfig(Settings):
    """The tasks."""

    tasks: tuple[Any, ...] = setting((), "what to measure", variant=TASKS)


@dataclasses.dataclass(frozen=True)
class Request:
    """`changes`: to the run's config, by dotted path."""

    tasks: "tuple[Task, ...]"
    changes: Mapping[str, str]


def load(source: str | None, overrides: Mapping[str, str], config_class: type[EvaluateConfig]) -> Request:
    """The request behind the flags."""
    if source is not None:
        raise UserError(f"--config={source}: an evaluation is told its --tasks; the config is that of the run")
    of_run = {path.removeprefix("run."): text for path, text in overrides.items() if path.startswith("run.")}
    rest = {path: text for path, text in overrides.items() if not path.startswith("run.")}
    return Request(override(config_class(), rest).tasks, of_run)


def with_data(tasks: "tuple[Task, ...]", data: str | None, limit: int | None) -> "list[Task]":
    """The tasks with their data found in `data` and the limit of all, where they have none of their own.

    UserError where there is no data for one of them: before anything slow.
    """
    found = []
    for task in tasks:
        if task.limit is None:
            task = task.replace(limit=limit)
        if data is not None and task.data is None and task.places:
            root = pathlib.Path(data).expanduser()
            if not root.exists():
                raise UserError(f"--data={data}: no such file or folder")
            if root.is_file() and len(tasks) > 1:
                raise UserError(f"--data={data} is one file, and there are {len(tasks)} tasks; give a folder, or "
                                f"--tasks.{task.name}.data=PATH for each")
            task = task.replace(data=str(root)) if root.is_file() else task.found_in(root)
        found.append(task)
        task.require_data()
    return found
