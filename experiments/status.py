"""Show how far a study, a sweep or a run is: what is done, what runs and for how long still, what failed and why.

    python -m experiments.status WORKDIR
    python -m experiments.status WORKDIR --watch=5
"""

import contextlib
import dataclasses
import json
import pathlib
import time

from absl import flags
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from arch_zoo.errors import UserError
from arch_zoo.training.metrics import clock
from experiments import program
from experiments.studies.states import STATES, CellState, StudyState, read_study

WATCH = flags.DEFINE_float("watch", None, "seconds between two looks; goes on until every cell is done or has failed",
                           lower_bound=0.1)
JSON = flags.DEFINE_bool("json", False, "print JSON, for programs")

_MANY = 40       # cells that are shown one by one; of more, each arm is counted
_AROUND = 8      # lines of a terminal that the rest of the picture takes
_FAILURES = 10   # failed cells that are told of, where cells are counted
_NAME = 30       # characters of an arm's name that stay in one line, if need be at the cost of other columns
_STYLES = {"done": "green", "running": "cyan", "failed": "red", "pending": "dim"}


def main(arguments: list[str]) -> None:
    """Look once, or again and again."""
    if len(arguments) != 1:
        raise UserError(f"one argument is needed, the directory of a study, a sweep or a run; got {len(arguments)}")
    if JSON.value and WATCH.value is not None:
        raise UserError("--json is printed once; call it again instead of --watch")
    workdir = pathlib.Path(arguments[0])
    if JSON.value:
        print(json.dumps(as_json(read_study(workdir)), indent=2, ensure_ascii=False))
    elif WATCH.value is None:
        Console(highlight=False).print(picture(read_study(workdir), _MANY))
    else:
        with contextlib.suppress(KeyboardInterrupt):
            watch(workdir, Console(highlight=False), WATCH.value)


def watch(workdir: pathlib.Path, console: Console, pause: float) -> None:
    """The picture, drawn over itself; where the output is no terminal, a line whenever something has changed."""
    from rich.live import Live

    study, last = read_study(workdir), None
    with Live(console=console, auto_refresh=False) if console.is_terminal else contextlib.nullcontext() as live:
        while True:
            if live is not None:
                live.update(picture(study, min(_MANY, console.height - _AROUND)), refresh=True)
            elif (line := summary(study)) != last:
                console.print(line, soft_wrap=True)
                last = line
            if study.settled:
                return
            time.sleep(pause)
            study = read_study(workdir)


def as_json(study: StudyState) -> dict:
    """The whole state, as programs read it; seconds are numbers, paths are relative to the study's directory."""
    cells = [{**dataclasses.asdict(cell), "directory": str(cell.directory.relative_to(study.directory))}
             for cell in study.cells]
    return {"title": study.title, "metric": study.metric, "arms": study.arms, "settled": study.settled,
            "left": study.left, "counts": {state: study.count(state) for state in STATES}, "cells": cells}


# --- the picture -------------------------------------------------------------------------------------------------

def picture(study: StudyState, rows: int) -> RenderableType:
    """A heading, a table of cells, or, of more than so many, of arms and the cells that run; and why cells failed."""
    heading = Text.assemble((str(study.directory), "bold"), f"  {study.title}\n", summary(study))
    if not study.cells:
        return heading
    if len(study.cells) <= rows:
        return Group(heading, "", cell_table(study, study.cells), *failures(study, len(study.cells)))
    running = [cell for cell in study.cells if cell.state == "running"]
    parts = ["", cell_table(study, running[:rows])] if running else []
    more = [f"… and {len(running) - rows} more"] if len(running) > rows else []
    return Group(heading, "", arm_table(study), *parts, *more, *failures(study, _FAILURES))


def failures(study: StudyState, most: int) -> list[Text]:
    """Why cells failed, one after another."""
    failed = [cell for cell in study.cells if cell.state == "failed"]
    lines = [Text.assemble(("failed ", _STYLES["failed"]), (f"{study.arms[cell.arm]}, seed {_which(cell)}: ", "bold"),
                           cell.message) for cell in failed[:most]]
    more = [Text(f"… and {len(failed) - most} more that failed")] if len(failed) > most else []
    return [Text(), *lines, *more] if lines else []


def summary(study: StudyState) -> Text:
    """'18 cells: 7 done, 2 running, 1 failed, 8 pending; about 12:30 left'."""
    if not study.cells:
        return Text("nothing is planned yet: the study is being prepared, or was interrupted before it began")
    text = Text(f"{len(study.cells)} cell{'s' if len(study.cells) > 1 else ''}: ")
    counts = {state: study.count(state) for state in STATES if study.count(state)}
    text.append(Text(", ").join(Text(f"{count} {state}", _STYLES[state]) for state, count in counts.items()))
    if study.left is not None:
        text.append(f"; about {clock(study.left)} left")
    elif not study.settled and "running" not in counts:
        text.append("; nobody is working here")
    return text


def cell_table(study: StudyState, cells: list[CellState] | tuple[CellState, ...]) -> Table:
    """A line for each cell; an arm is named once."""
    table = _table()
    longest = max((len(study.arms[cell.arm]) for cell in cells), default=0)
    table.add_column("arm", overflow="fold", min_width=min(longest, _NAME))
    table.add_column("seed", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column(study.metric.lower(), justify="right", overflow="fold", max_width=8)
    table.add_column("progress", overflow="fold")
    before = None
    for cell in cells:
        missing = "n/a" if cell.state == "done" and cell.trial is None else ""
        value = missing if cell.value is None else f"{cell.value:.3f}"
        table.add_row(study.arms[cell.arm] if cell.arm != before else "", _which(cell),
                      Text(cell.state, _STYLES[cell.state]), value, Text(doing(cell)))
        before = cell.arm
    return table


def _which(cell: CellState) -> str:
    return str(cell.seed) if cell.trial is None else f"{cell.seed} at {cell.trial:g}"


def doing(cell: CellState) -> str:
    """'40/120 at 3.2/s, left 0:25', '0:58' of a done cell, or what it says."""
    if cell.state == "done":
        return clock(cell.seconds) if cell.seconds is not None else ""
    if cell.state == "failed":
        return "see below"
    training = cell.state == "running" and cell.step is not None
    if training and cell.step == cell.steps:
        return f"trained, {cell.message}" if cell.message else "trained"
    rate = f" at {_rate(cell.rate)}, left {clock(cell.left)}" if cell.rate and cell.left is not None else ""
    return ", ".join(part for part in (f"{cell.step}/{cell.steps}{rate}" if training else "", cell.message) if part)


def _rate(rate: float) -> str:
    return f"{rate:.3g}/s" if rate >= 0.1 else f"{1 / rate:.0f} s each"


def arm_table(study: StudyState) -> Table:
    """A line for each arm: how many of its cells are where, and the mean of those that are done."""
    table = _table()
    table.add_column("arm", overflow="fold", ratio=1)
    for state in STATES:
        table.add_column(state, justify="right", no_wrap=True, style=_STYLES[state])
    table.add_column(f"mean {study.metric.lower()}", justify="right", overflow="fold", max_width=13)
    for slug, name in study.arms.items():
        values = [cell.value for cell in study.cells if cell.arm == slug and cell.value is not None]
        counts = [str(count) if (count := study.count(state, slug)) else "·" for state in STATES]
        table.add_row(name, *counts, f"{sum(values) / len(values):.3f}" if values else "")
    return table


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)


if __name__ == "__main__":
    program.run(main, __doc__)
