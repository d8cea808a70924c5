"""How long a run's training step takes, here and now."""

import dataclasses
import time

import jax

from arch_zoo.config import RunConfig
from arch_zoo.data.prepare import Data
from arch_zoo.flops import count_flops, peak_flops
from arch_zoo.training.loop import Setup
from arch_zoo.training.parallel import choose_devices, make_parallel


@dataclasses.dataclass(frozen=True)
class StepTiming:
    """One training step of a run: seconds to trace and compile it, seconds of each timed step (ascending), FLOPs."""

    compile_seconds: float
    seconds: list[float]
    flops: int
    peak: float  # FLOP/s of the devices

    @property
    def median(self) -> float:
        return self.seconds[len(self.seconds) // 2]


def time_steps(config: RunConfig, data: Data, steps: int) -> StepTiming:
    """Compile the run's step and time it on its first batch, after two steps that are not counted."""
    setup = Setup.of(config, data)
    parallel = make_parallel(config.parallel, choose_devices(config.devices), config.batch_size, config.accumulate)
    batch = setup.train.batch_at(0)
    state, placed = jax.jit(setup.initial_state, out_shardings=parallel.replicated)(batch), parallel.place_batch(batch)
    flops = count_flops(setup.train_step(), *jax.eval_shape(lambda s, b: (s, b), state, batch))
    began = time.perf_counter()
    step = parallel.compile_train(setup.train_step()).lower(state, placed).compile()
    compile_seconds, seconds = time.perf_counter() - began, []
    for _ in range(2 + steps):
        began = time.perf_counter()
        state, metrics = step(state, placed)
        jax.block_until_ready(metrics)
        seconds.append(time.perf_counter() - began)
    return StepTiming(compile_seconds, sorted(seconds[2:]), flops, peak_flops(parallel.devices))
