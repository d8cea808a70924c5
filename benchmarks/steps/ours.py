"""The worker that makes our training step: python -m benchmarks.steps.ours CASE DTYPE FOLDER [PATH=VALUE …]"""

import pathlib
import sys

from benchmarks.steps.worker import serve


def make_step(config, folder: pathlib.Path):
    """(step, facts): from the weights in the folder."""
    import jax
    import jax.numpy as jnp

    from arch_zoo.flops import count_flops, peak_flops
    from arch_zoo.interop.huggingface import import_checkpoint
    from arch_zoo.training.optimizers import make_optimizer
    from arch_zoo.training.parallel import choose_devices, make_parallel
    from arch_zoo.training.state import TrainState
    from arch_zoo.training.step import make_train_step
    from benchmarks.steps.cases import random_batch

    batch = random_batch(config)
    parallel = make_parallel("jit", choose_devices(1), config.batch_size, config.accumulate)
    model = config.objective.build(config.model, config.model.vocab_size, config.dtype)
    optimizer = make_optimizer(config.optimizer, config.steps)
    parameters = jax.tree.map(jnp.asarray, import_checkpoint(folder).parameters)
    state = parallel.place_state(TrainState(jnp.zeros((), jnp.int32), parameters, optimizer.init(parameters)))
    body = make_train_step(config.objective, model, config.model.architecture.visibility, optimizer, seed=0,
                           accumulate=config.accumulate)
    placed = parallel.place_batch(batch)
    flops = count_flops(body, *jax.eval_shape(lambda s, b: (s, b), state, batch))
    compiled = parallel.compile_train(body).lower(state, placed).compile()

    def step() -> float:
        nonlocal state
        state, metrics = compiled(state, placed)
        return float(metrics["loss_sum"] / metrics["loss_weight"])

    memory = compiled.memory_analysis()
    return step, {"flops": flops, "peak_flops": peak_flops(parallel.devices),
                  "planned_bytes": memory.temp_size_in_bytes + memory.argument_size_in_bytes}


def main() -> None:
    """Read the command, then serve."""
    from benchmarks.steps.cases import find_case

    name, dtype, folder, *changes = sys.argv[1:]
    config = find_case(name).config(dtype, dict(change.split("=", 1) for change in changes))
    serve(lambda: make_step(config, pathlib.Path(folder)))


if __name__ == "__main__":
    main()
