"""Memory of each of eight simulated devices by the size of `fsdp`: compiled from shapes, no array is made.

    python -m benchmarks.mesh_memory                 # LLaMA-2 7B with AdamW, rows of 2048 tokens, one on each device
    python -m benchmarks.mesh_memory --meshes='fsdp:8;fsdp:4,tensor:2' --config=configs/zoo.py:llama2_13b

The model reads plain text in place, as a causal LM does. State: parameters and what the optimizer keeps, which a step
is given and gives back in the same place. Temporaries: the most that XLA has at once besides, gradients included.
"""

import os
import time

from absl import flags

from arch_zoo.config import RunConfig
from arch_zoo.errors import UserError
from arch_zoo.settings import override
from benchmarks.table import publish
from experiments import program
from experiments.environment import restart_in_fast_environment

OUT = flags.DEFINE_string("out", None, "also write the table to this file")
MESHES = flags.DEFINE_string("meshes", "fsdp:1;fsdp:2;fsdp:4;fsdp:8;fsdp:4,tensor:2", "meshes, separated by semicolons")
DEVICES = flags.DEFINE_integer("simulated_devices", 8, "devices; the batch has a row for each", lower_bound=1)
VOCABULARY = flags.DEFINE_integer("vocabulary", 32_000, "rows of the embedding, where the config has none",
                                  lower_bound=1)
_GIB = 2**30


def main(config: RunConfig, arguments: list[str]) -> None:
    """Compile the step for each mesh, and print what XLA says of its memory."""
    simulated = f"--xla_force_host_platform_device_count={DEVICES.value}"
    if simulated not in os.environ.get("XLA_FLAGS", ""):
        os.environ |= {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {simulated}".strip(), "JAX_PLATFORMS": "cpu"}
    restart_in_fast_environment()
    meshes = [override(config, {"mesh": text}).mesh for text in MESHES.value.split(";")]
    rows = []
    for mesh in meshes:
        parameters, memory, seconds = _compiled(config, mesh)
        sizes = (memory.argument_size_in_bytes, memory.temp_size_in_bytes)
        rows.append([str(mesh) or "whole", *(f"{size / _GIB:.2f}" for size in (*sizes, sum(sizes))), f"{seconds:.0f}"])
    publish(f"{parameters / 1e9:.2f} billion parameters on {DEVICES.value} devices, rows of {config.data.length}",
            ["mesh", "state GiB", "temporaries GiB", "together GiB", "compiling s"], rows, OUT.value)


def _compiled(config: RunConfig, mesh) -> tuple[int, object, float]:
    """(parameters, XLA's analysis of the memory of one device, seconds to compile)."""
    import jax
    import numpy as np

    from arch_zoo.models.architecture import make_batch, make_stream
    from arch_zoo.training.parallel import choose_devices, make_parallel
    from arch_zoo.training.setup import Setup

    architecture = config.model.architecture
    if architecture.stacks > 1:
        raise UserError(f"model.architecture={architecture.name} reads two streams; this benchmark makes one")
    setup = Setup.without_data(config, config.model.vocab_size or VOCABULARY.value)
    tokens = np.zeros((config.batch_size, config.data.length), np.int32)
    batch = make_batch(make_stream(tokens, np.ones_like(tokens), tokens), None, tokens, tokens, tokens,
                       np.arange(config.batch_size), config.data.length)
    parallel = make_parallel("jit", choose_devices(DEVICES.value), config.batch_size, config.accumulate, mesh)
    state = jax.eval_shape(setup.initial_state, batch)
    began = time.perf_counter()
    compiled = parallel.compile_train(setup.step).lower(parallel.abstract(state), batch, setup.knobs).compile()
    return (sum(leaf.size for leaf in jax.tree.leaves(state.parameters)), compiled.memory_analysis(),
            time.perf_counter() - began)


def load(source: str | None, overrides: dict[str, str], config_class: type) -> RunConfig:
    """As a loop that computes blocks again, unless told otherwise: it compiles fast, and is what such sizes need."""
    usual = {"model.scan": "True", "model.remat": "True", "dtype": "bfloat16", "data.length": "2048",
             "batch_size": str(DEVICES.value)}
    return program.load_config(source, usual | overrides, config_class)


if __name__ == "__main__":
    program.run(main, __doc__, RunConfig, load=load, default_config=lambda: "configs/zoo.py:llama2_7b")
