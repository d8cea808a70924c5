"""What a person asks for: tasks, and where their data is."""

import dataclasses
import pathlib
from typing import TYPE_CHECKING, Any

from arch_zoo.errors import UserError
from arch_zoo.registry import TASKS
from arch_zoo.settings import Settings, setting

if TYPE_CHECKING:  # it imports JAX
    from arch_zoo.tasks.base import Task


@dataclasses.dataclass(frozen=True)
class EvaluateConfig(Settings):
    """The tasks."""

    tasks: tuple[Any, ...] = setting((), "what to measure", variant=TASKS)


def with_data(tasks: "tuple[Task, ...]", data: str | None, limit: int | None) -> "list[Task]":
    """The tasks with their data found in `data` and the limit of all, where they have none of their own.

    A task that looks for no file of its own takes `data` where it is the only one. UserError where there is no data for
    one of them: before anything slow.
    """
    found = []
    for task in tasks:
        if task.limit is None:
            task = task.replace(limit=limit)
        if data is not None and task.data is None and not task.places and len(tasks) == 1:
            task = task.replace(data=data)
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
