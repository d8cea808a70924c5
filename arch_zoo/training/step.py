"""The one training step and the one evaluation step, as pure functions of (state, batch).

Losses and gradients are summed locally and divided once, by the weight of the whole global batch; dividing on each
device or part of a batch and averaging the results would weigh tokens by which device they fell on.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from arch_zoo.layers.visibility import Visibility
from arch_zoo.models.architecture import Batch
from arch_zoo.training.state import TrainState

Metrics = dict[str, jax.Array]


def make_gradient(objective, model: nn.Module, visibility: Visibility, *, seed: int, accumulate: int) -> Callable:
    """`gradient(parameters, batch, step, axis)` -> (gradient of the mean loss, sum of losses, sum of weights)."""

    def loss_sum(parameters, batch: Batch, key):
        total, weight = objective.loss(model, parameters, batch, visibility, train=True, rngs={"dropout": key})
        return total, weight

    def gradient(parameters, batch: Batch, step, axis: str | None = None):
        key = jax.random.fold_in(jax.random.key(seed), step)
        sums = jax.value_and_grad(loss_sum, has_aux=True)

        def part(carry, piece):
            (total, weight), grads = sums(parameters, piece, key)
            return jax.tree.map(jnp.add, carry, (grads, total, weight)), None

        if accumulate == 1:
            (total, weight), grads = sums(parameters, batch, key)
        else:
            # Part m takes rows m, m + accumulate, …: the leading axis, over which devices share the batch, stays whole.
            pieces = jax.tree.map(lambda x: x.reshape(-1, accumulate, *x.shape[1:]).swapaxes(0, 1), batch)
            nothing = (jax.tree.map(jnp.zeros_like, parameters), jnp.zeros(()), jnp.zeros(()))
            (grads, total, weight), _ = jax.lax.scan(part, nothing, pieces)
        if axis is not None:
            grads, total, weight = jax.lax.psum((grads, total, weight), axis)
        return jax.tree.map(lambda g: g / jnp.maximum(weight, 1.0), grads), total, weight

    return gradient


def make_train_step(objective, model: nn.Module, visibility: Visibility, optimizer: optax.GradientTransformation, *,
                    seed: int, accumulate: int) -> Callable[..., tuple[TrainState, Metrics]]:
    """`step(state, batch, axis=None)` -> (state, metrics). With `axis`, the batch is one device's part of it."""
    gradient = make_gradient(objective, model, visibility, seed=seed, accumulate=accumulate)

    def step(state: TrainState, batch: Batch, axis: str | None = None) -> tuple[TrainState, Metrics]:
        grads, total, weight = gradient(state.parameters, batch, state.step, axis)
        updates, optimizer_state = optimizer.update(grads, state.optimizer_state, state.parameters)
        parameters = optax.apply_updates(state.parameters, updates)
        metrics = {"loss_sum": total, "loss_weight": weight, "gradient_norm": optax.tree.norm(grads)}
        return TrainState(state.step + 1, parameters, optimizer_state), metrics

    return step


def make_evaluation_step(objective, model: nn.Module, visibility: Visibility) -> Callable[..., Metrics]:
    """`evaluate(parameters, batch, axis=None)` -> sums of loss and weight, by the objective's own loss."""

    def evaluate(parameters: Any, batch: Batch, axis: str | None = None) -> Metrics:
        total, weight = objective.loss(model, parameters, batch, visibility, train=False)
        if axis is not None:
            total, weight = jax.lax.psum((total, weight), axis)
        return {"loss_sum": total, "loss_weight": weight}

    return evaluate
