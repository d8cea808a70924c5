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
from experiments.engines.workers import Worker
from experiments.environment import fast_environment

_CORES = "ARCH_ZOO_CORES"
_GPU_MEMORY = "XLA_PYTHON_CLIENT_MEM_FRACTION"
_DRIVER, _DEVICES = pathlib.Path("/proc/driver/nvidia/gpus"), pathlib.Path("/dev")
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


@dataclasses.dataclass(eq=False)
class Share:
    """Cores, perhaps a GPU, as environment variables say it; and the process that runs there, or waits for more."""

    environment: dict[str, str]
    worker: Worker | None = None


class Processes:
    """The shares of the machine, those that are free and those that work; what cells need is imported from now on."""

    def __init__(self, max_parallel: int):
        cores, gpus = usable_cores(), usable_gpus()
        count = min(max_parallel, len(cores))
        self._free = [Share(_share(i, count, cores, gpus)) for i in range(count)]
        self._busy: list[Share] = []
        self._server = ForkServer(fast_environment() | {"PYTHONUNBUFFERED": "1"})

    def room(self) -> int:
        """Free shares."""
        return len(self._free)

    def start(self, cells: Sequence[pathlib.Path], locks: Sequence[int]) -> "list[Process]":
        """Each on a free share: where a process waits that has its program, else where none waits, else anywhere."""
        wanted = list(zip(cells, locks, strict=True))
        handed = {cell: share for cell, lock in wanted if (share := self._hand(cell, lock)) is not None}
        return [Process(handed.get(cell) or self._begin(cell, lock), self) for cell, lock in wanted]

    def _hand(self, cell: pathlib.Path, lock: int) -> Share | None:
        """The share whose process has taken the cell; None where no process waits that should."""
        for share in self._free:
            if share.worker is not None and share.worker.hand(cell, lock):
                return self._occupied(share)
        return None

    def _begin(self, cell: pathlib.Path, lock: int) -> Share:
        """A share on which the cell has a new process; one that waits there is ended."""
        share = min(self._free, key=lambda share: share.worker is not None)
        if share.worker is not None:
            share.worker.end()
        share.worker = Worker(self._server, share.environment, cell, lock)
        return self._occupied(share)

    def _occupied(self, share: Share) -> Share:
        self._free.remove(share)
        self._busy.append(share)
        return share

    def exit_code(self, share: Share) -> int | None:
        """Of the cell on a busy share; once it has ended the share is free."""
        code = share.worker.exit_code()
        if code is not None:
            if not share.worker.waits:
                share.worker.end()
                share.worker = None
            self._busy.remove(share)
            self._free.append(share)
        return code

    def stop(self) -> None:
        """On Ctrl-C they save and stop; if this process is killed they are told to by the server, or by the kernel."""
        workers = [share.worker for share in (*self._busy, *self._free) if share.worker is not None]
        for worker in workers:
            if not worker.waits:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.pid, signal.SIGTERM)
        while any(self.exit_code(share) is None for share in list(self._busy)):
            time.sleep(_PAUSE)
        for share in self._free:
            if share.worker is not None:
                share.worker.end()
                share.worker = None
        self._server.close()


class Process:
    """One cell's process, perhaps not its first cell."""

    def __init__(self, share: Share, processes: Processes):
        self._share, self._processes, self._code = share, processes, None

    def exit_code(self) -> int | None:
        """As `Job.exit_code`."""
        if self._code is None:
            self._code = self._processes.exit_code(self._share)
        return self._code


def usable_gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES would say of each GPU that this process may use, without starting CUDA."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [one for one in visible.split(",") if one.strip() not in ("", "-1")]
    if (os.environ.get("JAX_PLATFORMS") or "cuda").split(",")[0] not in ("cuda", "gpu"):
        return []
    # The driver's own list; a container may have the devices without it.
    there = list(_DRIVER.glob("*")) or [one for one in _DEVICES.glob("nvidia*") if one.name[6:].isdecimal()]
    return [str(i) for i in range(len(there))]


def _share(number: int, count: int, cores: list[int], gpus: list[str]) -> dict[str, str]:
    share = {_CORES: ",".join(map(str, cores[number::count]))}
    if gpus:
        on_one = -(-count // len(gpus))  # processes that share a GPU must not each take three quarters of its memory
        share |= {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)],
                  _GPU_MEMORY: os.environ.get(_GPU_MEMORY, f"{0.9 / on_one:.2f}")}
    return share


def settle_in() -> None:
    """In a cell's process, before JAX starts its threads: keep to the given cores, and do not outlive the study."""
    if _CORES in os.environ and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() == 1:  # it was gone before the kernel was asked to tell of it
            sys.exit(1)
        os.sched_setaffinity(0, map(int, os.environ[_CORES].split(",")))
