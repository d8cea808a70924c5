"""Our training step beside transformers' on torch, eager and compiled, at equal shapes, in one run, as ratios.

    python -m benchmarks.train_step                                    # three families, 4 × 256, on CPU
    python -m benchmarks.train_step --model=gpt2_small --dtype=bfloat16 --device=gpu
    python -m benchmarks.train_step --beside=../before                 # what a change gave: another checkout of this
    python -m benchmarks.train_step --rehearse --rounds=1 --steps=1    # every case, so small that any CPU computes it

All begin from the same weights and take the same batch; that their losses agree is looked at. Each has a process of its
own and all cores. On a CPU they take turns, a few steps at a time, so that a slow moment of the machine strikes all; on
a GPU each has the card for itself, one after another. One that fails is named with its reason, and the others go on.
Ours runs under the environment that the programs set; "our malloc" is eager torch under the same settings. "In 4
parts" is ours with accumulate=4: the same gradient of the same batch, a quarter at a time; torch's step could
be cut by hand, too.
Memory is on a GPU the card's: ours since the process began, compilation included, torch's that of the steps.
"""

import pathlib
import tempfile

from absl import flags

from arch_zoo.errors import UserError
from benchmarks.conditions import device_elsewhere
from benchmarks.options import changes
from benchmarks.steps.cases import CASES, ON_CPU, ON_GPU, SMALL, Case, find_case, measured, random_batch
from benchmarks.steps.plot import draw
from benchmarks.steps.worker import Contender, take_turns
from benchmarks.table import footnote, median, publish, reason_of
from experiments import program
from experiments.environment import fast_environment, heed_flag

MODEL = flags.DEFINE_list("model", None, f"cases: {', '.join(CASES)}; default: {', '.join(ON_CPU)} on CPU, "
                                         f"{', '.join(ON_GPU)} on a GPU, and with --rehearse all")
DTYPE = flags.DEFINE_enum("dtype", None, ["float32", "bfloat16"], "type of activations; default: float32 on CPU, "
                                                                  "bfloat16 on a GPU")
DEVICE = flags.DEFINE_enum("device", "cpu", ["cpu", "gpu"], "where")
PEERS = flags.DEFINE_multi_enum("peer", None, ["parts", "eager", "malloc", "compiled"],
                                "what stands beside ours; parts: ours with the batch in parts, which saves memory, and "
                                "malloc: eager with our malloc settings, both on CPU only; default: all four, and with "
                                "--beside none")
BESIDE = flags.DEFINE_string("beside", None, "folder of another checkout of this project: its step stands beside ours")
ROUNDS = flags.DEFINE_integer("rounds", 5, "turns of each", lower_bound=1)
STEPS = flags.DEFINE_integer("steps", 4, "steps in a turn", lower_bound=1)
CHANGE = flags.DEFINE_multi_string("change", [], "PATH=VALUE: a field of our run, where the model stays the same")
REHEARSE = flags.DEFINE_bool("rehearse", False, "smallest sizes: shows that each case runs, and measures nothing")
OUT = flags.DEFINE_string("out", "runs/train_step.md", "write the table to this file, and a plot (.png) and the "
                                                       "numbers (.json) beside it")
_TITLES = {"parts": "arch_zoo, in {} parts", "eager": "torch eager", "malloc": "torch eager, our malloc",
           "compiled": "torch.compile"}


def main(arguments: list[str]) -> int | None:
    """One row for each case and contender."""
    if BESIDE.value is not None and not (pathlib.Path(BESIDE.value) / "benchmarks/steps/ours.py").is_file():
        raise UserError(f"--beside={BESIDE.value}: no checkout of this project; benchmarks/steps/ours.py is not in it")
    program.leave_devices_to_others()
    on_gpu = DEVICE.value == "gpu"
    dtype = DTYPE.value or ("bfloat16" if on_gpu else "float32")
    names = MODEL.value or (CASES if REHEARSE.value else ON_GPU if on_gpu else ON_CPU)
    configs = {name: find_case(name).config(dtype, _sizes()) for name in names}
    for name in configs:
        CASES[name].config(dtype, _sizes() | changes(CHANGE))  # a field that there is not is said at once
    device = _gpu() if on_gpu else "cpu"
    found = {name: measure(name, config, dtype) for name, config in configs.items()}
    notes: list[str] = []
    rows = [row for name, case in found.items() for row in _rows(CASES[name], case, device, dtype, notes)]
    publish(f"Training step beside transformers, {dtype}" + (", a rehearsal" if REHEARSE.value else ""), [
        "model", "run by", "ms a step (median)", "range", "k tokens/s", "ours is faster", "peak MB", "ours / theirs",
        "MFU", "executed", "wanted of ours"], rows, OUT.value, notes, found, device, ("torch", "transformers"))
    whole = {CASES[name].title: done for name, case in found.items()
             if (done := [one for one in case.values() if "failure" not in one]) and "failure" not in case["ours"]}
    if whole:
        draw(whole, pathlib.Path(OUT.value).with_suffix(".png"))
    return program.FAILED if any("failure" in one for case in found.values() for one in case.values()) else None


def _gpu() -> str:
    try:
        return device_elsewhere("cuda")[0]
    except UserError as error:
        raise UserError(f"--device=gpu: {error}; a JAX for CUDA and a GPU are needed, or --device=cpu") from None


def _sizes() -> dict[str, object]:
    return SMALL if REHEARSE.value else {}


def measure(name: str, config, dtype: str) -> dict[str, dict]:
    """{"ours", peers: what each said}; "failure" says why one did not, or does not compute the same."""
    with tempfile.TemporaryDirectory() as folder:
        contenders = _contenders(name, dtype, folder)
        try:
            _write(config, folder)
        except Exception as error:  # the other cases are measured nevertheless
            return {key: {"title": one.title, "failure": reason_of(error)} for key, one in contenders.items()}
        groups = [contenders] if DEVICE.value == "cpu" else [{key: one} for key, one in contenders.items()]
        found = {}
        for group in groups:
            found |= take_turns(group, ROUNDS.value, STEPS.value)
    for key, one in found.items():
        if "failure" in one:
            continue
        one["tokens"] = config.batch_size * config.data.length
        if reason := _other_loss(found["ours"], one, dtype):
            found[key] = {"title": one["title"], "failure": reason}
    return found


def _contenders(name: str, dtype: str, folder: str) -> dict[str, Contender]:
    on_gpu, fast = DEVICE.value == "gpu", fast_environment()
    platform = {"JAX_PLATFORMS": "cuda", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"} if on_gpu else \
        {"JAX_PLATFORMS": "cpu"}
    fields = [f"{path}={value}" for path, value in (_sizes() | changes(CHANGE)).items()]
    ours = ("benchmarks.steps.ours", [name, dtype, folder, *fields], fast | platform)
    found = {"ours": Contender("arch_zoo", *ours)}
    for peer in PEERS.value or ([] if BESIDE.value else _TITLES):
        if peer == "parts" and not on_gpu:
            parts = 2 if REHEARSE.value else 4  # a rehearsal's batch has only two
            found[peer] = Contender(_TITLES[peer].format(parts), ours[0], [*ours[1], f"accumulate={parts}"], ours[2])
        if peer == "malloc" and not on_gpu and (tunables := fast.get("GLIBC_TUNABLES")):
            found[peer] = Contender(_TITLES[peer], *_peer("eager", dtype, folder), {"GLIBC_TUNABLES": tunables})
        if peer in ("eager", "compiled"):
            found[peer] = Contender(_TITLES[peer], *_peer(peer, dtype, folder), {})
    if BESIDE.value is not None:
        found["beside"] = Contender(BESIDE.value, *ours, BESIDE.value)
    return found


def _peer(mode: str, dtype: str, folder: str) -> tuple[str, list[str]]:
    return "benchmarks.steps.peer", [mode, dtype, "cuda" if DEVICE.value == "gpu" else "cpu", folder]


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


def _other_loss(ours: dict, theirs: dict, dtype: str) -> str | None:
    if "failure" in ours:
        return None
    expected, found = ours["losses"][0], theirs["losses"][0]
    if abs(expected - found) <= (1e-3 if dtype == "float32" else 3e-2) * abs(found):
        return None
    return f"it does not compute the same: its first loss is {found:.5f}, and ours is {expected:.5f}"


def _rows(case: Case, found: dict[str, dict], device: str, dtype: str, notes: list[str]) -> list[list[str]]:
    rows, ours = [], found["ours"]
    for key, one in found.items():
        title = case.title if key == "ours" else ""
        if "failure" in one:
            rows.append([title, one["title"], f"failed {footnote(notes, one['failure'])}", *[""] * 8])
            continue
        seconds, values = one["seconds"], measured(found, key)
        faster, memory, mfu, executed = (form.format(values[name]) if name in values else "" for name, form in (
            ("faster", "{:.2f}×"), ("memory", "{:.2f}"), ("mfu", "{:.0%}"), ("executed", "{:.0%}")))
        wanted = "" if REHEARSE.value or "failure" in ours else case.verdicts(key, values, device, dtype)
        rows.append([title, one["title"], f"{1e3 * median(seconds):.0f}",
                     f"{1e3 * seconds[0]:.0f}–{1e3 * seconds[-1]:.0f}", f"{values['tokens'] / 1e3:.1f}", faster,
                     f"{one['peak_bytes'] / 1e6:.0f}", memory, mfu, executed, wanted])
    return rows


if __name__ == "__main__":
    program.run(main, __doc__, before=heed_flag)
