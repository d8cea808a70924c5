"""Seconds to trace and compile a training step by depth, for the unrolled and the scanned stack. No cache is used.

    python -m benchmarks.compile_time --depths=4,12
"""

import time

from absl import flags

from arch_zoo.config import RunConfig
from benchmarks.options import whole_numbers
from benchmarks.table import publish, spread
from experiments import program
from experiments.environment import restart_in_fast_environment

OUT = flags.DEFINE_string("out", None, "also write the table to this file")
DEPTHS = flags.DEFINE_list("depths", ["4", "12"], "numbers of blocks")
REPEATS = flags.DEFINE_integer("repeats", 3, "how often each is compiled, of which the middle counts", lower_bound=1)


def main(config: RunConfig, arguments: list[str]) -> None:
    """Compile once for each depth and way, in one process."""
    from arch_zoo.data.prepare import prepare_data

    depths = whole_numbers(DEPTHS)
    data, rows, numbers = prepare_data(config.data), [], {}
    for depth in depths:
        for scan in (False, True):
            model = config.model.replace(depth=depth, scan=scan)
            stack = "scanned" if scan else "unrolled"
            found = [_seconds(config.replace(model=model), data) for _ in range(REPEATS.value)]
            kinds = dict(zip(("tracing", "compiling"), zip(*found, strict=True), strict=True))
            numbers[f"{depth}, {stack}"] = of = {kind: spread(seconds) for kind, seconds in kinds.items()} | {
                "together": spread([sum(one) for one in found])}
            low, high = of["together"]["range"]
            rows.append([str(depth), stack, *(f"{of[kind]['median']:.1f}" for kind in of), f"{low:.1f}–{high:.1f}"])
    publish("Compiling a training step", ["blocks", "stack", "tracing s", "compiling s", "together s", "range"], rows,
            OUT.value, numbers=numbers)


def _seconds(config: RunConfig, data) -> tuple[float, float]:
    import jax

    from arch_zoo.training.parallel import choose_devices, make_parallel
    from arch_zoo.training.setup import Setup

    jax.clear_caches()  # what was traced before would be known already
    setup = Setup.of(config, data)
    parallel = make_parallel(config.parallel, choose_devices(config.devices), config.batch_size, config.accumulate,
                             config.mesh)
    batch = setup.train.batch_at(0)
    abstract = parallel.abstract(jax.eval_shape(setup.initial_state, batch))
    began = time.perf_counter()
    lowered = parallel.compile_train(setup.step).lower(abstract, batch, setup.knobs)
    traced = time.perf_counter()
    lowered.compile()
    return traced - began, time.perf_counter() - traced


if __name__ == "__main__":
    program.run(main, __doc__, RunConfig, before=restart_in_fast_environment)
