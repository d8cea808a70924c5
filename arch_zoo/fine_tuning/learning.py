"""The loop: weights and a head learn from examples. Everything random is a function of (seed, step)."""

import math
import time
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import logging

from arch_zoo.config import FineTuningConfig, OptimizerConfig
from arch_zoo.data.labelled.task import Example, Labelled
from arch_zoo.data.tokenizers import Tokenizer
from arch_zoo.errors import UserError
from arch_zoo.fine_tuning.answers.head import HeadQuestion
from arch_zoo.fine_tuning.answers.question import Asked, Prepared, Question
from arch_zoo.fine_tuning.inputs import NEW_TOKENS
from arch_zoo.fine_tuning.transfer import starting_weights
from arch_zoo.models.architecture import Reading
from arch_zoo.objectives.causal_lm import CausalLM
from arch_zoo.training.metrics import clock
from arch_zoo.training.optimizers import make_schedule

_WEIGHT_DECAY, _SLANT_RATIO = 0.01, 32
_SECONDS_BETWEEN_LINES = 5.0


def rate_by_step(config: FineTuningConfig, steps: int) -> optax.Schedule:
    """The learning rate of each step. ULMFiT's (Howard & Ruder 2018, equation 3) is in two straight lines."""
    peak, warmup = config.learning_rate, int(steps * config.warmup_share + 1e-9)
    if config.schedule == "slanted_triangular":
        low = peak / _SLANT_RATIO
        return optax.join_schedules([optax.linear_schedule(low, peak, max(warmup, 1)),
                                     optax.linear_schedule(peak, low, max(steps - warmup, 1))], [warmup])
    return make_schedule(OptimizerConfig(learning_rate=peak, warmup_steps=warmup, final_fraction=0.0,
                                         schedule=config.schedule), steps)


def rows_of_step(number: int, examples: int, batch_size: int, seed: int) -> np.ndarray:
    """The examples of a step: a new order each epoch; a function of (seed, step)."""
    epoch, within = divmod(number, max(1, examples // batch_size))
    order = np.random.default_rng([seed, epoch]).permutation(examples)
    return np.resize(order, max(examples, batch_size))[within * batch_size:(within + 1) * batch_size]


class Learner:
    """Learns the answers to one question; compiled once, for all seeds."""

    def __init__(self, question: Question, examples: Sequence[Example], config: FineTuningConfig):
        self._question, self._config = question, config
        self.prepared: Prepared = question.prepare(examples[:config.examples])
        self._per_epoch = max(1, self.prepared.count // config.batch_size)
        self.steps = config.epochs * self._per_epoch
        # As one long vector: a fifth of the step's compilation less than weight by weight, and the same numbers.
        self._optimizer = optax.flatten(optax.chain(
            optax.clip_by_global_norm(1.0), optax.adamw(rate_by_step(config, self.steps), weight_decay=_WEIGHT_DECAY)))
        self._step = jax.jit(self._learn_from)

    def learn(self, parameters: Any, seed: int, label: str | None = None) -> dict[str, Any]:
        """{"model", "head"}: all weights after training, from a run's; UserError where the loss becomes no number.

        label: opens lines of progress; none: there are none.
        """
        key = jax.random.key(seed)
        parameters = starting_weights(self._question.model, parameters, self._config.transfer, self._question.stacks,
                                      seed)
        parameters = jax.tree.map(jnp.asarray, parameters)
        learning, kept = self._config.weights.parted(parameters, jax.random.fold_in(key, self.steps))
        state = {"model": learning, "head": self._question.head()}
        optimizer_state, loss, began = self._optimizer.init(state), None, time.monotonic()
        said = began
        for number in range(self.steps):
            chosen = rows_of_step(number, self.prepared.count, self._config.batch_size, seed)
            state, optimizer_state, loss = self._step(state, optimizer_state, kept, self.prepared.batch(chosen), key,
                                                      number)
            if label is not None and (time.monotonic() - said > _SECONDS_BETWEEN_LINES or number + 1 == self.steps):
                said = time.monotonic()
                self._say(label, number + 1, float(loss), said - began)
        if not math.isfinite(float(loss)):
            raise UserError(f"seed {seed}: the loss is {float(loss)} after {self.steps} steps; lower learning_rate")
        return {"model": self._config.weights.joined(state["model"], kept), "head": state["head"]}

    def _learn_from(self, state, optimizer_state, kept, batch, key, number):
        weights = self._config.weights
        rngs = {"dropout": jax.random.fold_in(key, number)}

        @jax.value_and_grad
        def loss(state):
            return self._question.loss(weights.joined(state["model"], kept), state["head"], batch,
                                       train=not weights.needs_head, rngs=rngs)

        value, grads = loss(state)
        updates, optimizer_state = self._optimizer.update(grads, optimizer_state, state)
        speeds = weights.speeds(state["model"], self._question.stacks, number // self._per_epoch)
        if speeds is not None:
            updates = updates | {"model": jax.tree.map(jnp.multiply, updates["model"], speeds)}
        return optax.apply_updates(state, updates), optimizer_state, value

    def _say(self, label: str, step: int, loss: float, seconds: float) -> None:
        if not math.isfinite(loss):
            raise UserError(f"{label}: the loss is {loss} after {step} steps; lower learning_rate")
        logging.info("%s step %d/%d  loss %.3f  %.1f examples/s  left %s", label, step, self.steps, loss,
                     step * self._config.batch_size / seconds, clock(seconds / step * (self.steps - step)))


def model_for(model: nn.Module, config: FineTuningConfig) -> nn.Module:
    """The model with the rows of embedding that its inputs need."""
    return model.clone(vocab_size=model.vocab_size + NEW_TOKENS) if config.new_tokens else model


def fine_tune(model: nn.Module, parameters: Any, reading: Reading, task: Labelled, tokenizer: Tokenizer,
              config: FineTuningConfig, seed: int) -> np.ndarray:
    """bool [held-out examples]: which a head on this reading answers rightly after fine-tuning: a study's metric.

    Undefined where the model cannot read texts of `config.length` tokens.
    """
    question = HeadQuestion(Asked(CausalLM(), model_for(model, config), tokenizer), task, reading, config)
    learnt = Learner(question, task.train, config).learn(parameters, seed)
    examples = task.dev[:config.test_examples]
    predicted, _ = question.predict(learnt["model"], learnt["head"], examples)
    return np.array(predicted) == np.array([example.answer for example in examples])
