"""Fine-tune a trained or imported run on a task of labelled texts, with several seeds.

    python -m experiments.fine_tune --workdir=runs/x --task=cola --data=glue
    python -m experiments.fine_tune --workdir=runs/x --task=tsv --task.text=review --task.label=stars --data=A.tsv,B.tsv

Writes WORKDIR/fine_tuning/TASK…/results.json and samples.jsonl; the run itself stays as it is. The same command again
takes the seeds that are done as they are.
"""

import dataclasses
import pathlib

from absl import flags

from arch_zoo.analysis.statistics import format_number
from arch_zoo.fine_tuning.config import FineTuneConfig
from experiments import asking, program
from experiments.environment import restart_in_fast_environment

WORKDIR = flags.DEFINE_string("workdir", None, "directory of the run (required)")
# Every option by its own name, and those of a head without its prefix.
ALIASES = {field.name: field.name for field in dataclasses.fields(FineTuneConfig)}
ALIASES |= {name: f"answer.{name}" for name in ("visibility", "pool", "streams")}


def main(config: FineTuneConfig, arguments: list[str]) -> None:
    """Learn with each seed, then print what came of it."""
    workdir = asking.require_workdir(WORKDIR.value)
    from arch_zoo.fine_tuning.seeds import Experiment
    from arch_zoo.training.trained import open_run

    run = open_run(workdir)
    program.use_compilation_cache(run.config.data.cache_dir)
    experiment = Experiment.of(run, config)
    print(_report(experiment.results(), experiment.folder))


def _report(results: dict, folder: pathlib.Path) -> str:
    counts, cut, metrics = results["examples"], results["cut"], results["metrics"]
    count = len(next(iter(metrics.values()))["seeds"])
    lines = [f"{results['config']['task']['name']}: {counts['train']:,} examples, {counts['dev']:,} held out; "
             f"{results['how']}; {results['steps']:,} steps, {count} {'seed' if count == 1 else 'seeds'}"]
    if any(cut.values()):
        lines.append(f"cut to length={results['config']['length']} tokens: {cut['train']:,} training examples, "
                     f"{cut['dev']:,} held out")
    for name, found in metrics.items():
        interval = "" if found["low"] is None else f" [{format_number(found['low'])}, {format_number(found['high'])}]"
        lines.append(f"{name:<10} {format_number(found['mean'])}{interval}   {results['baseline']['how']}: "
                     f"{format_number(results['baseline']['metrics'][name])}")
    return "\n".join([*lines, f"{folder}"])


if __name__ == "__main__":
    program.run(main, __doc__, FineTuneConfig, aliases=ALIASES,
                turn="lower --batch_size or --length", before=restart_in_fast_environment)
