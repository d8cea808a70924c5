"""The worker that makes our training step: python -m benchmarks.steps.ours CASE DTYPE FOLDER [PATH=VALUE …]"""

import pathlib
import sys

from benchmarks.steps.worker import Made, serve


def make_step(name: str, dtype: str, folder: str, *changes: str) -> Made:
    """From the weights in the folder."""
    import jax
    import jax.numpy as jnp

    from arch_zoo.flops import count_flops, model_flops, peak_flops
    from arch_zoo.interop.huggingface import import_checkpoint
    from arch_zoo.machine import give_back_memory, peak_memory
    from arch_zoo.training.parallel import choose_devices, make_parallel
    from arch_zoo.training.setup import Setup
    from arch_zoo.training.state import TrainState
    from benchmarks.steps.cases import find_case, random_batch

    config = find_case(name).config(dtype, dict(change.split("=", 1) for change in changes))
    batch = random_batch(config)
    parallel = make_parallel("jit", choose_devices(1), config.batch_size, config.accumulate)
    setup = Setup.without_data(config, config.model.vocab_size)
    parameters = jax.tree.map(jnp.asarray, import_checkpoint(pathlib.Path(folder)).parameters)
    state = parallel.place_state(TrainState(jnp.zeros((), jnp.int32), parameters, setup.optimizer.init(parameters)))
    placed = parallel.place_batch(batch)
    flops = count_flops(setup.train_step(), *jax.eval_shape(lambda s, b: (s, b), state, batch))
    compiled = parallel.compile_train(setup.step).lower(state, placed, setup.knobs).compile()
    give_back_memory()  # as a run does

    def step() -> float:
        nonlocal state
        state, metrics = compiled(state, placed, setup.knobs)
        return float(metrics["loss_sum"] / metrics["loss_weight"])

    memory = compiled.memory_analysis()
    return Made(step, {"flops": flops, "model_flops": model_flops(config, config.model.vocab_size),
                       "peak_flops": peak_flops(parallel.devices), "device": parallel.devices[0].device_kind,
                       "planned_bytes": memory.temp_size_in_bytes + memory.argument_size_in_bytes},
                peak_bytes=lambda: peak_memory(parallel.devices))


if __name__ == "__main__":
    serve(lambda: make_step(*sys.argv[1:]))
