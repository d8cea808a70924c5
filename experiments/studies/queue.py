"""The cells of a study as a queue that lies on disk: any number of runners work on it, and any of them may be killed.

A cell is taken by a lock on a file in its directory; the kernel frees the lock when the last process that holds it is
gone. All else is read from the directory again whenever it is needed: there is no other state to lose.
"""

import contextlib
import dataclasses
import fcntl
import os
import pathlib
import time

from arch_zoo.errors import UserError
from arch_zoo.files import read_json, write_json_atomic
from arch_zoo.training.layout import RESULT_FILE
from experiments.engines.base import Crew, Job
from experiments.studies.layout import FAILED_FILE, LOG_FILE, TAKEN_FILE
from experiments.studies.progress import StudyProgress

_PAUSE = 0.2  # seconds between two looks


@dataclasses.dataclass(frozen=True)
class QueuedCell:
    """A cell's directory, what people call it, the cells that have to be done before it, and the name of its program,
    which it shares with those that differ from it in seed, learning rate or start alone.
    """

    directory: pathlib.Path
    label: str
    after: "tuple[QueuedCell, ...]" = ()
    program: str = ""

    @property
    def done(self) -> bool:
        """Whether it has a result, which is written last."""
        return (self.directory / RESULT_FILE).exists()


@dataclasses.dataclass(frozen=True)
class _Taken:
    """A cell that this runner has handed to its engine."""

    cell: QueuedCell
    job: Job
    lock: int
    failed_before: int
    began: float


class Queue:
    """One runner's view. A cell that fails is tried again `retries` times; a later runner starts counting anew."""

    def __init__(self, cells: list[QueuedCell], crew: Crew, retries: int, progress: StudyProgress):
        self._cells, self._crew, self._retries, self._progress = cells, crew, retries, progress
        self._taken: list[_Taken] = []
        self._settled = {cell for cell in cells if cell.done}  # done, or given up
        self._just_used: set[str] = set()  # programs of the cells that ended when it was last looked
        self._old_failures = {cell: _failure_stamp(cell) for cell in cells}

    def run(self) -> list[QueuedCell]:
        """Work until every cell is done or given up, by this runner or by others; returns those that were given up."""
        try:
            while waiting := [cell for cell in self._cells if cell not in self._settled]:
                ours = {taken.cell for taken in self._taken}
                self._settle([cell for cell in waiting if cell not in ours])
                self._start([cell for cell in waiting if cell not in ours | self._settled])
                if not self._collect():
                    self._progress.running([taken.cell.directory for taken in self._taken])
                    time.sleep(_PAUSE)
        finally:
            for taken in self._taken:
                os.close(taken.lock)
        return [cell for cell in self._cells if not cell.done]

    def _settle(self, waiting: list[QueuedCell]) -> None:
        """Take note of what other runners have done, and of what can never begin."""
        for cell in waiting:
            lost = [one.label for one in cell.after if one in self._settled and not one.done]
            if cell.done:
                self._ended(cell, "done by another runner")
            elif self._failures(cell) > self._retries:
                self._ended(cell, f"FAILED: {why_failed(cell.directory)}")
            elif lost:
                _write_failure(cell, f"not run: it begins where {lost[0]} ends, and that has failed", 0)
                self._ended(cell, f"not run: {lost[0]} has failed")

    def _start(self, waiting: list[QueuedCell]) -> None:
        """As many as there is room for; first those whose program a process has at hand: one like them has just ended.
        """
        room, chosen = self._crew.room(), {}
        for cell in sorted(waiting, key=lambda cell: cell.program not in self._just_used):
            if len(chosen) < room and all(one.done for one in cell.after) and (lock := take(cell)) is not None:
                if cell.done or self._failures(cell) > self._retries:  # by another runner, before the lock was free
                    os.close(lock)
                else:
                    chosen[cell] = lock
        if chosen:
            failures = [self._failures(cell) for cell in chosen]  # now: a cell that begins removes what says so
            jobs = self._crew.start([cell.directory for cell in chosen], list(chosen.values()))
            began = time.monotonic()
            self._taken += [_Taken(cell, job, chosen[cell], before, began)
                            for cell, job, before in zip(chosen, jobs, failures, strict=True)]

    def _collect(self) -> bool:
        """Look which jobs have ended; whether any has."""
        ended = [taken for taken in self._taken if taken.job.exit_code() is not None]
        self._just_used = {taken.cell.program for taken in ended}
        for taken in ended:
            self._taken.remove(taken)
            cell, failures = taken.cell, taken.failed_before + 1
            if cell.done:
                self._ended(cell, f"done in {time.monotonic() - taken.began:.0f} s")
            else:
                _write_failure(cell, _own_words(cell), failures)
                if failures > self._retries:
                    self._ended(cell, f"FAILED: {why_failed(cell.directory)}")
                else:
                    self._progress.tell(f"{cell.label}: {why_failed(cell.directory)}; it is tried again")
            os.close(taken.lock)
        return bool(ended)

    def _failures(self, cell: QueuedCell) -> int:
        """How often it has failed since this runner began, whoever ran it."""
        if _failure_stamp(cell) in (None, self._old_failures[cell]):
            return 0
        with contextlib.suppress(UserError):  # gone again: another runner has begun to try it once more
            return read_json(cell.directory / FAILED_FILE).get("failures", 1)
        return 0

    def _ended(self, cell: QueuedCell, outcome: str) -> None:
        self._settled.add(cell)
        self._progress.ended(cell.directory, outcome)


def take(cell: QueuedCell) -> int | None:
    """A descriptor that locks the cell until all its copies are closed, or None where another runner has it."""
    lock = os.open(cell.directory / TAKEN_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return lock
    except BlockingIOError:
        os.close(lock)
        return None


def _failure_stamp(cell: QueuedCell) -> int | None:
    with contextlib.suppress(FileNotFoundError):
        return (cell.directory / FAILED_FILE).stat().st_mtime_ns
    return None


def _write_failure(cell: QueuedCell, error: str, failures: int) -> None:
    write_json_atomic(cell.directory / FAILED_FILE, {"error": error, "failures": failures})


def _own_words(cell: QueuedCell) -> str:
    """Why a cell failed: as it says itself, or, where it could not say any more, the last line of its log."""
    with contextlib.suppress(UserError):
        return read_json(cell.directory / FAILED_FILE)["error"]
    with contextlib.suppress(FileNotFoundError):
        lines = (cell.directory / LOG_FILE).read_text(errors="replace").strip().splitlines()
        return f"killed; its last line was: {lines[-1] if lines else '(none)'}"
    return "killed before it could begin"


def why_failed(directory: pathlib.Path) -> str:
    """What failed.json says, and where to read more."""
    return f"{read_json(directory / FAILED_FILE)['error']} (see {directory / LOG_FILE})"
