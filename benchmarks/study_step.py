"""Tokens a second of the training step for each arm of a study, compilation apart.

    python -m benchmarks.study_step --config=configs/studies/families.py
"""

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
    from arch_zoo.training.timing import time_steps

    data = prepare_data(study.base.data)
    timings = {slug: (config, time_steps(config, data, STEPS.value)) for slug, config in study.arm_configs().items()}
    rows = [_row(slug, *found) for slug, found in timings.items()]
    publish("Training step", ["arm", "batch", "GFLOP a step", "compile s", "ms a step (median)", "range", "k tokens/s",
                              "executed, of peak"], rows, OUT.value,
            numbers={slug: spread(timing.seconds) for slug, (_, timing) in timings.items()})


def _row(slug: str, config: RunConfig, timing) -> list[str]:
    tokens = config.batch_size * config.data.length
    return [slug, f"{config.batch_size} × {config.data.length}", f"{timing.flops / 1e9:.1f}",
            f"{timing.compile_seconds:.1f}", f"{1e3 * timing.median:.0f}",
            f"{1e3 * timing.seconds[0]:.0f}–{1e3 * timing.seconds[-1]:.0f}", f"{tokens / timing.median / 1e3:.1f}",
            f"{timing.flops / timing.median / timing.peak:.0%}"]


if __name__ == "__main__":
    program.run(main, __doc__, StudyConfig, before=restart_in_fast_environment)
