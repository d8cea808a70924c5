"""Everything that a config and its data determine before the first step."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import optax
from flax import struct

from arch_zoo.config import RunConfig
from arch_zoo.data.prepare import Data
from arch_zoo.errors import UserError
from arch_zoo.layers.visibility import Visibility
from arch_zoo.models.abstract import plain
from arch_zoo.training.batches import Batches, evaluation_batches, training_batches
from arch_zoo.training.optimizers import make_optimizer
from arch_zoo.training.state import TrainState, initialise
from arch_zoo.training.step import Metrics, make_train_step


@struct.dataclass
class Knobs:
    """Numbers of a run that its program takes as inputs: runs that differ in nothing else share one program."""

    seed: jax.Array           # uint32
    learning_rate: jax.Array  # float32


def build_model(config: RunConfig, vocab_size: int) -> nn.Module:
    """The Linen module of a run; `vocab_size` is the tokenizer's."""
    rows = config.model.vocab_size or vocab_size
    if rows < vocab_size:
        raise UserError(f"model.vocab_size={rows} is smaller than the tokenizer's {vocab_size}")
    return config.objective.build(config.model, rows, config.dtype)


def drawing_model(config: RunConfig, vocab_size: int) -> nn.Module:
    """The same parameters as `build_model`'s at a seed, from a program that does not grow with depth."""
    return build_model(config.replace(model=plain(config.model)), vocab_size)


@dataclasses.dataclass
class Setup:
    """A run's model, data and optimizer, and its step as a pure function."""

    config: RunConfig
    data: Data | None  # None: for the shapes of its programs only, as are the batches
    vocab_size: int  # the tokenizer's
    model: nn.Module
    visibility: Visibility
    train: Batches | None = None
    evaluation: Batches | None = None

    @classmethod
    def of(cls, config: RunConfig, data: Data) -> "Setup":
        config.require(data.tokenizer)
        return dataclasses.replace(cls.without_data(config, data.tokenizer.vocabulary.size), data=data,
                                   train=training_batches(config, data), evaluation=evaluation_batches(config, data))

    @classmethod
    def without_data(cls, config: RunConfig, vocab_size: int) -> "Setup":
        """What gives the programs of a run, for a tokenizer of this size."""
        return cls(config, None, vocab_size, build_model(config, vocab_size), config.model.architecture.visibility)

    @property
    def knobs(self) -> Knobs:
        return Knobs(np.uint32(self.config.seed), np.float32(self.config.optimizer.learning_rate))

    @property
    def optimizer(self) -> optax.GradientTransformation:
        """The run's optimizer."""
        return make_optimizer(self.config.optimizer, self.config.steps)

    def step(self, state: TrainState, batch: Any, knobs: Knobs, axis: str | None = None) -> tuple[TrainState, Metrics]:
        """The training step; see `training.step`."""
        optimizer = make_optimizer(self.config.optimizer, self.config.steps, knobs.learning_rate)
        step = make_train_step(self.config.objective, self.model, self.visibility, optimizer, seed=knobs.seed,
                               accumulate=self.config.accumulate)
        return step(state, batch, axis)

    def train_step(self) -> Callable[..., tuple[TrainState, Metrics]]:
        """`step(state, batch, axis=None)` with the run's own knobs."""
        return lambda state, batch, axis=None: self.step(state, batch, self.knobs, axis)

    def state_of(self, batch: Any, seed: jax.Array) -> TrainState:
        """The state before the first step, from a batch that only gives shapes."""
        model = drawing_model(self.config, self.vocab_size)
        return initialise(model, self.optimizer, batch, self.visibility, seed)

    def initial_state(self, batch: Any) -> TrainState:
        """`state_of` the run's own seed."""
        return self.state_of(batch, self.knobs.seed)
