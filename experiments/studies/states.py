"""How far a study's cells are, as their directories show it while anything may be working there. Reads only.

A cell is at work while a process holds the lock of its directory (`arch_zoo.training.workdir.claim`). Whether one does
is looked up, never tried: taking the lock, however briefly, could make a runner that asks at that moment fail.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import struct
import sys
import time
from typing import Any, Literal

from arch_zoo.errors import UserError
from arch_zoo.files import read_json
from arch_zoo.registry import did_you_mean
from arch_zoo.training.layout import CONFIG_FILE, LOCK_FILE, METRICS_FILE, RESULT_FILE
from arch_zoo.training.metrics import clock
from experiments.studies.layout import CELL_FILE, FAILED_FILE, LOG_FILE, STUDY_FILE, TAKEN_FILE

State = Literal["done", "running", "failed", "pending"]
STATES = ("done", "running", "failed", "pending")
_TAIL = 4096    # bytes at the end of a file in which its last lines are looked for
_SILENT = 600   # seconds without a line after which that is worth telling
_RECENT = 60    # where locks cannot be looked up, a cell that wrote so many seconds ago counts as at work


@dataclasses.dataclass(frozen=True)
class CellState:
    """One cell. `seconds`: of a done one; `step` of `steps`, `rate` (steps a second) and `left` (seconds of training):
    of one that has begun; `message`: why it failed, or what it does besides training steps.
    """

    arm: str
    seed: int
    directory: pathlib.Path
    state: State
    value: float | None = None
    seconds: float | None = None
    step: int | None = None
    steps: int | None = None
    rate: float | None = None
    left: float | None = None
    message: str = ""
    trial: float | None = None  # the learning rate that it tries, for a short run before the cells of its arm


@dataclasses.dataclass(frozen=True)
class StudyState:
    """A study, sweep or run. `metric` is the title of what `CellState.value` holds; arms by slug, in their order."""

    directory: pathlib.Path
    title: str
    metric: str
    arms: dict[str, str]
    cells: tuple[CellState, ...]

    def count(self, state: State, arm: str | None = None) -> int:
        """How many cells, of one arm or of all, are in this state."""
        return sum(cell.state == state and arm in (None, cell.arm) for cell in self.cells)

    @property
    def settled(self) -> bool:
        """Whether every cell is done or has failed."""
        return bool(self.cells) and all(cell.state in ("done", "failed") for cell in self.cells)

    @property
    def left(self) -> float | None:
        """Seconds until all is done if as many cells run as do now, each as long as the done ones of its arm did."""
        took: dict[str, list[float]] = {}
        for cell in self.cells:
            if cell.seconds is not None and cell.trial is None:
                took.setdefault(cell.arm, []).append(cell.seconds)
        everyone = [seconds for several in took.values() for seconds in several]
        if not everyone or not self.count("running"):
            return None
        waiting = [took.get(cell.arm, everyone) for cell in self.cells if cell.state == "pending"]
        work = sum(sum(several) / len(several) for several in waiting) + sum(cell.left or 0.0 for cell in self.cells)
        return work / self.count("running")


def read_study(workdir: pathlib.Path, now: float | None = None) -> StudyState:
    """The state of a study's, a sweep's or a single run's directory; UserError where it is none."""
    now, held = time.time() if now is None else now, held_locks()
    if (workdir / STUDY_FILE).is_file():
        record = read_json(workdir / STUDY_FILE)
        if not isinstance(record, dict) or not {"arms", "seeds", "cells"} <= record.keys():
            raise UserError(f"{workdir / STUDY_FILE}: not the record of a study")
        metric = next(iter(record.get("metrics", [])), None)
        key, title = (metric["key"], metric["title"]) if metric else (None, "held-out loss")
        arms = {arm["slug"]: arm["name"] for arm in record["arms"]}
        tuning, cells = record.get("tuning") or {}, []
        for slug in arms:
            trials = {rate: workdir / tuning["cells"].format(arm=slug, rate=rate) for rate in tuning.get("rates", ())}
            cells += [dataclasses.replace(_read_cell(where, (slug, record["seeds"][0]), None, held, now), trial=rate,
                                          value=None) for rate, where in trials.items()]
            cells += [_read_cell(workdir / record["cells"].format(arm=slug, seed=seed), (slug, seed), key, held, now)
                      for seed in record["seeds"]]
        return StudyState(workdir, record.get("title", ""), title, arms, tuple(cells))
    if (workdir / CONFIG_FILE).is_file():
        config = read_json(workdir / CONFIG_FILE)
        if "arms" in config:  # claimed, not planned yet
            return StudyState(workdir, config.get("title", ""), "", {}, ())
        cell = _read_cell(workdir, ("run", config.get("seed", 0)), None, held, now)
        return StudyState(workdir, f"Run {workdir.name}", "held-out loss", {"run": workdir.name}, (cell,))
    raise UserError(_not_a_study(workdir))


def _not_a_study(workdir: pathlib.Path) -> str:
    if workdir.exists() and not workdir.is_dir():
        return f"{workdir}: a file; give the directory of a study, a sweep or a run"
    if not workdir.is_dir():
        siblings = [str(path) for path in workdir.parent.glob("*/")]
        return f"{workdir}: no such directory.{did_you_mean(str(workdir), siblings)}"
    inside = sorted(str(path.parent) for path in workdir.glob(f"*/{STUDY_FILE}"))
    more = f"; in it are: {', '.join(inside[:5])}{', …' if len(inside) > 5 else ''}" if inside else ""
    return f"{workdir}: not the directory of a study, a sweep or a run: no {STUDY_FILE} and no {CONFIG_FILE}{more}"


# --- one cell ----------------------------------------------------------------------------------------------------

def _read_cell(directory: pathlib.Path, who: tuple[str, int], key: str | None, held: "Locks",
               now: float) -> CellState:
    result = _json(directory / RESULT_FILE)
    if result is not None:
        value = result.get("metrics", {}).get(key, {}).get("value") if key else result.get("evaluation_loss")
        return CellState(*who, directory, "done", value=value, step=result.get("steps"), steps=result.get("steps"),
                         seconds=result.get("seconds", result.get("train_seconds")))
    if held.holds(directory / LOCK_FILE, now):
        return _at_work(directory, who, now)
    if held.holds(directory / TAKEN_FILE, now):
        return CellState(*who, directory, "pending", message="taken by a runner")
    failure = _json(directory / FAILED_FILE)
    begun = _at_work(directory, who, now)
    if failure is not None:
        return dataclasses.replace(begun, state="failed", left=None, rate=None, message=failure.get("error", ""))
    stopped = f"stopped at step {begun.step} of {begun.steps}" if begun.step else ""
    return dataclasses.replace(begun, state="pending", left=None, rate=None, message=stopped)


def _at_work(directory: pathlib.Path, who: tuple[str, int], now: float) -> CellState:
    """A running cell: how far it has trained, how fast, and what it does when it does not train."""
    config = (_json(directory / CELL_FILE) or {}).get("run") or _json(directory / CONFIG_FILE) or {}
    lines = [one for text in _last_lines(directory / METRICS_FILE) if (one := _object(text))]
    steps = config.get("steps")
    step = lines[-1].get("step") if lines else None
    tokens = next((line[name] for line in reversed(lines) if (name := "train/tokens_per_second") in line), None)
    rate = tokens / (config["batch_size"] * config["data"]["length"]) if tokens and config else None
    trained = step is not None and step == steps
    left = (steps - step) / rate if rate and steps and step is not None else None
    log = _last_lines(directory / LOG_FILE)
    message = log[-1] if log and (trained or step is None) else "" if step is not None else "starting"
    silent = now - max(_modified(directory / name) for name in (LOG_FILE, METRICS_FILE))
    if _SILENT < silent < now:
        message = f"nothing written for {clock(silent)}"
    return CellState(*who, directory, "running", step=step, steps=steps, rate=rate, left=left, message=message)


def _json(path: pathlib.Path) -> dict[str, Any] | None:
    """What the file holds, or None where there is none; files are written whole, but may go at any moment."""
    if not path.exists():
        return None
    with contextlib.suppress(UserError):
        found = read_json(path)
        return found if isinstance(found, dict) else None
    return None


def _last_lines(path: pathlib.Path) -> list[str]:
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            return file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return []


def _object(text: str) -> dict[str, Any] | None:
    """A line of metrics, or None where it is cut off, by the window on the file or by who is writing it."""
    with contextlib.suppress(json.JSONDecodeError):
        found = json.loads(text)
        return found if isinstance(found, dict) else None
    return None


def _modified(path: pathlib.Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


# --- locks -------------------------------------------------------------------------------------------------------

@dataclasses.dataclass(frozen=True)
class Locks:
    """The files that were locked on this machine a moment ago, by inode; None where the system does not tell."""

    inodes: frozenset[int] | None

    def holds(self, path: pathlib.Path, now: float) -> bool:
        """Whether some process has this file locked."""
        try:
            inode = path.stat().st_ino
        except OSError:
            return False
        if self.inodes is None:
            newest = max(_modified(path.parent / name) for name in (LOCK_FILE, LOG_FILE, METRICS_FILE))
            return now - newest < _RECENT
        return inode in self.inodes or _locked_elsewhere(path)


def held_locks(table: pathlib.Path = pathlib.Path("/proc/locks")) -> Locks:
    """What Linux says is locked: `1: FLOCK  ADVISORY  WRITE 2161 fe:00:2146556 0 EOF`.

    Files are known by their inodes alone: overlays and subvolumes name another device there than `stat` does.
    """
    try:
        lines = [line.split() for line in table.read_text().splitlines()]
    except OSError:
        return Locks(None)
    places = (next((word for word in line if word.count(":") == 2), "") for line in lines)
    return Locks(frozenset(int(place.rsplit(":", 1)[1]) for place in places if place))


def _locked_elsewhere(path: pathlib.Path) -> bool:
    """Whether another machine holds the file, on a network file system, where flock becomes a lock of a range.

    F_GETLK asks what is in the way of a lock, and takes none.
    """
    if sys.platform != "linux":
        return False
    question = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    with contextlib.suppress(OSError), path.open("rb") as file:
        return struct.unpack("hhqqi4x", fcntl.fcntl(file, fcntl.F_GETLK, question))[0] != fcntl.F_UNLCK
    return False
