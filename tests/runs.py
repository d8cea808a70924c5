"""Programs as processes: a small corpus, the command of a tiny run, and what such a run leaves behind."""

import contextlib
import json
import pathlib
import random
import select
import signal
import subprocess
import sys
import tempfile

import jax
import numpy as np
import orbax.checkpoint as ocp

from arch_zoo.config import RunConfig
from arch_zoo.data.prepare import prepare_data
from arch_zoo.files import cache_directory, read_json, write_json_atomic, write_text_atomic
from arch_zoo.settings import override
from arch_zoo.training import loop
from arch_zoo.training.layout import RESULT_FILE
from arch_zoo.training.setup import Setup
from arch_zoo.training.starting import write_given_parameters
from arch_zoo.training.workdir import claim, write_environment
from experiments.environment import fast_environment
from tests.toy import drawn
from tests.xla import QUICK_TO_COMPILE, simulated_devices

ROOT = pathlib.Path(__file__).parent.parent
TINY = {"model.depth": 1, "model.width": 16, "model.heads": 2, "model.activation": "relu", "data.length": 16,
        "data.tokenizer.vocab_size": 340, "data.tokenizer.sentinels": 8, "batch_size": 8, "steps": 24,
        "optimizer.warmup_steps": 2, "log_every": 5, "evaluate_every": 6, "evaluate_batches": 2, "checkpoint_every": 8}
# For `many`: what a config needs, what nearly every training imports, and what programs do that ask a trained run.
VARIANTS = ("arch_zoo.models", "arch_zoo.objectives")
TRAINING = ("arch_zoo.training.loop", "arch_zoo.training.metrics:event_writer", "experiments.studies.plan",
            "jaxlib.mlir.dialects.mhlo", "arch_zoo.models.single_stack", "arch_zoo.objectives.masked_lm")
ASKING = ("arch_zoo.training.trained", "arch_zoo.training.checkpoints", "arch_zoo.fine_tuning.seeds",
          "arch_zoo.tasks.base", "arch_zoo.generation.texts", "jaxlib.mlir.dialects.mhlo", "rich.console",
          "arch_zoo.models.single_stack", "arch_zoo.objectives.masked_lm")
TIMING = {"train/tokens_per_second", "train/flop_utilisation", "train/executed_flop_utilisation",
          "train/data_wait_share", "train_seconds", "compile_seconds", "seconds", "peak_memory_bytes"}


def write_corpus(path: pathlib.Path, documents: int = 400) -> pathlib.Path:
    """Text of made-up words, always the same."""
    rng = random.Random(0)
    words = [a + b for a in "ba de ki lo mu ra sen tor vi wen".split() for b in "ka lin mo na pi ros tu".split()]
    text = "\n\n".join(" ".join(rng.choices(words, k=rng.randint(8, 40))) + "." for _ in range(documents))
    write_text_atomic(path, text)
    return path


def tiny_flags(corpus: pathlib.Path, workdir: pathlib.Path, **changes) -> list[str]:
    """Flags of a run of a second or two; `changes` by dotted path, with `__` for the dot. Tests share what it caches.
    """
    cache = cache_directory(None) / "test_runs"
    values = TINY | {"data.corpus": corpus, "data.cache_dir": cache}
    values |= {name.replace("__", "."): value for name, value in changes.items()}
    return [f"--workdir={workdir}", *(f"--config.{name}={value}" for name, value in values.items())]


def environment(devices: int = 1) -> dict[str, str]:
    """What a program sets for itself, so that it needs no second start, with so many simulated devices."""
    flags = [*QUICK_TO_COMPILE, "--xla_cpu_prefer_vector_width=512", simulated_devices(devices)]
    return fast_environment() | {"XLA_FLAGS": " ".join(flags), "PYTHONPATH": str(ROOT)}


def start(arguments: list[str], devices: int = 1, **options) -> subprocess.Popen:
    """Start Python with these arguments; its output is piped as text."""
    return subprocess.Popen([sys.executable, *arguments], cwd=ROOT, env=environment(devices), text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


@contextlib.contextmanager
def heard_ctrl_c():
    """What is started meanwhile hears of Ctrl-C, which a background job of a shell ignores, and what it starts too.

    A handler is not inherited, being ignored is; a preexec_fn would fork beside JAX's threads.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def finish(process: subprocess.Popen, timeout: float = 600) -> subprocess.CompletedProcess:
    """Wait for a process, and collect what it wrote."""
    try:
        out, err = process.communicate(timeout=timeout)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def train(flags: list[str], devices: int = 1) -> subprocess.CompletedProcess:
    """Run experiments.train to its end."""
    return finish(start(["-m", "experiments.train", *flags], devices))


def trained(corpus: pathlib.Path | str, workdir: pathlib.Path, **changes) -> pathlib.Path:
    """The directory of a tiny run, trained in this process, for tests of what comes after it.

    `changes` are those of `tiny_flags`.
    """
    config = _tiny_run(corpus, changes)
    with claim(workdir, config):
        write_json_atomic(workdir / RESULT_FILE, loop.train(config, prepare_data(config.data, config.require), workdir))
    return workdir


def untrained(corpus: pathlib.Path | str, workdir: pathlib.Path, **changes) -> pathlib.Path:
    """As `trained`, for tests to which one such run is as good as another: its parameters are drawn, and given to it.
    """
    config = _tiny_run(corpus, changes)
    data = prepare_data(config.data, config.require)
    setup = Setup.of(config, data)
    shapes = jax.eval_shape(setup.initial_state, setup.train.batch_at(0)).parameters
    with claim(workdir, config):
        write_environment(workdir, data)
        write_given_parameters(workdir, jax.tree.map(np.asarray, drawn(shapes, 0.02)))
    return workdir


def _tiny_run(corpus: pathlib.Path | str, changes: dict) -> RunConfig:
    cache = cache_directory(None) / "test_runs"
    values = TINY | {"data.corpus": str(corpus), "data.cache_dir": str(cache), "devices": 1}
    return override(RunConfig(), values | {name.replace("__", "."): value for name, value in changes.items()})


def final_state(workdir: pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays of the newest checkpoint, by path."""
    steps = [int(path.name) for path in (workdir / "checkpoints").iterdir() if path.name.isdigit()]
    where = workdir.absolute() / "checkpoints" / str(max(steps)) / "state"
    with ocp.PyTreeCheckpointer() as checkpointer:
        metadata = checkpointer.metadata(where).item_metadata.tree
        as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), metadata)
        state = checkpointer.restore(where, ocp.args.PyTreeRestore(restore_args=as_numpy))
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(state)}


def lasting(record: dict) -> dict:
    """A line of metrics, or a result, without what the clock wrote."""
    return {name: value for name, value in record.items() if name not in TIMING}


def metrics_of(workdir: pathlib.Path) -> list[dict]:
    """All lines of metrics.jsonl, without timings."""
    return [lasting(json.loads(line)) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def assert_same_run(a: pathlib.Path, b: pathlib.Path) -> None:
    """Bitwise the same final state and metrics, and the same result."""
    first, second = final_state(a), final_state(b)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    assert metrics_of(a) == metrics_of(b)
    assert lasting(read_json(a / "result.json")) == lasting(read_json(b / "result.json"))


class Forking:
    """A process of tests.many that has imported `preload` and forks for each command, as long as this one lives.

    `code`: the directory from which it imports.
    """

    def __init__(self, environment: dict[str, str], code: pathlib.Path = ROOT):
        self._err = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen([sys.executable, "-m", "tests.many"], cwd=code, env=environment, text=True,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._err)

    def run(self, task: dict, timeout: float = 600) -> list[dict]:
        """What tests.many answers; AssertionError with its last words where it ended instead."""
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], timeout)
        answer = self._process.stdout.readline() if ready else ""
        if not answer:
            self.end()
            self._err.seek(0)
            raise AssertionError(self._err.read() or f"no answer within {timeout} s")
        return json.loads(answer)

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


_KEPT = 3  # processes that wait for further commands of the same kind; each has a few hundred MB
_forking: dict[tuple, Forking] = {}  # the one that was used last is the last


def many(commands: list[tuple[str, list[str]]], preload: tuple[str, ...] = (), devices: int = 1) -> list[dict]:
    """Run (module, arguments) each in a fork of one process; see tests/many.py for what comes back.

    The process is kept: whoever wants the same preloaded, in the same environment, has it without another import.
    """
    variables = environment(devices)
    key = preload, tuple(sorted((name, value) for name, value in variables.items() if name != "PYTEST_CURRENT_TEST"))
    server = _forking.pop(key, None) or Forking(variables)
    answer = server.run({"preload": preload, "commands": [{"module": m, "arguments": a} for m, a in commands]})
    _forking[key] = server
    while len(_forking) > _KEPT:
        _forking.pop(next(iter(_forking))).end()
    return answer


def assert_one_line(ended, message, code=None):
    """The process failed, and said so in one line that has all of the parts of `message`."""
    assert ended["err"].count("\n") == 1 and ended["err"].endswith("\n"), ended["err"]
    for part in message if isinstance(message, tuple) else (message,):
        assert part in ended["err"]
    assert ended["code"] in ((1, 2) if code is None else (code,))
