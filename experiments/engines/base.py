"""What an engine is: a way for the cells of a study to come to run. docs/add_an_engine.md shows how to add one."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Protocol

from arch_zoo.registry import Registry
from arch_zoo.settings import Settings

ENGINES = Registry("engine", "experiments.engines")


class Job(Protocol):
    """A cell that was handed to an engine."""

    def exit_code(self) -> int | None:
        """None while it waits or runs; 0 once it is done, another number where it failed or was killed."""


class Crew(Protocol):
    """An engine at work, for one runner."""

    def room(self) -> int:
        """How many more cells it would take now."""

    def start(self, cells: Sequence[pathlib.Path], locks: Sequence[int]) -> Sequence[Job]:
        """Begin `python -m experiments.cell --workdir=CELL` for each, at most `room()` of them; or have a process that
        has done its cell go on with another of the same program.

        `locks` are file descriptors, one for each cell: as long as anybody holds it, no other runner starts the cell. A
        process on this machine inherits it, and so keeps the cell when the runner is killed.
        """


@dataclasses.dataclass(frozen=True)
class Engine(Settings):
    """The options of an engine. A subclass is registered in ENGINES, in a file of its own beside this one."""

    def crew(self) -> contextlib.AbstractContextManager[Crew]:
        """Gets ready to work; at the end, whatever still runs is asked to save and stop, and waited for. A system that
        keeps jobs by itself may keep them, where its `start` finds them again.

        UserError where this machine cannot run the engine, saying what is missing.
        """
        raise NotImplementedError
