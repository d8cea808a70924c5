"""Training from config to last checkpoint: builds, resumes, trains, evaluates, saves; one run, or several at once."""

import collections
import pathlib
import signal
import time
from collections.abc import Sequence
from typing import Any

import jax
from absl import logging

from arch_zoo.config import RunConfig
from arch_zoo.data.pipeline import Prefetcher
from arch_zoo.data.prepare import Data
from arch_zoo.errors import Interrupted, NotFinite, UserError
from arch_zoo.flops import peak_flops
from arch_zoo.machine import give_back_memory
from arch_zoo.settings import to_dict
from arch_zoo.settings_view import difference
from arch_zoo.training import processes
from arch_zoo.training.member import Member
from arch_zoo.training.metrics import Progress
from arch_zoo.training.programs import MAY_DIFFER, LastPrograms, Programs
from arch_zoo.training.setup import Setup

Result = dict[str, Any]  # what result.json says of a training


def train(config: RunConfig, data: Data, workdir: pathlib.Path, label: str = "",
          kept: LastPrograms | None = None) -> Result:
    """Train, or go on training, in a claimed directory; returns what `result.json` says of the training.

    `kept` saves a process that trains run after run from compiling what it has compiled. Raises NotFinite where the
    loss stops being finite, Interrupted when asked to stop.
    """
    found, = train_together([config], data, [workdir], label, kept)
    if isinstance(found, NotFinite):
        raise found
    return found


def train_together(configs: Sequence[RunConfig], data: Data, workdirs: Sequence[pathlib.Path],
                   label: str = "", kept: LastPrograms | None = None) -> list[Result | NotFinite]:
    """Train several runs, each in its claimed directory, as one program with an axis of members; `kept` as in `train`.

    They differ in seed and learning rate alone, else UserError. Nothing that one computes reaches another: a loss that
    stops being finite ends only its own run. Runs that stand at different steps are trained apart from each other.
    """
    for config in configs[1:]:
        if differing := set(difference(to_dict(config), configs[0])) - set(MAY_DIFFER):
            raise UserError(f"runs that are trained together differ in {' and '.join(MAY_DIFFER)} alone, and these in "
                            f"{', '.join(sorted(differing))}")
    members = [Member(Setup.of(config, data), workdir) for config, workdir in zip(configs, workdirs, strict=True)]
    label = label or workdirs[0].name
    try:
        programs = (kept or LastPrograms()).of(configs[0], data.tokenizer.vocabulary.size)
        begun = _begun(members, programs)
        for first in sorted(begun):  # handed over: a state that had a name here would stay on the device to the end
            _Run(*zip(*begun.pop(first), strict=True), programs, label).to_the_end()
        return [member.failure or member.result() for member in members]
    finally:
        for member in members:
            member.close()


def _begun(members: Sequence[Member], programs: Programs) -> dict[int, list[tuple[Member, Any]]]:
    """{step: the members that stand there, each with the state that it goes on from}."""
    shapes, begun = members[0].setup.train.batch_at(0, programs.alone.rows), collections.defaultdict(list)
    for member in members:
        state = member.begin(programs.initial_state(shapes, member.setup.knobs.seed), programs.alone)
        begun[member.first].append((member, state))
    return begun


class _Run:
    """Members that stand at the same step, the program that trains them, and its clock."""

    def __init__(self, members: Sequence[Member], states: Sequence[Any], programs: Programs, label: str):
        self.members, self.config = members, members[0].config
        self.parallel = parallel = programs.alone if len(members) == 1 else programs.alone.together()
        self.setup, self.first = members[0].setup, members[0].first
        self.state = parallel.join(states)
        self.knobs = parallel.place_knobs(parallel.join([member.setup.knobs for member in members]))
        self.flying: list[tuple[int, Any]] = []  # metrics of the steps that nobody has looked at
        self.due: int | None = None  # the step at which a log is due
        self.peak = peak_flops(parallel.devices)
        self.model_flops = programs.model_flops
        self._compile(programs)
        self.progress = Progress(label, self.config.steps, self.first)

    def _batch_at(self, step: int) -> Any:
        return self.parallel.place_batch(self.parallel.join_batches([m.setup.train.batch_at(step, self.parallel.rows)
                                                                     for m in self.members]))

    def _compile(self, programs: Programs) -> None:
        count, arguments = len(self.members), (self.state, self._batch_at(0), self.knobs)
        training, seconds = programs.training(self.parallel, count, *arguments)
        self.step, self.evaluate_step, self.flops = training.step, training.evaluate_step, training.executed_flops
        give_back_memory()
        for member in self.members:
            member.cost = {"compile_seconds": seconds, "model_flops_per_step": self.model_flops,
                           "executed_flops_per_step": self.flops}
        compiled = "compiled before" if seconds is None else f"compiled in {seconds:.1f} s"
        logging.info("%s; a step%s is %.2f GFLOP of the model and executes %.2f, the devices reach %.2f TFLOP/s",
                     compiled, f" of each of {count} runs" if count > 1 else "",
                     self.model_flops / 1e9, self.flops / 1e9, self.peak / 1e12)

    def to_the_end(self) -> None:
        """All remaining steps, with logs, evaluations and checkpoints where the config wants them."""
        config = self.config
        self.prefetcher = Prefetcher(self._batch_at, self.first, config.steps)
        try:
            with _StopOnSignal() as stop:
                self.interval_began, self.waited = time.monotonic(), 0.0
                if config.steps == 0 and self.members[0].saved is None:
                    self._evaluate(0)
                    self._save(0)
                for step in range(self.first + 1, config.steps + 1):
                    last = step == config.steps
                    self._one_step(step)
                    if step % config.log_every == 0 or last:
                        self.due = step  # looked at when the next step is on its way, so that the device never waits
                    if step % config.evaluate_every == 0 or step % config.checkpoint_every == 0 or last:
                        self._evaluate(step)
                    if step % config.checkpoint_every == 0 or last:
                        self._save(step)
                    if all(member.failure for member in self.members):
                        return
                    if not last and processes.any_says(stop.asked, now=step % config.log_every == 0):
                        self._interrupted(step)
            for member in self.members:
                member.checkpoints.wait()
        finally:
            self.prefetcher.close()

    @property
    def sound(self) -> list[tuple[int, Member]]:
        """The members, with their numbers, whose losses have stayed finite."""
        return [(n, member) for n, member in enumerate(self.members) if not member.failure]

    def _one_step(self, step: int) -> None:
        asked = time.monotonic()
        batch = self.prefetcher.next()
        self.waited += time.monotonic() - asked
        self.state, metrics = self.step(self.state, batch, self.knobs)
        self.flying.append((step, metrics))
        if self.due is not None:
            self._look(step - 1)

    def _look(self, step: int) -> None:
        """Fetch the metrics of all steps up to this one, and write the log that is due."""
        while self.flying and self.flying[0][0] <= step:
            at, metrics = self.flying.pop(0)
            metrics = jax.device_get(metrics)
            for n, member in self.sound:
                member.add({name: float(value) for name, value in self.parallel.part(metrics, n).items()}, at)
        if self.due is not None:
            self._log(self.due)
            self.due = None

    def _log(self, step: int) -> None:
        seconds, tokens = self._take_interval(), self.config.batch_size * self.config.data.length
        written = []
        for _, member in self.sound:
            here = step - max(self.first, step - len(member.pending))  # steps of this process since the last log
            written.append(member.log(step, {
                "train/tokens_per_second": here * tokens / seconds,
                "train/flop_utilisation": here * self.model_flops / seconds / self.peak,
                "train/executed_flop_utilisation": here * self.flops / seconds / self.peak,
                "train/data_wait_share": min(1.0, self.waited / seconds)}))
        self.waited = 0.0
        self.progress.line(step, written)

    def _take_interval(self) -> float:
        """Seconds of training since it was last asked; also added to the runs' totals."""
        now = time.monotonic()
        seconds, self.interval_began = max(now - self.interval_began, 1e-9), now
        for member in self.members:
            member.notes["seconds"] += seconds
        return seconds

    def _evaluate(self, step: int) -> None:
        self._look(step)
        self._take_interval()
        sums: list[list[dict[str, float]]] = [[] for _ in self.members]
        for i in range(self.setup.evaluation.evaluation_count()):
            batch = self.parallel.place_evaluation(self.setup.evaluation.evaluation_batch_at(i, self.parallel.rows))
            found = jax.device_get(self.evaluate_step(self.state.parameters, batch))
            for n, _ in enumerate(self.members):
                sums[n].append({name: float(value) for name, value in self.parallel.part(found, n).items()})
        for n, member in self.sound:
            member.evaluated(step, sums[n])
        losses = [member.notes["evaluation_loss"] for _, member in self.sound]
        if losses:
            logging.info("step %d  held-out loss of the objective %.4f%s", step, sum(losses) / len(losses),
                         f" ({min(losses):.4f} to {max(losses):.4f})" if len(losses) > 1 else "")
        self.interval_began = time.monotonic()  # evaluation is not training time

    def _save(self, step: int, evaluated: bool = True) -> None:
        self._look(step)
        self._take_interval()
        for n, member in self.sound:
            member.save(step, self.parallel.part(self.state, n), evaluated)

    def _interrupted(self, step: int) -> None:
        if any(member.saved != step for _, member in self.sound):
            self._save(step, evaluated=False)
        for member in self.members:
            member.checkpoints.wait()
        raise Interrupted(f"stopped at step {step} of {self.config.steps}, which is saved; "
                          f"the same command goes on from here")


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
