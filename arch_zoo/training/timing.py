"""How long a run's training step takes, here and now."""

import concurrent.futures
import dataclasses
import multiprocessing
import time
from collections.abc import Callable
from typing import Any

import jax

from arch_zoo.config import RunConfig
from arch_zoo.data.prepare import Data, prepare_data
from arch_zoo.flops import count_flops, peak_flops
from arch_zoo.training.parallel import choose_devices, make_parallel
from arch_zoo.training.setup import Setup


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


@dataclasses.dataclass(frozen=True)
class CompiledStep:
    """A run's training step on its first batch, ready to be timed."""

    run: Callable[[], float]  # makes one more step, and says how many seconds it took
    compile_seconds: float
    flops: int
    peak: float


def compile_step(config: RunConfig, data: Data) -> CompiledStep:
    """Trace and compile the run's step, and make two steps that are not timed."""
    setup = Setup.of(config, data)
    parallel = make_parallel(config.parallel, choose_devices(config.devices), config.batch_size, config.accumulate,
                             config.mesh)
    batch = setup.train.batch_at(0)
    state, placed = parallel.make_state(setup.initial_state, batch), parallel.place_batch(batch)
    flops = count_flops(setup.train_step(), *jax.eval_shape(lambda s, b: (s, b), state, batch))
    began = time.perf_counter()
    step = parallel.compile_train(setup.step).lower(state, placed, setup.knobs).compile()
    compile_seconds = time.perf_counter() - began
    run = stepper(step, state, placed, setup.knobs)
    run(), run()
    return CompiledStep(run, compile_seconds, flops, peak_flops(parallel.devices))


def stepper(step: Callable, state: Any, placed: Any, knobs: Any) -> Callable[[], float]:
    """Each call makes one more compiled step from `state`, which is given up to it, and gives its seconds."""
    def run() -> float:
        nonlocal state
        began = time.perf_counter()
        state, metrics = step(state, placed, knobs)
        jax.block_until_ready(metrics)
        return time.perf_counter() - began

    return run


def time_steps(config: RunConfig, data: Data, steps: int) -> StepTiming:
    """Compile the run's step and time it."""
    step = compile_step(config, data)
    return StepTiming(step.compile_seconds, sorted(step.run() for _ in range(steps)), step.flops, step.peak)


def time_steps_apart(config: RunConfig, steps: int) -> StepTiming:
    """`time_steps` on prepared data, in a process of its own: with its end the device is free for others."""
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(_time_prepared_steps, config, steps).result()


def _time_prepared_steps(config: RunConfig, steps: int) -> StepTiming:
    return time_steps(config, prepare_data(config.data, config.require), steps)
