"""What a run needs, before anything runs: memory from XLA's analysis of the compiled step, speed, the largest batch.

Shapes alone are compiled; nothing of the model is allocated, unless steps are few and small enough to be timed.
"""

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any

import jax
from absl import logging

from arch_zoo.config import RunConfig
from arch_zoo.data.tokenizers import Vocabulary
from arch_zoo.errors import UserError, out_of_memory
from arch_zoo.flops import count_flops, model_flops, peak_flops
from arch_zoo.layers.placement import with_members
from arch_zoo.machine import free_memory
from arch_zoo.training.batches import example_batch
from arch_zoo.training.parallel import choose_devices, make_parallel
from arch_zoo.training.setup import Setup
from arch_zoo.training.timing import stepper

_SPARE = 0.05     # share of the memory that stays free: allocators leave gaps
_COMPILATIONS = 4  # to confirm the largest batch, besides the two that the line is drawn through
_AT_ONCE = 64     # and no batch beyond so many times the config's is looked for
_TIMED_STEPS, _TIMED_SECONDS = 5, 10.0  # so many steps are timed if they will take no longer than this


@dataclasses.dataclass(frozen=True)
class StepMemory:
    """Bytes that one device holds while a step runs, at its peak."""

    parameters: int
    optimizer: int
    batch: int
    within: int      # of activations, gradients and all else that lives within a step only

    @property
    def state(self) -> int:
        return self.parameters + self.optimizer

    @property
    def step(self) -> int:
        """What the step needs."""
        return self.state + self.batch + self.within

    @property
    def run(self) -> int:
        """What the run needs: while a checkpoint is written its state is there twice."""
        return self.step + self.state


@dataclasses.dataclass(frozen=True)
class Plan:
    """The answers of `make_plan`. Memory is of one device, or of all where they share it.

    `room` bytes of it are there for the run, as `source` says. Of several members, trained as one program, all numbers
    are of them together; batches are of each.
    """

    config: RunConfig
    members: int
    devices: int
    mesh: str              # the axes along which the devices stand; "" for a single one
    device: str
    shared: bool           # whether the devices share the memory: then it is that of all of them
    parameters: int        # how many numbers they are
    memory: StepMemory
    room: int
    source: str
    largest_batch: int     # 0: not even the smallest fits
    smallest_batch: int
    is_largest: bool       # whether a larger one is thought not to fit; else it was not looked for further
    model_flops: int
    executed_flops: int
    peak: float            # FLOP/s of all devices
    compile_seconds: float
    step_seconds: float | None  # None: not timed, see `why_untimed`
    why_untimed: str

    @property
    def fits(self) -> bool:
        return self.memory.run <= self.room

    @property
    def tokens_per_second(self) -> float:
        """Measured, or what the devices' peak allows at most."""
        tokens = self.members * self.config.batch_size * self.config.data.length
        return tokens / (self.step_seconds or self.executed_flops / self.peak)


def make_plan(config: RunConfig, vocabulary: Vocabulary, room: int | None = None, members: int = 1) -> Plan:
    """Compile the step of the run, or of so many as one program, and of other batches, and say what they need.

    `room` instead of what is free.
    """
    devices = choose_devices(config.devices)
    if room is None:
        room, source = _room(devices)
    else:
        source = "given"
    compiled = CompiledShapes(config, vocabulary, devices, members)

    def bytes_of(size: int) -> int:
        if size == config.batch_size:
            return compiled.memory.run
        return CompiledShapes(config.replace(batch_size=size), vocabulary, devices, members).memory.run

    unit = len(devices) // config.mesh.tensor * config.accumulate  # neighbours along `tensor` share their rows
    largest, is_largest = largest_batch(bytes_of, room, unit, config.batch_size)
    axes = compiled.parallel.mesh.shape.items()
    plan = Plan(config, members, devices=len(devices), mesh=",".join(f"{a}:{n}" for a, n in axes if n > 1),
                device=devices[0].device_kind, shared=shares_memory(devices),
                parameters=sum(leaf.size for leaf in jax.tree.leaves(compiled.state.parameters)),
                memory=compiled.memory, room=room, source=source, largest_batch=largest, smallest_batch=unit,
                is_largest=is_largest, model_flops=members * model_flops(config, vocabulary.size),
                executed_flops=compiled.flops, peak=peak_flops(devices), compile_seconds=compiled.seconds,
                step_seconds=None, why_untimed="")
    seconds, why = _timed(plan, compiled)
    return dataclasses.replace(plan, step_seconds=seconds, why_untimed=why)


def members_that_fit(config: RunConfig, vocabulary: Vocabulary, at_most: int, room: int | None = None) -> int:
    """How many runs like this one, of so many, have room in memory as one program: at least 1, that is for the run to
    find out. One run's need says how many to try; what is returned was compiled and fits.
    """
    devices = choose_devices(config.devices)
    room = _room(devices)[0] if room is None else room
    with with_members():  # kernels may need more then, of one run as well
        count = min(at_most, room // CompiledShapes(config, vocabulary, devices).memory.run)
        while count > 1:
            needed = _or_infinite(lambda members=count: CompiledShapes(config, vocabulary, devices, members).memory.run)
            if needed <= room:
                break
            count = min(count - 1, max(count // 2, int(room * count / needed)))
    return max(1, count)


def _or_infinite(bytes_of: Callable[[], int]) -> int | float:
    """What it says, and infinitely many where the compiler, which tries kernels out, itself runs out of memory."""
    try:
        return bytes_of()
    except Exception as error:
        if out_of_memory(error) is None:
            raise
        return math.inf


class CompiledShapes:
    """The training step of a config, or of so many members as one program, compiled for shapes alone."""

    def __init__(self, config: RunConfig, vocabulary: Vocabulary, devices: list[jax.Device], members: int = 1):
        """Where the compiler tries kernels out, as on accelerators, it may itself run out of memory."""
        self.config, self.vocabulary, self.members = config, vocabulary, members
        self.setup = Setup.without_data(config, vocabulary.size)
        self.alone = make_parallel(config.parallel, devices, config.batch_size, config.accumulate, config.mesh)
        self.parallel = self.alone if members == 1 else self.alone.together()
        logging.info("compiling the step for batch_size=%d", config.batch_size)
        batch = abstract_batch(config, vocabulary)
        state, batch, knobs = jax.eval_shape(lambda *one: tuple(map(self._joined, one)),
                                             jax.eval_shape(self.setup.initial_state, batch), batch, self.setup.knobs)
        self.state, placed = self.parallel.abstract(state), jax.eval_shape(self.parallel.place_batch, batch)
        step = self.parallel.compile_train(self.setup.step)
        self.flops = count_flops(step, self.state, placed, knobs)
        began = time.perf_counter()
        self.step = step.lower(self.state, placed, knobs).compile()
        self.seconds = time.perf_counter() - began
        self.memory = _memory(self.step.memory_analysis(), self.state, len(devices) if shares_memory(devices) else 1)

    def _joined(self, one: Any) -> Any:
        return self.parallel.join([one] * self.members)

    def run(self) -> Callable[[], float]:
        """Allocates the state and a made-up batch; each call makes a step and says how many seconds it took."""
        batch = example_batch(self.config, self.vocabulary, self.config.batch_size)
        state = self._joined(self.alone.make_state(self.setup.initial_state, batch))
        placed = self.parallel.place_batch(self.parallel.join_batches([batch] * self.members))
        return stepper(self.step, state, placed, self.parallel.place_knobs(self._joined(self.setup.knobs)))


def abstract_batch(config: RunConfig, vocabulary: Vocabulary) -> Any:
    """Shapes and types of the run's batches."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct((config.batch_size, *x.shape[1:]), x.dtype),
                        example_batch(config, vocabulary))


def shares_memory(devices: list[jax.Device]) -> bool:
    """Whether the devices take from the same memory: those that are simulated on a CPU."""
    return devices[0].platform == "cpu"


def _memory(found: Any, state: Any, sharing: int) -> StepMemory:
    """`found`: a CompiledMemoryStats, of one device; `sharing`: so many devices take from the memory that is meant."""
    parameters, optimizer = (sum(math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize
                                 for x in jax.tree.leaves(tree)) for tree in (state.parameters, state.optimizer_state))
    peak = (found.argument_size_in_bytes + found.output_size_in_bytes - found.alias_size_in_bytes
            + found.temp_size_in_bytes + found.generated_code_size_in_bytes)
    batch = max(0, found.argument_size_in_bytes - parameters - optimizer)
    return StepMemory(*(sharing * part for part in (parameters, optimizer, batch,
                                                    peak - parameters - optimizer - batch)))


def _room(devices: list[jax.Device]) -> tuple[int, str]:
    """(bytes for a run on each device, or on all where they share, how that is known)."""
    if not shares_memory(devices):
        stats = devices[0].memory_stats() or {}
        if "bytes_limit" in stats:
            return int(stats["bytes_limit"] * (1 - _SPARE)), f"{1 - _SPARE:.0%} of what JAX may take of the device's"
    found = free_memory()
    if found is None:
        raise UserError("--plan: neither the device nor the system says how much memory there is")
    return int(found[0] * (1 - _SPARE)), f"{1 - _SPARE:.0%} of what {found[1]}"


def largest_batch(bytes_of: Callable[[int], int], room: int, unit: int, known: int) -> tuple[int, bool]:
    """(the largest multiple of `unit` whose bytes fit in `room`, 0 for none; whether no larger one is thought to).

    `bytes_of(size)` is dear and nearly a line. One is drawn through `known`, a size in use, and another size, and what
    it says is tried out and mended; what is returned was tried and fits. At most `_AT_ONCE` times `known`.
    """
    first, most = known // unit, max(1, _AT_ONCE * known // unit)
    found: dict[int, int | float] = {}

    def measure(count: int) -> None:
        found[count] = _or_infinite(lambda: bytes_of(count * unit))

    measure(first)
    measure(first * 2 if found[first] <= room else max(1, first // 2))
    for _ in range(_COMPILATIONS):
        low, high = _between(found, room, most)
        by_line = _crossing(found, room)
        if high - low <= 1 or by_line == low:
            return low * unit, low < most
        measure(min(max(by_line, low + 1), high - 1))
    return _between(found, room, most)[0] * unit, False


def _between(found: dict[int, int | float], room: int, most: int) -> tuple[int, int]:
    """(the largest that was found to fit, or 0; the smallest that was found not to)."""
    return (max((count for count, needed in found.items() if needed <= room), default=0),
            min((count for count, needed in found.items() if needed > room), default=most + 1))


def _crossing(found: dict[int, int | float], room: int) -> int:
    """Where the line through the two finite measurements nearest to `room` reaches it."""
    finite = sorted((abs(needed - room), count) for count, needed in found.items() if math.isfinite(needed))
    if len(finite) < 2:
        return min(found) // 2
    (_, a), (_, b) = finite[:2]
    slope = (found[b] - found[a]) / (b - a)
    return math.floor(a + (room - found[a]) / slope) if slope > 0 else 2 * max(a, b)


def _timed(plan: Plan, compiled: CompiledShapes) -> tuple[float | None, str]:
    """(seconds of a step, the median, "") or (None, why it was not timed)."""
    likely = 4 * (_TIMED_STEPS + 2) * plan.executed_flops / plan.peak  # at a quarter of the peak
    if not plan.fits:
        return None, "it does not fit"
    if likely > _TIMED_SECONDS:
        return None, "timing it would take long"
    run = compiled.run()
    run(), run()
    return sorted(run() for _ in range(_TIMED_STEPS))[_TIMED_STEPS // 2], ""
