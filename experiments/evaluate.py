"""Put tasks to a trained or imported run, without training it.

    python -m experiments.evaluate --workdir=runs/x --tasks=blimp,lambada,perplexity --data=FOLDER
    python -m experiments.evaluate --workdir=runs/x --tasks=perplexity --tasks.perplexity.stride=64 --data=FILE

Writes results.json, as the lm-evaluation-harness does, samples.jsonl and table.md to WORKDIR/evaluation/TASK/.
"""

import dataclasses
import os
import pathlib
import time

from absl import flags, logging

from arch_zoo.errors import UserError
from experiments import asking, program
from experiments.environment import restart_in_fast_environment
from experiments.evaluation import request

WORKDIR = flags.DEFINE_string("workdir", None, "directory of the run (required)")
DATA = flags.DEFINE_string("data", None, "folder in which each task finds its own files, or the file of a single task")
LIMIT = flags.DEFINE_integer("limit", None, "examples of each task, or of each of its parts, at most", lower_bound=1)


def main(asked: asking.Request, arguments: list[str]) -> None:
    """Open the run, ask it each task, write and show what came of it."""
    workdir = asking.require_workdir(WORKDIR.value)
    if not asked.how.tasks:
        raise UserError("--tasks=NAME,… is required: what to measure; python -m experiments.evaluate --help lists them")
    from arch_zoo.objectives.base import Undefined
    from arch_zoo.tasks.base import Subject, labels

    tasks = request.with_data(asked.how.tasks, DATA.value, LIMIT.value)
    run = asking.open_predicting(WORKDIR.value, asked.changes)
    undefined, asked_run = [], Subject.of(run)
    for label, task in zip(labels(tasks), tasks, strict=True):
        logging.info("%s: %s", workdir, label)
        began = time.monotonic()
        subject = dataclasses.replace(asked_run, label=label)
        try:
            outcome = task.run(subject)
        except Undefined as reason:
            undefined.append(f"task {label} is undefined for objective={run.config.objective.name}: {reason}")
            continue
        show_and_write(workdir / "evaluation" / label, task, outcome, subject, time.monotonic() - began)
    if undefined:
        raise UserError("; ".join(undefined))


def show_and_write(directory: pathlib.Path, task, outcome, subject, seconds: float) -> None:
    """The files of one task, and its table at the terminal."""
    from rich.console import Console

    from arch_zoo.files import write_bytes_atomic, write_text_atomic
    from arch_zoo.training.metrics import clock
    from experiments.evaluation import harness, plots, tables

    harness.write(directory, harness.results(task, outcome, subject, program.command(), seconds), outcome)
    write_text_atomic(directory / "table.md", tables.markdown(subject.label, task, outcome))
    if outcome.groups:
        metric = task.metrics()[0]
        write_bytes_atomic(directory / "groups.png",
                           plots.groups_plot(f"{metric.title}, {subject.run.workdir.name}", metric, outcome))
    tables.print_table(subject.label, task, outcome, Console(highlight=False))
    print(f"{outcome.count:,} items in {clock(seconds)}, compilation included; written: "
          f"{os.path.join(directory, harness.RESULTS_FILE)}\n")


if __name__ == "__main__":
    program.run(main, __doc__, request.EvaluateConfig, aliases=asking.aliases(request.EvaluateConfig),
                load=asking.load, turn="score shorter texts, or free memory that other programs hold",
                before=restart_in_fast_environment)
