"""A process that runs one cell after another, as long as they are alike: what it has compiled serves the next as well.

Its runner and it talk over a pair of sockets: the process says that a cell is done, the runner names the next one and
passes descriptors of its log and its lock. When either ends, the other side reads that.
"""

import contextlib
import os
import pathlib
import select
import socket
import time
from collections.abc import Iterator

from arch_zoo.errors import UserError
from arch_zoo.files import read_json
from arch_zoo.machine import forget_peak_memory, give_back_memory
from experiments.engines.fork_server import KEPT, ForkServer
from experiments.studies.layout import CELL_FILE, LOG_FILE

_DONE = b"."
_LONGEST_PATH = 1 << 16
_PAUSE = 0.02  # seconds between two looks at a process that is to end


class Worker:
    """The process, from the side of the runner."""

    def __init__(self, server: ForkServer, environment: dict[str, str], cell: pathlib.Path, lock: int):
        """A new one, which begins with this cell."""
        self._server, self._program, self._done = server, _program(cell), False
        self._socket, theirs = socket.socketpair()
        with theirs:
            self.pid = server.start("experiments.cell", [f"--workdir={cell}"], environment, cell / LOG_FILE,
                                    [lock, theirs.fileno()])

    def hand(self, cell: pathlib.Path, lock: int) -> bool:
        """Give it another cell, when it has done the one before; False where it cannot, or should not, run that."""
        if self._program is None or _program(cell) != self._program:
            return False
        with contextlib.suppress(OSError), open(cell / LOG_FILE, "ab") as log:  # it may have ended meanwhile
            socket.send_fds(self._socket, [os.fsencode(cell)], [log.fileno(), lock])
            self._done = False
            return True
        return False

    @property
    def waits(self) -> bool:
        """Whether it has done its cell, and would take another."""
        return self._done

    def exit_code(self) -> int | None:
        """Of the cell that it was given last: None while it runs, 0 once it is done, even if the process lives on."""
        if not self._done and select.select([self._socket], [], [], 0)[0]:
            with contextlib.suppress(ConnectionError):
                self._done = self._socket.recv(len(_DONE)) == _DONE
        return 0 if self._done else self._server.exit_code(self.pid)

    def end(self) -> None:
        """Tell it that there is nothing more, and wait for its end: what it holds, a GPU's memory say, is free then."""
        self._socket.close()
        while self._server.exit_code(self.pid) is None:
            time.sleep(_PAUSE)


def _program(cell: pathlib.Path) -> str | None:
    """The name of the cell's program; None where it cannot be read, which is for the cell to say."""
    with contextlib.suppress(UserError):
        return read_json(cell / CELL_FILE).get("program")
    return None


def cells(first: pathlib.Path) -> Iterator[pathlib.Path]:
    """In the process itself: the cell that it was started for, and then, if a worker, those that the runner names."""
    yield first
    if KEPT not in os.environ:
        return
    lock, ours = map(int, os.environ[KEPT].split(","))
    with socket.socket(fileno=ours) as runner, contextlib.suppress(ConnectionError, KeyboardInterrupt):
        while True:
            os.close(lock)
            give_back_memory()
            forget_peak_memory()
            runner.sendall(_DONE)
            message, descriptors, _, _ = socket.recv_fds(runner, _LONGEST_PATH, 2)
            if not message:
                return
            log, lock = descriptors
            for standard in (1, 2):
                os.dup2(log, standard)
            os.close(log)
            yield pathlib.Path(os.fsdecode(message))
