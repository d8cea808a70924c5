"""Which layer each weight belongs to, and the states that the layers of a model make."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from arch_zoo.layers.block import Block
from arch_zoo.models.architecture import Batch, Reading


def layer_numbers(parameters: Mapping[str, Any], stacks: Sequence[str]) -> tuple[Any, int]:
    """(tree of layer numbers, number of blocks) of a model read through these stacks, from the bottom.

    0 is everything before the first block. Blocks count from 1, through all stacks; a final norm belongs to the last
    block of its stack, heads and what is not read to the last of all. The numbers of stacked blocks broadcast along
    their leading axis.
    """
    # A shared stack is known by the decoder's name alone.
    names = [name for name in stacks if name in parameters] or [name for name in parameters if "blocks" in
                                                                  parameters[name]]
    below, places = 0, {}
    for name in names:
        stack = parameters[name]
        first, rows = int("first_block" in stack), len(next(iter(jax.tree.leaves(stack["blocks"])), ()))
        places[name] = (below, first, rows)
        below += first + rows

    def number(path, leaf):
        room, *inner = (key.key for key in path)
        if room not in places:
            return np.int32(0 if room == "embedding" or room.endswith("entry") else below)
        start, first, rows = places[room]
        if inner[0] == "first_block":
            return np.int32(start + 1)
        if inner[0] == "blocks":
            return (start + first + 1 + np.arange(rows, dtype=np.int32)).reshape(-1, *[1] * (np.ndim(leaf) - 1))
        return np.int32(start + first + rows if inner[0] == "final_norm" else start)

    return jax.tree_util.tree_map_with_path(number, parameters), below


def hidden_states(model: nn.Module, parameters: Any, batch: Batch, reading: Reading, *, train: bool,
                  rngs: Mapping | None = None) -> jax.Array:
    """[b, t, d] in float32: the last states, by the reading."""
    return model.apply({"params": parameters}, batch, reading.visibility, train=train, rngs=rngs,
                       method=reading.method).astype(jnp.float32)


def states_of_layers(model: nn.Module, parameters: Any, batch: Batch, reading: Reading) -> jax.Array:
    """[1 + blocks, b, t, d]: what enters the stack that is read, and what each of its blocks makes of it.

    Each state is normalised without weights (Peters et al. 2018, section 3.2): a residual stream grows on its way.
    """
    unrolled = model.clone(config=model.config.replace(scan=False, remat=False))
    seen: list[tuple[jax.Array, jax.Array]] = []

    def watch(next_call, arguments, keywords, context):
        out = next_call(*arguments, **keywords)
        # Stack asks for the shapes of new weights by initialising blocks: those are not the model's.
        if isinstance(context.module, Block) and not context.module.is_initializing():
            seen.append((arguments[0], out))
        return out

    with nn.intercept_methods(watch):
        hidden_states(unrolled, parameters, batch, reading, train=False)
    found = [seen[-1][1]]
    for x_btd, out_btd in reversed(seen):  # an encoder's blocks, before a decoder's, do not lead up to its last state
        if out_btd is not found[-1]:
            break
        found.append(x_btd)
    states = jnp.stack(found[::-1]).astype(jnp.float32)
    return jax.nn.standardize(states, axis=-1, epsilon=1e-6)


def pooled(hidden_btd: jax.Array, batch: Batch, pool: str) -> jax.Array:
    """[..., b, d]: one vector for each row, from states [..., b, t, d]."""
    real_bt = (batch.stream.segment_ids != 0).astype(jnp.float32)
    if pool == "mean":
        return jnp.einsum("...btd,bt->...bd", hidden_btd, real_bt) / jnp.maximum(real_bt.sum(axis=1), 1)[:, None]
    if pool == "first":
        return hidden_btd[..., 0, :]
    last_b = jnp.maximum(real_bt.sum(axis=1).astype(jnp.int32) - 1, 0)
    index = last_b.reshape(*[1] * (hidden_btd.ndim - 3), -1, 1, 1)
    return jnp.take_along_axis(hidden_btd, index, axis=-2)[..., 0, :]
