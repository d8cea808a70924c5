"""Cells as processes on this machine, each on its own share of the cores, or on a GPU of its own."""

import contextlib
import ctypes
import dataclasses
import os
import pathlib
import signal
import sys
import time
from collections.abc import Iterator, Sequence

from arch_zoo.machine import usable_cores
from arch_zoo.settings import setting
from experiments.engines.base import ENGINES, Engine
from experiments.engines.fork_server import ForkServer
from experiments.environment import fast_environment
from experiments.studies.layout import LOG_FILE

_CORES = "ARCH_ZOO_CORES"
_PR_SET_PDEATHSIG = 1
_PAUSE = 0.05  # seconds between two looks at processes that are to end


@ENGINES.register("local")
@dataclasses.dataclass(frozen=True)
class Local(Engine):
    """So many processes at a time. Where there are GPUs, process i sees GPU i, modulo their number."""

    max_parallel: int = setting(2, "cells that run at the same time, each on its share of the cores and GPUs", low=1)

    @contextlib.contextmanager
    def crew(self) -> Iterator["Processes"]:
        processes = Processes(self.max_parallel)
        try:
            yield processes
        finally:
            processes.stop()


class Processes:
    """The processes that run now, and the shares of the machine that are free."""

    def __init__(self, max_parallel: int):
        cores, gpus = usable_cores(), usable_gpus()
        count = min(max_parallel, len(cores))
        self._free = [_share(i, count, cores, gpus) for i in range(count)]
        self._running: list[Process] = []
        self._server: ForkServer | None = None

    def room(self) -> int:
        """Free shares."""
        return len(self._free)

    def start(self, cells: Sequence[pathlib.Path], locks: Sequence[int]) -> "list[Process]":
        """One process for each, on the next free shares."""
        if self._server is None:
            self._server = ForkServer(fast_environment() | {"PYTHONUNBUFFERED": "1"})
        started = []
        for cell, lock in zip(cells, locks, strict=True):
            share = self._free.pop(0)
            pid = self._server.start("experiments.cell", [f"--workdir={cell}"], share, cell / LOG_FILE, lock)
            started.append(Process(pid, share, self))
        self._running += started
        return started

    def exit_code(self, process: "Process") -> int | None:
        """Of one that runs; once it has ended its share is free."""
        code = self._server.exit_code(process.pid)
        if code is not None and process in self._running:
            self._running.remove(process)
            self._free.append(process.share)
        return code

    def stop(self) -> None:
        """On Ctrl-C they save and stop; if this process is killed they are told to by the server, or by the kernel."""
        if self._server is None:
            return
        for process in list(self._running):
            os.kill(process.pid, signal.SIGTERM)
        while any(self.exit_code(process) is None for process in list(self._running)):
            time.sleep(_PAUSE)
        self._server.close()


@dataclasses.dataclass(frozen=True, eq=False)
class Process:
    """One cell's process."""

    pid: int
    share: dict[str, str]
    processes: Processes

    def exit_code(self) -> int | None:
        """As `Job.exit_code`."""
        return self.processes.exit_code(self)


def usable_gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES would say of each GPU that this process may use, without starting CUDA."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [one for one in visible.split(",") if one.strip() not in ("", "-1")]
    if os.environ.get("JAX_PLATFORMS", "cuda").split(",")[0] not in ("cuda", "gpu"):
        return []
    return [str(i) for i in range(len(list(pathlib.Path("/proc/driver/nvidia/gpus").glob("*"))))]


def _share(number: int, count: int, cores: list[int], gpus: list[str]) -> dict[str, str]:
    share = {_CORES: ",".join(map(str, cores[number::count]))}
    if gpus:
        on_one = -(-count // len(gpus))  # processes that share a GPU must not each take three quarters of its memory
        share |= {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)],
                  "XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.9 / on_one:.2f}"}
    return share


def settle_in() -> None:
    """In a cell's process, before JAX starts its threads: keep to the given cores, and do not outlive the study."""
    if _CORES in os.environ and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() == 1:  # it was gone before the kernel was asked to tell of it
            sys.exit(1)
        os.sched_setaffinity(0, map(int, os.environ[_CORES].split(",")))
