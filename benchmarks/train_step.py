"""Tokens a second of the training step for each arm of a study, compilation apart.

    python -m benchmarks.train_step --config=configs/studies/families.py
"""

from absl import flags

from benchmarks.table import median, publish, seconds_of
from experiments import program
from experiments.environment import restart_in_fast_environment
from experiments.studies.config import StudyConfig

OUT = flags.DEFINE_string("out", None, "also write the table to this file")
STEPS = flags.DEFINE_integer("steps", 20, "steps that are timed", lower_bound=3)


def main(study: StudyConfig, arguments: list[str]) -> None:
    """Compile each arm's step, then run it."""
    restart_in_fast_environment()
    from arch_zoo.data.prepare import prepare_data

    data = prepare_data(study.base.data)
    rows = [_row(slug, config, data) for slug, config in study.arm_configs().items()]
    publish("Training step", ["arm", "batch", "GFLOP a step", "compile s", "ms a step (median)", "range", "k tokens/s",
                              "of peak"], rows, OUT.value)


def _row(slug: str, config, data) -> list[str]:
    import time

    import jax

    from arch_zoo.flops import count_flops, peak_flops
    from arch_zoo.training.loop import Setup
    from arch_zoo.training.parallel import choose_devices, make_parallel

    setup = Setup.of(config, data)
    parallel = make_parallel(config.parallel, choose_devices(config.devices), config.batch_size, config.accumulate)
    batch = parallel.place_batch(setup.train.batch_at(0))
    state = jax.jit(setup.initial_state, out_shardings=parallel.replicated)(setup.train.batch_at(0))
    flops = count_flops(setup.train_step(), state, batch)
    began = time.perf_counter()
    step = parallel.compile_train(setup.train_step()).lower(state, batch).compile()
    compile_seconds = time.perf_counter() - began

    def run(_):
        nonlocal state
        state, metrics = step(state, batch)
        jax.block_until_ready(metrics)

    seconds = seconds_of(run, STEPS.value)
    tokens = config.batch_size * config.data.length
    return [slug, f"{config.batch_size} × {config.data.length}", f"{flops / 1e9:.1f}", f"{compile_seconds:.1f}",
            f"{1e3 * median(seconds):.0f}", f"{1e3 * seconds[0]:.0f}–{1e3 * seconds[-1]:.0f}",
            f"{tokens / median(seconds) / 1e3:.1f}", f"{flops / median(seconds) / peak_flops(parallel.devices):.0%}"]


if __name__ == "__main__":
    program.run(main, __doc__, StudyConfig)
