"""A process that makes training steps when it is told to: the side of the worker, and the side that tells it."""

import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from arch_zoo.errors import UserError


def serve(make_step: Callable[[], tuple[Callable[[], float], dict[str, Any]]]) -> None:
    """Say what the first steps cost; then, for each line that names a number, make so many steps and say their seconds.

    `make_step` gives (step() -> its loss when it is done, facts), compiled or not; the first steps warm it up.
    """
    libraries = _memory("VmRSS")
    began = time.perf_counter()
    step, facts = make_step()
    losses = [step() for _ in range(3)]
    _say({"first_steps_seconds": time.perf_counter() - began, "losses": losses, **facts})
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak is what the steps need, not what building did
    for line in sys.stdin:
        seconds = []
        step()  # what others have pushed out of the caches, or the system out of memory, comes back
        for _ in range(int(line)):
            began = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - began)
        _say({"seconds": seconds, "peak_bytes": _memory("VmHWM"), "libraries_bytes": libraries})


def _say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


def _memory(name: str) -> int:
    """Bytes of this process's memory, as the kernel counts them; 0 where it does not say."""
    try:
        lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)


class Worker:
    """Another process of this kind, and what it has said."""

    def __init__(self, title: str, module: str, arguments: list[str], environment: dict[str, str],
                 folder: str | None = None):
        """`folder`: where its code is, if not here."""
        self.title, self.seconds = title, []
        self._process = subprocess.Popen([sys.executable, "-m", module, *arguments], stdin=subprocess.PIPE, cwd=folder,
                                         stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})
        self.facts = self._answer()

    def steps(self, count: int) -> None:
        """Let it make some steps; nobody else works meanwhile."""
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        answer = self._answer()
        self.seconds += answer.pop("seconds")
        self.facts |= answer

    def _answer(self) -> dict[str, Any]:
        for line in self._process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise UserError(f"{self.title} ended with exit code {self._process.wait()}; what it said is above")

    def close(self) -> None:
        """End it."""
        self._process.stdin.close()
        self._process.wait()
