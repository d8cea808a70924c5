"""The weights that fine-tuning begins with: taken from a run, drawn anew, or some of each."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from arch_zoo.errors import UserError
from arch_zoo.fine_tuning.inputs import Row, rows_batch
from arch_zoo.fine_tuning.layers import layer_numbers


def starting_weights(model: nn.Module, parameters: Mapping[str, Any], transfer: int | str, stacks: Sequence[str],
                     seed: int) -> Any:
    """The weights of `model`, which may have more rows of embedding than the run that `parameters` are from.

    transfer: "all" of the run's, "scratch" for none, or k: embeddings and the first k blocks. The rest, and the rows
    that the run has not, are drawn by the seed. UserError for more blocks than there are.
    """
    numbers, blocks = layer_numbers(parameters, stacks)
    if isinstance(transfer, int) and transfer > blocks:
        raise UserError(f"transfer={transfer}: the model is read through {blocks} blocks; give 0 to {blocks}, all or "
                        f"scratch")
    last = {"all": blocks, "scratch": -1}.get(transfer, transfer)
    if last == blocks and model.vocab_size == len(parameters["embedding"]["token_embedding"]):
        return parameters
    return _partly_drawn(model, dict(parameters), numbers, last, jax.random.key(seed))


# Of the module, so that all seeds share its program: models are equal where all their fields are.
@functools.partial(jax.jit, static_argnames="model")
def _partly_drawn(model: nn.Module, parameters: dict[str, Any], numbers: Any, last: jax.Array, key: jax.Array) -> Any:
    """Layers up to `last` of the parameters; the others and added rows as training would draw them from this key."""
    batch, visibility = rows_batch([Row([0, 0], 2, False)], 2, 0), model.config.architecture.visibility

    def chosen(new, old, number):
        taken = jnp.where(number <= last, old, new[:len(old)] if new.shape != old.shape else new)
        return taken if new.shape == old.shape else jnp.concatenate([taken, new[len(old):]])

    return jax.tree.map(chosen, model.init(key, batch, visibility, train=False)["params"], parameters, numbers)
