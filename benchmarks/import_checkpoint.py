"""Reading a checkpoint of GPT-2 small's size: seconds and peak memory beside transformers, each in its own process.

Command: python -m benchmarks.import_checkpoint --config=configs/zoo.py:gpt2_small

Memory is the most that the process held (VmHWM, so Linux only), less what it held before the checkpoint was opened;
pages of the file that are mapped count. Each weight is read once, since a mapped file is otherwise not loaded at all.
"""

import json
import pathlib
import tempfile

from absl import flags

from arch_zoo.config import RunConfig
from benchmarks.conditions import python
from benchmarks.options import vocab_size
from benchmarks.table import publish, spread
from experiments import program

OUT = flags.DEFINE_string("out", None, "also write the table to this file")
READERS = {
    "arch_zoo": "import jax\nfrom arch_zoo.interop.huggingface import import_checkpoint as read\n"
                "def touch(model): return sum(float(array.sum()) for array in jax.tree.leaves(model.parameters))",
    "transformers": "import torch, transformers; transformers.logging.set_verbosity_error(); "
                    "transformers.logging.disable_progress_bar(); "
                    "read = transformers.AutoModelForCausalLM.from_pretrained\n"
                    "def touch(model): return sum(float(array.sum()) for array in model.parameters())",
}
TIMED = """
import json, pathlib, sys, time
{reader}
def held(what):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(what))
before, began = held("VmRSS"), time.perf_counter()
touch(read(pathlib.Path(sys.argv[1])))
print(json.dumps({{"seconds": time.perf_counter() - began, "bytes": held("VmHWM") - before}}))
"""
REPEATS = 3


def main(config: RunConfig, arguments: list[str]) -> None:
    """Write a checkpoint of random weights, read it in turn."""
    import numpy as np

    from arch_zoo.interop.huggingface import export_checkpoint
    from arch_zoo.models.abstract import abstract_parameters
    from arch_zoo.tensor_files import flatten_tree, nest

    flat, rng = flatten_tree(abstract_parameters(config.model, vocab_size(config))), np.random.default_rng(0)
    size = sum(leaf.size for leaf in flat.values())
    with tempfile.TemporaryDirectory() as folder:
        parameters = nest({path: rng.standard_normal(leaf.shape, np.float32) for path, leaf in flat.items()})
        export_checkpoint(pathlib.Path(folder), config.model, parameters)
        runs = {name: [] for name in READERS}
        for _ in range(REPEATS):
            for name, reader in READERS.items():
                runs[name].append(measure(name, reader, folder))
    rows = [[name, f"{min(run['seconds'] for run in found):.2f}", f"{max(run['bytes'] for run in found) / 1e6:.0f}",
             f"{max(run['bytes'] for run in found) / (4 * size):.2f}"] for name, found in runs.items()]
    publish(f"Reading a checkpoint of {size:,} parameters, {4 * size / 1e6:.0f} MB in float32",
            ["reader", f"seconds, best of {REPEATS}", "peak MB", "peak / size"], rows, OUT.value,
            numbers={name: spread([run["seconds"] for run in found]) for name, found in runs.items()},
            libraries=("torch", "transformers"))


def measure(name: str, reader: str, folder: str) -> dict[str, float]:
    """Seconds and bytes of one reading in a process of its own."""
    said = python(TIMED.format(reader=reader), f"{name} could not read it", folder)
    return json.loads(said.splitlines()[-1])


if __name__ == "__main__":
    program.run(main, __doc__, RunConfig)
