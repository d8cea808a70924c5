"""Tokens a second of the input pipeline alone, on one core: `batch_at(step)` for each arm of a study.

    python -m benchmarks.pipeline --config=configs/studies/families.py
    python -m benchmarks.pipeline --config=configs/studies/families.py --every_objective
"""

import os

from absl import flags

from arch_zoo.machine import usable_cores
from benchmarks.arms import objective_configs
from benchmarks.table import median, publish, seconds_of, spread
from experiments import program
from experiments.studies.config import StudyConfig

OUT = flags.DEFINE_string("out", None, "also write the table to this file")
BATCHES = flags.DEFINE_integer("batches", 200, "batches that are timed", lower_bound=5)
EVERY_OBJECTIVE = flags.DEFINE_bool("every_objective", False, "time all objectives, by their defaults, on the study's "
                                                              "base instead of its arms")


def main(study: StudyConfig, arguments: list[str]) -> None:
    """Time each arm's batches, each a different one."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, usable_cores()[:1])
    from arch_zoo.data.prepare import prepare_data
    from arch_zoo.training.batches import training_batches

    data, rows, numbers = prepare_data(study.base.data), [], {}
    configs = objective_configs(study.base) if EVERY_OBJECTIVE.value else study.arm_configs()
    for slug, config in configs.items():
        seconds = seconds_of(training_batches(config, data).batch_at, BATCHES.value)
        numbers[slug] = spread(seconds)
        tokens = config.batch_size * config.data.length
        rows.append([slug, f"{config.batch_size} × {config.data.length}", f"{1e3 * median(seconds):.2f}",
                     f"{tokens / median(seconds) / 1e6:.2f}", f"{tokens / seconds[-1] / 1e6:.2f}"])
    kind = "objective" if EVERY_OBJECTIVE.value else "arm"
    publish("Input pipeline", [kind, "batch", "ms a batch (median)", "M tokens/s (median)", "M tokens/s (slowest)"],
            rows, OUT.value, numbers=numbers)


if __name__ == "__main__":
    program.run(main, __doc__, StudyConfig)
