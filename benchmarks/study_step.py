"""Tokens a second of the training step for each arm of a study, compilation apart, and how long it waits for batches.

    python -m benchmarks.study_step --config=configs/studies/families.py
"""

import time

from absl import flags

from arch_zoo.config import RunConfig
from benchmarks.table import publish, spread
from experiments import program
from experiments.environment import restart_in_fast_environment
from experiments.studies.config import StudyConfig

OUT = flags.DEFINE_string("out", None, "also write the table to this file")
STEPS = flags.DEFINE_integer("steps", 20, "steps that are timed", lower_bound=3)


def main(study: StudyConfig, arguments: list[str]) -> None:
    """Compile each arm's step, then run it."""
    from arch_zoo.data.prepare import prepare_data

    data = prepare_data(study.base.data)
    found = {slug: _measure(slug, config, data) for slug, config in study.arm_configs().items()}
    publish("Training step", ["arm", "batch", "GFLOP a step", "compile s", "ms a step (median)", "range", "k tokens/s",
                              "executed, of peak", "waits (1)"], [row for row, _ in found.values()],
            OUT.value,
            ["the share of the time in which the step waits for its batch, which is made meanwhile, as in a run"],
            {slug: numbers for slug, (_, numbers) in found.items()})


def _measure(slug: str, config: RunConfig, data) -> tuple[list[str], dict]:
    """(the arm's row, the numbers behind it)."""
    from arch_zoo.data.pipeline import Prefetcher
    from arch_zoo.training.batches import training_batches
    from arch_zoo.training.timing import compile_step

    step = compile_step(config, data)
    batches, waited, seconds = Prefetcher(training_batches(config, data).batch_at, 0, STEPS.value), 0.0, []
    for _ in range(STEPS.value):
        asked = time.perf_counter()
        batches.next()
        waited += time.perf_counter() - asked
        seconds.append(step.run())  # on the same batch again: what a step takes does not depend on its tokens
    batches.close()
    found = spread(seconds) | {"waited": waited / (waited + sum(seconds))}
    tokens, (fastest, slowest) = config.batch_size * config.data.length, found["range"]
    return [slug, f"{config.batch_size} × {config.data.length}", f"{step.flops / 1e9:.1f}",
            f"{step.compile_seconds:.1f}", f"{1e3 * found['median']:.0f}", f"{1e3 * fastest:.0f}–{1e3 * slowest:.0f}",
            f"{tokens / found['median'] / 1e3:.1f}", f"{step.flops / found['median'] / step.peak:.0%}",
            f"{found['waited']:.2%}"], found


if __name__ == "__main__":
    program.run(main, __doc__, StudyConfig, before=restart_in_fast_environment)
