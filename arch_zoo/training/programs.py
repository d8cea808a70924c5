"""The compiled programs of a run, kept for the next one that differs from it in seed, learning rate or start alone."""

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from arch_zoo.config import RunConfig
from arch_zoo.flops import count_flops, model_flops
from arch_zoo.settings import override, to_dict
from arch_zoo.training.parallel import Parallel, choose_devices, make_parallel
from arch_zoo.training.setup import Setup
from arch_zoo.training.step import make_evaluation_step

MAY_DIFFER = ("seed", "optimizer.learning_rate")  # between runs that share programs: they are inputs


@dataclasses.dataclass(frozen=True)
class Training:
    """The step and the held-out loss of so many members, and what they cost."""

    step: Callable  # (state, batch, knobs) -> (state, metrics)
    evaluate_step: Callable  # (parameters, batch) -> metrics; compiled when it is first called
    executed_flops: int  # of one member's step


class Programs:
    """What runs of a config compile, each once: initial states, and steps for one member or several."""

    def __init__(self, config: RunConfig, vocab_size: int):
        self._setup = Setup.without_data(config, vocab_size)
        self.alone = make_parallel(config.parallel, choose_devices(config.devices), config.batch_size,
                                   config.accumulate, config.mesh)
        self.model_flops = model_flops(config, vocab_size)
        self._make_state = self.alone.compile_state(self._setup.state_of)
        self._trainings: dict[int, Training] = {}

    def initial_state(self, rows: Any, seed: np.uint32) -> Any:
        """The state before the first step; of the rows only the shapes matter."""
        return self._make_state(rows, seed)

    def abstract_state(self, rows: Any) -> Any:
        """Its shapes and places, of any seed."""
        return self.alone.abstract(jax.eval_shape(self._make_state, rows, np.uint32(0)))

    def training(self, parallel: Parallel, members: int, *arguments: Any) -> tuple[Training, float | None]:
        """(the programs for so many members, with these arguments of the step; seconds that compiling them took, None
        where that was done before).
        """
        began, compiled = time.monotonic(), members not in self._trainings
        if compiled:
            step = parallel.compile_train(self._setup.step)
            flops = count_flops(step, *arguments) // members  # of these arguments, so that what follows traces no more
            evaluate = make_evaluation_step(self._setup.config.objective, self._setup.model, self._setup.visibility)
            self._trainings[members] = Training(step.lower(*arguments).compile(),
                                                parallel.compile_evaluation(evaluate), flops)
        return self._trainings[members], time.monotonic() - began if compiled else None


def _without_knobs(config: RunConfig) -> RunConfig:
    """Equal for runs that share programs. Where a run starts from is no part of them either."""
    return override(config, dict.fromkeys(MAY_DIFFER, 1) | {"start_from": None})


def name_of_programs(config: RunConfig) -> str:
    """The same for runs that share programs, for others another."""
    return hashlib.sha256(json.dumps(to_dict(_without_knobs(config)), sort_keys=True).encode()).hexdigest()[:16]


class LastPrograms:
    """Those of the run that a process trained last. Others are let go: their programs would only take memory."""

    def __init__(self):
        self._key: Any = None
        self._programs: Programs | None = None

    def of(self, config: RunConfig, vocab_size: int) -> Programs:
        """The programs of a run; the same as before where it differs in `MAY_DIFFER`, or in where it starts, alone."""
        key = _without_knobs(config), vocab_size
        if key != self._key:
            self._programs = self._key = None  # first, so that there are never two in memory
            self._programs, self._key = Programs(config, vocab_size), key
        return self._programs
