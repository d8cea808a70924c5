"""One training from its config: builds, resumes, trains, evaluates, saves."""

import dataclasses
import pathlib
import resource
import signal
import time
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import optax
from absl import logging

from arch_zoo.config import RunConfig
from arch_zoo.data.pipeline import Prefetcher
from arch_zoo.data.prepare import Data
from arch_zoo.errors import Interrupted, NotFinite, UserError
from arch_zoo.flops import count_flops, peak_flops
from arch_zoo.layers.visibility import Visibility
from arch_zoo.training import processes
from arch_zoo.training import workdir as workdirs
from arch_zoo.training.batches import Batches, evaluation_batches, training_batches
from arch_zoo.training.checkpoints import Checkpoints
from arch_zoo.training.metrics import MetricsWriter, NoMetrics, Progress, part_values
from arch_zoo.training.optimizers import make_optimizer, make_schedule
from arch_zoo.training.parallel import Parallel, choose_devices, make_parallel
from arch_zoo.training.starting import starting_parameters
from arch_zoo.training.state import TrainState, initialise
from arch_zoo.training.step import make_evaluation_step, make_train_step


def build_model(config: RunConfig, vocab_size: int) -> nn.Module:
    """The Linen module of a run; `vocab_size` is the tokenizer's."""
    rows = config.model.vocab_size or vocab_size
    if rows < vocab_size:
        raise UserError(f"model.vocab_size={rows} is smaller than the tokenizer's {vocab_size}")
    return config.objective.build(config.model, rows, config.dtype)


@dataclasses.dataclass
class Setup:
    """Everything that a config and its data determine before the first step."""

    config: RunConfig
    data: Data
    model: nn.Module
    visibility: Visibility
    optimizer: optax.GradientTransformation
    train: Batches
    evaluation: Batches

    @classmethod
    def of(cls, config: RunConfig, data: Data) -> "Setup":
        config.require(data.tokenizer)
        return cls(config, data, build_model(config, data.tokenizer.vocabulary.size),
                   config.model.architecture.visibility, make_optimizer(config.optimizer, config.steps),
                   training_batches(config, data), evaluation_batches(config, data))

    def train_step(self):
        """The pure training step."""
        return make_train_step(self.config.objective, self.model, self.visibility, self.optimizer,
                               seed=self.config.seed, accumulate=self.config.accumulate)

    def initial_state(self, batch: Any) -> TrainState:
        """The state before the first step, from a batch that only gives shapes."""
        return initialise(self.model, self.optimizer, batch, self.visibility, self.config.seed)


def train(config: RunConfig, data: Data, workdir: pathlib.Path, label: str = "") -> dict[str, Any]:
    """Train, or go on training, in a claimed directory; returns what `result.json` says of the training.

    Raises UserError where the loss stops being finite, Interrupted when asked to stop.
    """
    setup = Setup.of(config, data)
    parallel = make_parallel(config.parallel, choose_devices(config.devices), config.batch_size, config.accumulate,
                             config.mesh)
    run = _Run(setup, parallel, workdir, label)
    try:
        return run.to_the_end()
    finally:
        run.close()


class _Run:
    """The moving parts of one training."""

    def __init__(self, setup: Setup, parallel: Parallel, workdir: pathlib.Path, label: str):
        self.setup, self.config, self.parallel = setup, setup.config, parallel
        first = setup.train.batch_at(0, parallel.rows)
        self.state = parallel.make_state(setup.initial_state, first)
        if processes.is_first():
            workdirs.write_environment(workdir, setup.data)
            workdirs.write_parameters(workdir, self.state.parameters)
        self.checkpoints = Checkpoints(workdir / "checkpoints")
        # notes: what a checkpoint keeps besides the state
        self.notes = {"step": 0, "loss_tokens": 0.0, "seconds": 0.0, "evaluation_loss": None}
        self.pending: list[dict[str, Any]] = []  # metrics of the steps since the last logged one
        self._restore()
        if not self.notes["step"]:
            self._start_from(workdir)
        self.first = self.notes["step"]
        self.flops = count_flops(setup.train_step(), parallel.abstract(self.state), parallel.abstract_batch(first))
        self.peak = peak_flops(parallel.devices)
        self._compile(first)
        self.metrics = MetricsWriter(workdir, self.first) if processes.is_first() else NoMetrics()
        self.progress = Progress(label or workdir.name, self.config.steps, self.first)
        self.schedule = make_schedule(self.config.optimizer, self.config.steps)
        self.prefetcher = Prefetcher(lambda step: parallel.place_batch(setup.train.batch_at(step, parallel.rows)),
                                     self.first, self.config.steps)
        self.saved = self.first if self.checkpoints.steps() else None

    def _restore(self) -> None:
        restored = self.checkpoints.restore_latest(self.parallel.abstract(self.state))
        if restored is not None:
            self.state, notes = restored
            self.pending = notes.pop("pending")
            self.notes = {key: notes[key] for key in self.notes}
            logging.info("resuming at step %d of %d", self.notes["step"], self.config.steps)

    def _start_from(self, workdir: pathlib.Path) -> None:
        given = starting_parameters(workdir, self.config.start_from, self.state.parameters)
        if given is not None:
            self.state = self.state.replace(parameters=self.parallel.place_state(given))

    def _compile(self, batch) -> None:
        began = time.monotonic()
        placed = self.parallel.place_batch(batch)
        self.step = self.parallel.compile_train(self.setup.train_step()).lower(self.state, placed).compile()
        evaluate = make_evaluation_step(self.config.objective, self.setup.model, self.setup.visibility)
        self.evaluate_step = self.parallel.compile_evaluation(evaluate).lower(self.state.parameters, placed).compile()
        self.compile_seconds = time.monotonic() - began
        logging.info("compiled in %.1f s; %.2f GFLOP a step, the devices reach %.2f TFLOP/s", self.compile_seconds,
                     self.flops / 1e9, self.peak / 1e12)

    def to_the_end(self) -> dict[str, Any]:
        config = self.config
        with _StopOnSignal() as stop:
            self.interval_began, self.waited = time.monotonic(), 0.0
            if config.steps == 0 and self.saved is None:
                self._evaluate(0)
                self._save(0)
            for step in range(self.first + 1, config.steps + 1):
                last = step == config.steps
                self._one_step()
                if step % config.log_every == 0 or last:
                    self._log(step)
                if step % config.evaluate_every == 0 or step % config.checkpoint_every == 0 or last:
                    self._evaluate(step)
                if step % config.checkpoint_every == 0 or last:
                    self._save(step)
                if not last and processes.any_says(stop.asked, now=step % config.log_every == 0):
                    self._interrupted(step)
        self.checkpoints.wait()
        return self._result()

    def _one_step(self) -> None:
        asked = time.monotonic()
        batch = self.prefetcher.next()
        self.waited += time.monotonic() - asked
        self.state, metrics = self.step(self.state, batch)
        self.pending.append(metrics)

    def _fetch_pending(self, step: int) -> list[dict[str, float]]:
        """The metrics of the steps since the last log as numbers; UserError at the first that is not finite."""
        self.pending = [{name: float(value) for name, value in jax.device_get(m).items()} for m in self.pending]
        for offset, metrics in enumerate(self.pending):
            if not np.isfinite([metrics["loss_sum"], metrics["gradient_norm"]]).all():
                bad = step - len(self.pending) + offset + 1
                raise self._not_finite(f"the loss or its gradient is not finite at step {bad}")
        return self.pending

    def _not_finite(self, what: str) -> NotFinite:
        self.checkpoints.wait()
        steps = self.checkpoints.steps()
        saved = f"the last good checkpoint is step {steps[-1]}" if steps else "there is no checkpoint yet"
        return NotFinite(f"{what}; {saved}; lower optimizer.learning_rate or lengthen optimizer.warmup_steps")

    def _log(self, step: int) -> None:
        metrics = self._fetch_pending(step)
        parts = part_values("train", metrics)
        total, weight = (sum(m[name] for m in metrics) for name in ("loss_sum", "loss_weight"))
        self.notes["loss_tokens"] += weight
        self.pending = []
        seconds = self._take_interval()
        here = step - max(self.first, step - len(metrics))  # steps of this process since the last log
        tokens = self.config.batch_size * self.config.data.length
        values = {
            "train/loss": total / max(weight, 1.0),
            **parts,
            "train/tokens": step * tokens,
            "train/loss_tokens": self.notes["loss_tokens"],
            "train/learning_rate": float(self.schedule(step - 1)),
            "train/gradient_norm": metrics[-1]["gradient_norm"],
            "train/tokens_per_second": here * tokens / seconds,
            "train/flop_utilisation": here * self.flops / seconds / self.peak,
            "train/data_wait_share": min(1.0, self.waited / seconds),
        }
        self.waited = 0.0
        self.metrics.write(step, values)
        self.progress.line(step, values)

    def _take_interval(self) -> float:
        """Seconds of training since it was last asked; also added to the run's total."""
        now = time.monotonic()
        seconds, self.interval_began = max(now - self.interval_began, 1e-9), now
        self.notes["seconds"] += seconds
        return seconds

    def _evaluate(self, step: int) -> None:
        self._fetch_pending(step)
        self._take_interval()
        sums = []
        for i in range(self.setup.evaluation.evaluation_count()):
            batch = self.parallel.place_batch(self.setup.evaluation.evaluation_batch_at(i, self.parallel.rows))
            found = jax.device_get(self.evaluate_step(self.state.parameters, batch))
            sums.append({name: float(value) for name, value in found.items()})
        total, weight = (sum(s[name] for s in sums) for name in ("loss_sum", "loss_weight"))
        if not np.isfinite(total):
            raise self._not_finite(f"the held-out loss is not finite after step {step}")
        self.notes["evaluation_loss"] = total / max(weight, 1.0)
        self.metrics.write(step, {"eval/loss": self.notes["evaluation_loss"], **part_values("eval", sums),
                                  "eval/loss_tokens": weight})
        logging.info("step %d  held-out loss of the objective %.4f", step, self.notes["evaluation_loss"])
        self.interval_began = time.monotonic()  # evaluation is not training time

    def _save(self, step: int, evaluation_loss: float | None = None) -> None:
        pending = self._fetch_pending(step)
        self._take_interval()
        self.metrics.sync()
        notes = {**self.notes, "step": step, "pending": pending}
        loss = self.notes["evaluation_loss"] if evaluation_loss is None else evaluation_loss
        self.checkpoints.save(step, self.state, notes, loss)
        self.saved = step

    def _interrupted(self, step: int) -> None:
        if self.saved != step:
            self._save(step, evaluation_loss=_NEVER_BEST)
        self.checkpoints.wait()
        raise Interrupted(f"stopped at step {step} of {self.config.steps}, which is saved; "
                          f"the same command goes on from here")

    def _result(self) -> dict[str, Any]:
        return {"steps": self.config.steps, "tokens": self.config.steps * self.config.batch_size *
                self.config.data.length, "loss_tokens": self.notes["loss_tokens"],
                "train_seconds": self.notes["seconds"], "compile_seconds": self.compile_seconds,
                "evaluation_loss": self.notes["evaluation_loss"], "best_step": self.checkpoints.best_step(),
                "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}

    def close(self) -> None:
        for part in ("prefetcher", "metrics", "checkpoints"):
            if hasattr(self, part):
                getattr(self, part).close()


_NEVER_BEST = 1e30  # of a checkpoint that was not evaluated; JSON has no infinity


class _StopOnSignal:
    """Turns the first Ctrl-C or termination into a flag that is looked at between steps; the second one kills.

    Slurm can be told to announce the end of a job by SIGUSR1 or SIGUSR2.
    """

    def __enter__(self) -> "_StopOnSignal":
        self.asked = False
        self._before = {}
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            try:
                self._before[number] = signal.signal(number, self._ask)
            except ValueError:  # not the main thread: signals go elsewhere
                break
        return self

    def _ask(self, number, frame) -> None:
        self.asked = True
        signal.signal(number, self._before[number])

    def __exit__(self, *exception) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
