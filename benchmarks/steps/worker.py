"""A process that makes training steps when it is told to: the side of the worker, and the side that tells it."""

import contextlib
import dataclasses
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from arch_zoo.errors import UserError
from arch_zoo.machine import forget_peak_memory, peak_memory
from benchmarks.table import reason_of


@dataclasses.dataclass(frozen=True)
class Made:
    """A step that is ready: `step()` -> its loss when it is done; `facts` for the table; how its memory is counted."""

    step: Callable[[], float]
    facts: dict[str, Any]
    peak_bytes: Callable[[], int] = peak_memory
    forget_peak: Callable[[], None] = forget_peak_memory


def serve(make_step: Callable[[], Made]) -> None:
    """Say what the first steps cost; then, for each line that names a number, make so many steps and say their seconds.

    The first steps warm it up, and compile what is yet to be compiled. What fails is said as well, and is the end.
    """
    try:
        began = time.perf_counter()
        made = make_step()
        losses = [made.step() for _ in range(3)]
        if not all(map(math.isfinite, losses)):
            raise UserError(f"its first losses are not all finite: {losses}")
        _say({"first_steps_seconds": time.perf_counter() - began, "losses": losses, **made.facts})
        made.forget_peak()  # the peak is what the steps need, not what building did
        for line in sys.stdin:
            seconds = []
            made.step()  # what others have pushed out of the caches, or the system out of memory, comes back
            for _ in range(int(line)):
                began = time.perf_counter()
                made.step()
                seconds.append(time.perf_counter() - began)
            _say({"seconds": seconds, "peak_bytes": made.peak_bytes()})
    except Exception as error:
        _say({"failure": reason_of(error)})


def _say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


@dataclasses.dataclass(frozen=True)
class Contender:
    """A module that serves, how it is started, and what a table calls it. `folder`: where its code is, if not here."""

    title: str
    module: str
    arguments: Sequence[str]
    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    folder: str | None = None


def take_turns(contenders: dict[str, Contender], rounds: int, steps: int) -> dict[str, dict[str, Any]]:
    """What each said, after so many turns of so many steps; one that fails says "failure", and the others go on."""
    with contextlib.ExitStack() as stack:
        workers = {name: stack.enter_context(_Worker(one)) for name, one in contenders.items()}
        for _ in range(rounds):
            for worker in workers.values():
                worker.steps(steps)
        return {name: worker.found() for name, worker in workers.items()}


class _Worker:
    """A contender's process, and what it has said."""

    def __init__(self, contender: Contender):
        self.title, self.seconds = contender.title, []
        self._process = subprocess.Popen(
            [sys.executable, "-m", contender.module, *contender.arguments], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, env={**os.environ, **contender.environment}, cwd=contender.folder)
        self.facts = self._answer()

    def __enter__(self) -> "_Worker":
        return self

    def __exit__(self, *exception) -> None:
        self._process.communicate()  # also where it has ended already

    def steps(self, count: int) -> None:
        """Let it make some steps; nobody else works meanwhile. After a failure nothing more is asked of it."""
        if "failure" in self.facts:
            return
        with contextlib.suppress(BrokenPipeError):  # it has ended: what is read then says so
            self._process.stdin.write(f"{count}\n")
            self._process.stdin.flush()
        answer = self._answer()
        self.seconds += answer.pop("seconds", [])
        self.facts |= answer

    def found(self) -> dict[str, Any]:
        """All that it has said, or its title and why it failed."""
        if "failure" in self.facts:
            return {"title": self.title, "failure": self.facts["failure"]}
        return {"title": self.title, "seconds": sorted(self.seconds), **self.facts}

    def _answer(self) -> dict[str, Any]:
        for line in self._process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        code = self._process.wait()
        return {"failure": f"its process ended with exit code {code}" + (", out of memory perhaps" if code == -9
                                                                         else "")}
