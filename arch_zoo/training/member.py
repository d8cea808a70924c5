"""One run as its directory knows it: what it has reached, what it has said, what it keeps."""

import pathlib
from typing import Any

import jax
import numpy as np
from absl import logging

from arch_zoo.errors import NotFinite
from arch_zoo.machine import peak_memory
from arch_zoo.training import processes
from arch_zoo.training import workdir as workdirs
from arch_zoo.training.checkpoints import Checkpoints
from arch_zoo.training.metrics import MetricsWriter, NoMetrics, part_values
from arch_zoo.training.optimizers import make_schedule
from arch_zoo.training.parallel import Parallel
from arch_zoo.training.setup import Setup
from arch_zoo.training.starting import starting_parameters
from arch_zoo.training.state import TrainState

_NEVER_BEST = 1e30  # of a checkpoint that was not evaluated; JSON has no infinity


class Member:
    """A run, alone or among others that are trained with it as one program. It knows nothing of them."""

    def __init__(self, setup: Setup, workdir: pathlib.Path):
        self.setup, self.config, self.workdir = setup, setup.config, workdir
        self.checkpoints = Checkpoints(workdir / "checkpoints")
        # notes: what a checkpoint keeps besides the state
        self.notes = {"step": 0, "loss_tokens": 0.0, "seconds": 0.0, "evaluation_loss": None}
        self.pending: list[dict[str, float]] = []  # metrics of the steps since the last logged one
        self.failure: NotFinite | None = None
        self.cost: dict[str, float] = {}  # of the program that trains it: seconds to compile, operations
        self.schedule = jax.jit(make_schedule(self.config.optimizer, self.config.steps))
        self.metrics: MetricsWriter | NoMetrics | None = None

    def begin(self, initial: TrainState, parallel: Parallel) -> TrainState:
        """The state that training goes on from: of its newest checkpoint, what it was given, or the initial one."""
        if processes.is_first():
            workdirs.write_environment(self.workdir, self.setup.data)
            workdirs.write_parameters(self.workdir, initial.parameters)
        restored = self.checkpoints.restore_latest(parallel.abstract(initial))
        if restored is not None:
            state, notes = restored
            self.pending = notes.pop("pending")
            self.notes = {key: notes[key] for key in self.notes}
            logging.info("resuming at step %d of %d", self.notes["step"], self.config.steps)
        else:
            given = starting_parameters(self.workdir, self.config.start_from, initial.parameters)
            state = initial if given is None else initial.replace(parameters=parallel.place_state(given))
        self.first = self.notes["step"]
        self.saved = self.first if self.checkpoints.steps() else None
        self.metrics = MetricsWriter(self.workdir, self.first) if processes.is_first() else NoMetrics()
        return state

    def add(self, metrics: dict[str, float], step: int) -> None:
        """What a step gave. A loss or gradient that is not finite is the end of this run."""
        if np.isfinite([metrics["loss_sum"], metrics["gradient_norm"]]).all():
            self.pending.append(metrics)
        else:
            self._fail(f"the loss or its gradient is not finite at step {step}")

    def _fail(self, what: str) -> None:
        self.checkpoints.wait()
        steps = self.checkpoints.steps()
        saved = f"the last good checkpoint is step {steps[-1]}" if steps else "there is no checkpoint yet"
        self.failure = self.failure or NotFinite(
            f"{what}; {saved}; lower optimizer.learning_rate or lengthen optimizer.warmup_steps")

    def log(self, step: int, rates: dict[str, float]) -> dict[str, float]:
        """Write down the steps since the last log, with how fast they went; returns what was written."""
        parts = part_values("train", self.pending)
        total, weight = (sum(m[name] for m in self.pending) for name in ("loss_sum", "loss_weight"))
        self.notes["loss_tokens"] += weight
        values = {
            "train/loss": total / max(weight, 1.0),
            **parts,
            "train/tokens": step * self.config.batch_size * self.config.data.length,
            "train/loss_tokens": self.notes["loss_tokens"],
            "train/learning_rate": float(self.schedule(step - 1)),
            "train/gradient_norm": self.pending[-1]["gradient_norm"],
            **rates,
        }
        self.pending = []
        self.metrics.write(step, values)
        return values

    def evaluated(self, step: int, sums: list[dict[str, float]]) -> None:
        """Write down the held-out loss."""
        total, weight = (sum(s[name] for s in sums) for name in ("loss_sum", "loss_weight"))
        if not np.isfinite(total):
            self._fail(f"the held-out loss is not finite after step {step}")
            return
        self.notes["evaluation_loss"] = total / max(weight, 1.0)
        self.metrics.write(step, {"eval/loss": self.notes["evaluation_loss"], **part_values("eval", sums),
                                  "eval/loss_tokens": weight})

    def save(self, step: int, state: TrainState, evaluated: bool = True) -> None:
        """Begin to write a checkpoint; one that was not `evaluated` is never the best."""
        self.metrics.sync()
        notes = {**self.notes, "step": step, "pending": self.pending}
        self.checkpoints.save(step, state, notes, self.notes["evaluation_loss"] if evaluated else _NEVER_BEST)
        self.saved = step

    def result(self) -> dict[str, Any]:
        """What `result.json` says of the training."""
        c = self.config
        return {"steps": c.steps, "tokens": c.steps * c.batch_size * c.data.length,
                "loss_tokens": self.notes["loss_tokens"], "train_seconds": self.notes["seconds"],
                **self.cost, "evaluation_loss": self.notes["evaluation_loss"],
                "best_step": self.checkpoints.best_step(),
                "peak_memory_bytes": peak_memory(jax.local_devices())}

    def close(self) -> None:
        """Wait for what is being written, and let go of the files."""
        if self.metrics is not None:
            self.metrics.close()
        self.checkpoints.close()
