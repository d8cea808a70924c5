"""Cells as processes on this machine, each on its own share of the cores."""

import ctypes
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from arch_zoo.machine import usable_cores
from experiments.environment import fast_environment
from experiments.studies.layout import LOG_FILE

_CORES = "ARCH_ZOO_CORES"
_PR_SET_PDEATHSIG = 1


def run_cells(cells: list[pathlib.Path], max_parallel: int,
              watch: Callable[[list[pathlib.Path]], None]) -> Iterator[tuple[pathlib.Path, int, float]]:
    """Run `python -m experiments.cell` for each directory; yields (directory, exit code, seconds) as they end.

    `watch` is called with the directories that are running, a few times a second.
    Processes end with this one: on Ctrl-C they save and stop, and if this process is killed they are told to.
    """
    cores = usable_cores()
    max_parallel = min(max_parallel, len(cores))
    free = [cores[i::max_parallel] for i in range(max_parallel)]
    waiting, running = list(cells), {}
    try:
        while waiting or running:
            while waiting and free:
                cell, share = waiting.pop(0), free.pop(0)
                running[_start(cell, share)] = (cell, share, time.monotonic())
            ended = [process for process in running if process.poll() is not None]
            for process in ended:
                cell, share, began = running.pop(process)
                free.append(share)
                yield cell, process.returncode, time.monotonic() - began
            if not ended:
                watch([cell for cell, _, _ in running.values()])
                time.sleep(0.2)
    finally:
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            process.wait()


def _start(cell: pathlib.Path, cores: list[int]) -> subprocess.Popen:
    environment = fast_environment() | {"PYTHONUNBUFFERED": "1", _CORES: ",".join(map(str, cores))}
    with open(cell / LOG_FILE, "ab") as log:
        return subprocess.Popen([sys.executable, "-m", "experiments.cell", f"--workdir={cell}"], stdout=log,
                                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment)


def settle_in() -> None:
    """In a cell's process, before JAX starts its threads: keep to the given cores, and do not outlive the study."""
    if _CORES in os.environ and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        os.sched_setaffinity(0, map(int, os.environ[_CORES].split(",")))
