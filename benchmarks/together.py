"""What several runs cost as one program: the time of a step of S members, as a multiple of one run's.

    python -m benchmarks.together                                          # 4 × 256 on CPU
    python -m benchmarks.together --dtype=bfloat16 --members=1,2,4,8,16
    python -m benchmarks.together --change=model.width=64 --change=batch_size=4

Groups take turns, a few steps at a time. The members differ in seed; each draws its own parameters.
"""

from absl import flags

from benchmarks.options import changes, whole_numbers
from benchmarks.steps.cases import find_case, random_batch
from benchmarks.table import median, publish, spread
from experiments import program
from experiments.environment import restart_in_fast_environment

MODEL = flags.DEFINE_string("model", "decoder", "a case of benchmarks.train_step")
MEMBERS = flags.DEFINE_list("members", ["1", "2", "4", "8"], "how many runs, the first the one that others are held to")
DTYPE = flags.DEFINE_enum("dtype", "float32", ["float32", "bfloat16"], "type of activations")
CHANGE = flags.DEFINE_multi_string("change", [], "PATH=VALUE: a field of the runs")
ROUNDS = flags.DEFINE_integer("rounds", 5, "turns of each group", lower_bound=1)
STEPS = flags.DEFINE_integer("steps", 3, "timed steps in a turn", lower_bound=1)
OUT = flags.DEFINE_string("out", None, "also write the table to this file")


def main(arguments: list[str]) -> None:
    """One row for each size of group."""
    config = find_case(MODEL.value).config(DTYPE.value, changes(CHANGE))
    groups = {count: make_step(config, count) for count in whole_numbers(MEMBERS)}
    seconds: dict[int, list[float]] = {count: [] for count in groups}
    for _ in range(ROUNDS.value):
        for count, step in groups.items():
            step()  # what others have pushed out of the caches comes back
            seconds[count] += [step() for _ in range(STEPS.value)]
    one, tokens, rows = None, config.batch_size * config.data.length, []
    for count, found in seconds.items():
        middle = median(sorted(found))
        one = one or middle / count
        rows.append([str(count), f"{1e3 * middle:.1f}", f"{middle / one:.2f}×", f"{count * one / middle:.2f}×",
                     f"{count * tokens / middle / 1e3:.1f}"])
    publish(f"Runs as one program, {find_case(MODEL.value).title}, {config.batch_size} × {config.data.length}, "
            f"{DTYPE.value}", ["runs", "ms a step of all", "of one run's time", "work for the time",
                               "k tokens/s of all"], rows, OUT.value,
            numbers={count: spread(found) for count, found in seconds.items()})


def make_step(config, count: int):
    """`step()` -> its seconds."""
    import time

    import jax

    from arch_zoo.training.parallel import choose_devices, make_parallel
    from arch_zoo.training.setup import Setup

    setups = [Setup.without_data(config.replace(seed=seed), config.model.vocab_size) for seed in range(count)]
    parallel = make_parallel("jit", choose_devices(1), config.batch_size, 1)
    parallel = parallel.together() if count > 1 else parallel
    batch = random_batch(config)
    state = parallel.place_state(parallel.join([jax.jit(one.initial_state)(batch) for one in setups]))
    batches = parallel.place_batch(parallel.join_batches([batch] * count))
    knobs = parallel.place_state(parallel.join([one.knobs for one in setups]))
    compiled = parallel.compile_train(setups[0].step).lower(state, batches, knobs).compile()

    def step() -> float:
        nonlocal state
        began = time.perf_counter()
        state, metrics = compiled(state, batches, knobs)
        jax.block_until_ready(metrics)
        return time.perf_counter() - began

    step()
    return step


if __name__ == "__main__":
    program.run(main, __doc__, before=restart_in_fast_environment)
