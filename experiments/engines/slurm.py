"""Cells as jobs of a Slurm cluster, in arrays, through submitit; docs/add_an_engine.md says how to use it.

Which job runs a cell is known before there is one: the cell's slurm.json names it, and its place in the array, and only
then is it submitted. So a runner that was killed at any moment finds the jobs again, and none is submitted twice.
"""

import contextlib
import dataclasses
import os
import pathlib
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from arch_zoo.errors import UserError
from arch_zoo.files import read_json, write_json_atomic
from arch_zoo.settings import FieldError, setting
from arch_zoo.training.layout import RESULT_FILE
from experiments import program
from experiments.engines.base import ENGINES, Engine
from experiments.environment import fast_environment
from experiments.studies.layout import LOG_FILE, STUDY_FILE

_JOB_FILE, _FOLDER = "slurm.json", "slurm"  # in a cell: which job runs it; in the study: what submitit writes
_PAUSE = 4.0    # seconds between two looks at Slurm's queue, for all cells together
_DELAY = 10.0   # seconds in which a result written on another machine should be seen on this one
_SETTLE = 5.0   # seconds in which Slurm should know itself that it is ending a job
_LINGER = 600   # seconds that a job waits for Slurm to end it, where it cannot ask
# States of a job that will not run any more: one that is requeued is PENDING again.
_ENDED = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED",
          "REVOKED", "TIMEOUT"}
_FORGOTTEN = "COMPLETED"  # some minutes after the end of a job Slurm knows nothing of it
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


@ENGINES.register("slurm")
@dataclasses.dataclass(frozen=True)
class Slurm(Engine):
    """Every cell that is ready is submitted at once. The jobs go on when the runner ends; the next one watches them."""

    partition: str | None = setting(None, "Slurm: partition; by default the cluster's own default")
    account: str | None = setting(None, "Slurm: account that is charged")
    qos: str | None = setting(None, "Slurm: quality of service")
    constraint: str | None = setting(None, "Slurm: features that a node must have")
    array_parallelism: int = setting(32, "Slurm: cells of one array that run at the same time", low=1)
    time_minutes: int = setting(240, "Slurm: time limit of a job; a cell that needs longer is requeued", low=1)
    save_seconds: int = setting(90, "Slurm: seconds before its time limit at which a cell saves and is requeued", low=1)
    time_outs: int = setting(20, "Slurm: how often one cell may run out of time", low=0)
    cpus: int = setting(4, "Slurm: cores for each cell", low=1)
    gpus: int = setting(0, "Slurm: GPUs for each cell", low=0)
    memory_gb: float | None = setting(None, "Slurm: memory for each cell; by default the partition's", low=0.001)
    prelude: str | None = setting(None, "Slurm: shell command before a cell, such as 'module load cuda'")
    max_jobs: int = setting(1000, "Slurm: cells that may wait or run together, and so the longest array", low=1)

    def check(self) -> None:
        if self.save_seconds >= 60 * self.time_minutes:
            raise FieldError("save_seconds", f"{self.save_seconds} is not less than the time limit, "
                                             f"time_minutes={self.time_minutes}")

    def submitit_parameters(self, job_name: str) -> dict:
        """These options as submitit's Slurm executor takes them."""
        optional = {"partition": self.partition, "account": self.account, "qos": self.qos,
                    "constraint": self.constraint, "gpus_per_node": self.gpus or None,
                    "mem": None if self.memory_gb is None else f"{1024 * self.memory_gb:.0f}MB",
                    "setup": [self.prelude] if self.prelude else None}
        return {"job_name": job_name, "time": self.time_minutes, "signal_delay_s": self.save_seconds,
                "cpus_per_task": self.cpus, "array_parallelism": self.array_parallelism,
                # Since 22.05 srun does not take it from sbatch.
                "srun_args": [f"--cpus-per-task={self.cpus}"], "additional_parameters": {"requeue": True},
                **{name: value for name, value in optional.items() if value is not None}}

    @contextlib.contextmanager
    def crew(self) -> Iterator["Arrays"]:
        """UserError where submitit or Slurm's commands are missing, or its controller does not answer."""
        try:
            import submitit  # noqa: F401
        except ImportError:
            raise UserError("--engine=slurm needs submitit: pip install 'arch_zoo[slurm]'") from None
        if missing := [name for name in ("sbatch", "squeue", "srun") if shutil.which(name) is None]:
            raise UserError(f"--engine=slurm needs Slurm's commands on PATH; missing: {', '.join(missing)}; is this a "
                            f"login node of the cluster?")
        jobs_in_queue({"arch_zoo"})
        arrays = Arrays(self)
        try:
            yield arrays
        finally:
            arrays.leave()


class Place(NamedTuple):
    """The name of an array, which no other has, and an index in it."""

    name: str
    index: int


class Arrays:
    """The jobs that this runner watches, and what Slurm last said of them."""

    def __init__(self, options: Slurm):
        self._options = options
        self._watched: set[Place] = set()
        self._states: dict[Place, str] = {}
        self._looked = time.monotonic()

    def room(self) -> int:
        """As many as may wait."""
        return max(0, self._options.max_jobs - len(self._watched))

    def start(self, cells: Sequence[pathlib.Path], locks: Sequence[int]) -> "list[ArrayJob]":
        """Submit them as one array, except for those whose job waits or runs already. The locks stay with the runner.
        """
        places = {cell: place for cell in cells if (place := place_of(cell)) is not None}
        self._states |= (now := jobs_in_queue({place.name for place in places.values()}))
        places = {cell: place for cell, place in places.items() if now.get(place, _FORGOTTEN) not in _ENDED}
        self._watched |= set(places.values())  # first of all: whoever interrupts from here on is told of them
        if places:
            print(f"Slurm has {len(places)} of the cells already; they are watched", flush=True)
        if fresh := [cell for cell in cells if cell not in places]:
            places |= submit(fresh, self._options)
            self._states |= {places[cell]: "PENDING" for cell in fresh}
            self._watched |= {places[cell] for cell in fresh}
        return [ArrayJob(self, cell, places[cell]) for cell in cells]

    def look(self, place: Place) -> str:
        """The job's state, as it was not longer than some seconds ago, or when Slurm last answered."""
        if time.monotonic() - self._looked > _PAUSE:
            with contextlib.suppress(UserError):  # a controller may be restarted
                self._states = jobs_in_queue({watched.name for watched in self._watched})
            self._looked = time.monotonic()
        return self._states.get(place, _FORGOTTEN)

    def ended(self, place: Place) -> None:
        """It is watched no more."""
        self._watched.discard(place)

    def leave(self) -> None:
        """The jobs are left to Slurm."""
        if self._watched:
            names = ",".join(sorted({place.name for place in self._watched}))
            print(f"\n{len(self._watched)} cells stay with Slurm, waiting or running; the same command goes on watching"
                  f" them; to cancel them: scancel --name={names}", flush=True)


class ArrayJob:
    """One cell's job."""

    def __init__(self, arrays: Arrays, cell: pathlib.Path, place: Place):
        self._arrays, self._cell, self._place = arrays, cell, place
        self._gone: float | None = None

    def exit_code(self) -> int | None:
        """As `Job.exit_code`; a cell whose job has ended without a result has failed."""
        state = self._arrays.look(self._place)
        if state not in _ENDED:
            return None
        self._gone = self._gone or time.monotonic()
        done = RESULT_FILE in os.listdir(self._cell)  # to list it makes a network file system look again
        if not done and time.monotonic() - self._gone < _DELAY and state == "COMPLETED":
            return None
        self._arrays.ended(self._place)
        if not done:
            with open(self._cell / LOG_FILE, "a") as log:
                log.write(f"Slurm: job {self._place.name}, index {self._place.index}: {state}; its own log is in "
                          f"{study_of(self._cell) / _FOLDER}\n")
        return 0 if done else 1


class CellJob:
    """What a job does, on whichever machine. submitit calls `checkpoint` before the time limit or on preemption."""

    def __init__(self, cell: pathlib.Path, place: Place):
        self.cell, self.place = cell, place
        self._child: subprocess.Popen | None = None

    def __call__(self) -> str:
        """Run the cell. Where it was asked to stop, but not by us, Slurm has sent a signal to all processes of the job:
        it is preempted, or cancelled, or requeued by somebody.
        """
        if place_of(self.cell) != self.place:
            return "another job has this cell"
        environment = fast_environment() | {"PYTHONUNBUFFERED": "1"}
        with open(self.cell / LOG_FILE, "ab") as log:
            self._child = subprocess.Popen([sys.executable, "-m", "experiments.cell", f"--workdir={self.cell}"],
                                           stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                           env=environment)
        code = self._child.wait()
        if code == program.INTERRUPTED or -code in _STOP_SIGNALS:
            self._requeue_if_preempted()
        if code:
            raise RuntimeError(f"the cell ended with exit code {code}; see {self.cell / LOG_FILE}")
        return "done"

    def checkpoint(self):
        """Let the cell save and end; what then goes on is the same cell."""
        from submitit.helpers import DelayedSubmission

        if self._child is not None and self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(self._child.pid, signal.SIGTERM)
                # This runs in a signal handler, perhaps inside of wait(), which must find the process still.
                os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(CellJob(self.cell, self.place))

    def _requeue_if_preempted(self) -> None:
        """Returns where Slurm is ending this job; one that it still lets run is requeued, as before the time limit."""
        import submitit

        time.sleep(_SETTLE)
        try:
            state = jobs_in_queue({self.place.name}).get(self.place)
        except UserError:  # this machine cannot tell: Slurm will kill the job, and requeue it or not
            time.sleep(_LINGER)
            return
        if state == "RUNNING":
            signal.raise_signal(getattr(signal, f"SIG{submitit.JobEnvironment.USR_SIG}"))


def study_of(cell: pathlib.Path) -> pathlib.Path:
    """The directory of the study that the cell belongs to."""
    return next((parent for parent in cell.parents if (parent / STUDY_FILE).exists()), cell.parent)


def place_of(cell: pathlib.Path) -> Place | None:
    """Which job runs the cell, if one was ever asked to."""
    if not (cell / _JOB_FILE).exists():
        return None
    return Place(**read_json(cell / _JOB_FILE))


def submit(cells: Sequence[pathlib.Path], options: Slurm) -> dict[pathlib.Path, Place]:
    """An array of new jobs, one for each; UserError with what sbatch says where it refuses."""
    import submitit

    study = study_of(cells[0].resolve())
    name = f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', study.name)}-{secrets.token_hex(4)}"
    places = {cell: Place(name, index) for index, cell in enumerate(cells)}
    for cell, place in places.items():
        write_json_atomic(cell / _JOB_FILE, place._asdict())
    executor = submitit.SlurmExecutor(folder=study / _FOLDER, max_num_timeout=options.time_outs)
    executor.update_parameters(**options.submitit_parameters(name))
    try:
        executor.submit_array([CellJob(cell.resolve(), place) for cell, place in places.items()])
    except submitit.core.utils.FailedJobError as error:
        raise UserError(f"sbatch refuses: {_errors(str(error))}") from None
    return places


def jobs_in_queue(names: Iterable[str]) -> dict[Place, str]:
    """{job: state} of the arrays with these names; also of those that ended not long ago."""
    if not names:
        return {}
    command = ["squeue", "--states=all", "--array", "--noheader", "--format=%j|%K|%T", f"--name={','.join(names)}"]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"squeue does not answer: {error}") from None
    if ended.returncode:
        raise UserError(f"squeue fails: {_errors(ended.stderr)}")
    rows = [line.split("|") for line in ended.stdout.split()]
    return {Place(name, int(index) if index.isdecimal() else 0): state for name, index, state in rows}


def _errors(text: str) -> str:
    """What Slurm's commands call errors, in one line."""
    return "; ".join(re.findall(r"error: (.+)", text)) or " ".join(text.split()) or "without a word"
