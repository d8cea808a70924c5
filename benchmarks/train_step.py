"""Our training step beside transformers' on torch, eager and compiled, at equal shapes, in one run, as ratios.

    python -m benchmarks.train_step                                    # three families, 4 × 256, on CPU
    python -m benchmarks.train_step --model=gpt2_small --dtype=bfloat16 --device=gpu
    python -m benchmarks.train_step --beside=../before                 # what a change gave: another checkout of this

All begin from the same weights and take the same batch; that their losses agree is looked at first. Each has a process
of its own and all cores, and they take turns, a few steps at a time, so that a slow moment of the machine strikes all.
Ours runs under the environment that the programs set; "with our malloc" is eager torch under the same settings.
"""

import contextlib
import pathlib
import tempfile

from absl import flags

from arch_zoo.errors import UserError
from benchmarks.steps.cases import CASES, ON_CPU, ON_GPU, Case, find_case, random_batch
from benchmarks.steps.plot import draw
from benchmarks.steps.worker import Worker
from benchmarks.table import publish
from experiments import program
from experiments.environment import fast_environment

MODEL = flags.DEFINE_list("model", None, f"cases: {', '.join(CASES)}; default: {', '.join(ON_CPU)} on CPU, "
                                         f"{', '.join(ON_GPU)} on a GPU")
DTYPE = flags.DEFINE_enum("dtype", None, ["float32", "bfloat16"], "type of activations; default: float32 on CPU, "
                                                                  "bfloat16 on a GPU")
DEVICE = flags.DEFINE_enum("device", "cpu", ["cpu", "gpu"], "where")
PEERS = flags.DEFINE_multi_enum("peer", None, ["eager", "malloc", "compiled"],
                                "what stands beside ours; malloc: eager with our malloc settings, on CPU only; "
                                "default: all three, and with --beside none")
BESIDE = flags.DEFINE_string("beside", None, "folder of another checkout of this project: its step stands beside ours")
ROUNDS = flags.DEFINE_integer("rounds", 5, "turns of each", lower_bound=1)
STEPS = flags.DEFINE_integer("steps", 4, "steps in a turn", lower_bound=1)
CHANGE = flags.DEFINE_multi_string("change", [], "PATH=VALUE: a field of our run, where the model stays the same")
OUT = flags.DEFINE_string("out", None, "also write the table to this file, a plot (.png) and the numbers (.json) "
                                       "beside it")
_TITLES = {"eager": "torch eager", "malloc": "torch eager, our malloc", "compiled": "torch.compile"}


def main(arguments: list[str]) -> None:
    """One row for each case and contender."""
    if BESIDE.value is not None and not (pathlib.Path(BESIDE.value) / "benchmarks/steps/ours.py").is_file():
        raise UserError(f"--beside={BESIDE.value}: no checkout of this project; benchmarks/steps/ours.py is not in it")
    dtype = DTYPE.value or ("float32" if DEVICE.value == "cpu" else "bfloat16")
    found = {name: measure(name, find_case(name), dtype) for name in MODEL.value or
             (ON_CPU if DEVICE.value == "cpu" else ON_GPU)}
    rows = [row for name, workers in found.items() for row in _rows(CASES[name], workers)]
    publish(f"Training step beside transformers, {dtype}", ["model", "run by", "ms a step (median)", "range",
            "k tokens/s", "ours is faster", "peak MB", "ours / theirs", "of peak FLOP/s"], rows, OUT.value,
            numbers=found)
    if OUT.value:
        draw({CASES[name].title: workers for name, workers in found.items()},
             pathlib.Path(OUT.value).with_suffix(".png"))


def measure(name: str, case: Case, dtype: str) -> list[dict]:
    """What each contender said, ours first; UserError where they do not compute the same."""
    config = case.config(dtype)
    device = {"cpu": "cpu", "gpu": "cuda"}[DEVICE.value]
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        _write(config, folder)
        fast, workers = fast_environment(), []
        platform = {} if DEVICE.value == "gpu" else {"JAX_PLATFORMS": "cpu"}
        ours = ("benchmarks.steps.ours", [name, dtype, folder, *CHANGE.value], fast | platform)
        peers = {peer: ("benchmarks.steps.peer", ["compiled" if peer == "compiled" else "eager", dtype, device, folder],
                        {"GLIBC_TUNABLES": fast["GLIBC_TUNABLES"]} if peer == "malloc" else {})
                 for peer in _peers() if peer != "malloc" or DEVICE.value == "cpu"}
        contenders = {"arch_zoo": ours, **{_TITLES[peer]: peers[peer] for peer in peers}}
        if BESIDE.value is not None:
            contenders[BESIDE.value] = (*ours, BESIDE.value)
        for title, arguments in contenders.items():
            workers.append(Worker(title, *arguments))
            stack.callback(workers[-1].close)
        _require_same_losses(workers, dtype)
        for _ in range(ROUNDS.value):
            for worker in workers:
                worker.steps(STEPS.value)
        tokens = config.batch_size * config.data.length
        return [{"title": worker.title, "tokens": tokens, "seconds": sorted(worker.seconds), **worker.facts}
                for worker in workers]


def _peers() -> list[str]:
    return PEERS.value or ([] if BESIDE.value else list(_TITLES))


def _write(config, folder: str) -> None:
    """Weights and batch, as the peer reads them."""
    import numpy as np

    from arch_zoo.interop.huggingface import export_checkpoint
    from arch_zoo.models.abstract import abstract_parameters
    from arch_zoo.tensor_files import flatten_tree, nest

    rng, path = np.random.default_rng(0), pathlib.Path(folder)
    flat = flatten_tree(abstract_parameters(config.model, config.model.vocab_size))
    weights = {name: 0.02 * rng.standard_normal(leaf.shape, np.float32) + name.endswith("scale")
               for name, leaf in flat.items()}
    export_checkpoint(path, config.model, nest(weights))
    batch = random_batch(config)
    targets = np.full(batch.stream.tokens.shape, -100)
    where = np.where(batch.loss_weights > 0, batch.targets, -100)
    if batch.loss_positions is None:
        targets = where
    else:
        np.put_along_axis(targets, batch.loss_positions, where, axis=1)
    two = batch.source is not None
    inputs = {"input_ids": (batch.source if two else batch.stream).tokens,
              **({"decoder_input_ids": batch.stream.tokens} if two else {}), "targets": targets}
    np.savez(path / "batch.npz", **inputs)


def _require_same_losses(workers: list[Worker], dtype: str) -> None:
    ours = workers[0].facts["losses"][0]
    for worker in workers[1:]:
        theirs = worker.facts["losses"][0]
        if abs(ours - theirs) > (1e-3 if dtype == "float32" else 3e-2) * abs(theirs):
            raise UserError(f"{worker.title} does not compute the same: its first loss is {theirs:.5f}, and ours is "
                            f"{ours:.5f}")


def _rows(case: Case, workers: list[dict]) -> list[list[str]]:
    rows, ours = [], workers[0]
    for worker in workers:
        middle = median(worker)
        first = worker is ours
        rows.append([
            case.title if first else "", worker["title"], f"{1e3 * middle:.0f}",
            f"{1e3 * worker['seconds'][0]:.0f}–{1e3 * worker['seconds'][-1]:.0f}",
            f"{worker['tokens'] / middle / 1e3:.1f}", "" if first else f"{middle / median(ours):.2f}×",
            f"{worker['peak_bytes'] / 1e6:.0f}",
            "" if first else f"{ours['peak_bytes'] / worker['peak_bytes']:.2f}",
            f"{ours['flops'] / middle / ours['peak_flops']:.0%}" if first else ""])
    return rows


def median(worker: dict) -> float:
    """Seconds of a step."""
    return worker["seconds"][len(worker["seconds"]) // 2]


if __name__ == "__main__":
    program.run(main, __doc__)
