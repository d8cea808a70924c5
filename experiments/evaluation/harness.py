"""Results in the shape that the lm-evaluation-harness writes them, so that what reads its files reads ours."""

import json
import pathlib
import time
from typing import Any

from arch_zoo.files import write_json_atomic, write_text_atomic
from arch_zoo.settings import to_dict
from arch_zoo.tasks.base import Measured, Outcome, Subject, Task
from arch_zoo.training.workdir import git_commit

_FILTER = "none"  # the harness names a filter of generated text behind each metric
RESULTS_FILE, SAMPLES_FILE = "results.json", "samples.jsonl"


def results(task: Task, outcome: Outcome, subject: Subject, command: str, seconds: float) -> dict[str, Any]:
    """The object of results.json: the harness's keys, and ours behind them."""
    label = subject.label
    run, metrics = subject.run, task.metrics()
    inner = {**outcome.groups, **outcome.parts}
    every = {label: (outcome.values, outcome.count),
             **{f"{label}_{name}": (part.values, part.count) for name, part in inner.items()}}
    better = {metric.name: metric.better == "higher" for metric in metrics}
    subtasks = {f"{label}_{name}": [f"{label}_{member}" for member in part.members]
                for name, part in outcome.groups.items()}
    return {
        "results": {name: {"alias": name, **_entries(values)} for name, (values, _) in every.items()},
        "group_subtasks": {label: list(subtasks)} | subtasks if subtasks else {label: []},
        "configs": {label: to_dict(task)},
        "versions": dict.fromkeys(every, task.version),
        "n-shot": dict.fromkeys(every, task.shots),
        "higher_is_better": dict.fromkeys(every, better),
        "n-samples": {name: {"original": count if task.limit is None else None, "effective": count}
                      for name, (_, count) in every.items()},
        "config": {"model": "arch_zoo", "model_args": f"workdir={run.workdir}", "limit": task.limit,
                   "tokens_per_batch": subject.scorer.tokens_per_batch, "objective": to_dict(run.config.objective),
                   "tokenizer_sha256": run.tokenizer.sha256},
        "git_hash": git_commit(), "date": time.time(),
        "units": {metric.name: metric.unit for metric in metrics},
        "chance": {metric.name: metric.chance for metric in metrics if metric.chance is not None},
        "undefined": {name: one.reason for name, one in outcome.values.items() if one.value is None},
        "how": outcome.how, "notes": outcome.notes, "command": command, "seconds": seconds}


def _entries(values: dict[str, Measured]) -> dict[str, float | str]:
    entries = {}
    for name, one in values.items():
        if one.value is not None:
            entries[f"{name},{_FILTER}"] = one.value
            entries[f"{name}_stderr,{_FILTER}"] = "N/A" if one.error is None else one.error
    return entries


def write(directory: pathlib.Path, record: dict[str, Any], outcome: Outcome) -> None:
    """samples.jsonl and then results.json; each appears whole, and the second one says that both are there."""
    lines = "".join(json.dumps(sample, ensure_ascii=False) + "\n" for sample in outcome.samples)
    write_text_atomic(directory / SAMPLES_FILE, lines)
    write_json_atomic(directory / RESULTS_FILE, record)
