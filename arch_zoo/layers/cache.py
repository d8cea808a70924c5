"""What a stack keeps of the positions it has read, so that the next ones need not read them again.

Attention keeps its keys (normalised and rotated) and values in the Linen collection "past" of its block; a stack that
is given a `Cache` hands that to its blocks and takes it back.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from arch_zoo.config import ModelConfig

PAST = "past"


@struct.dataclass
class Cache:
    """A stream with room for k positions, of which the first `length` have been read. Padding may stand anywhere."""

    length: jax.Array            # int []
    segment_ids_bk: jax.Array    # 0 beyond what has been read
    positions_bk: jax.Array
    prefix_bk: jax.Array
    blocks: tuple[dict, ...]     # of each block, its collection "past"
    source_segment_ids_bs: jax.Array | None = None  # where there is a memory
    memory_bsd: jax.Array | None = None  # until its keys and values have been kept

    def reading(self, segment_ids_bt: jax.Array, positions_bt: jax.Array, prefix_bt: jax.Array) -> "Cache":
        """With what is known of t new positions; `length` still stands before them."""
        def written(whole, new):
            return jax.lax.dynamic_update_slice(whole, new.astype(whole.dtype), (0, self.length))

        return self.replace(segment_ids_bk=written(self.segment_ids_bk, segment_ids_bt),
                            positions_bk=written(self.positions_bk, positions_bt),
                            prefix_bk=written(self.prefix_bk, prefix_bt))


def empty_cache(config: ModelConfig, depth: int, rows: int, room: int, dtype: jnp.dtype) -> Cache:
    """A cache of a stack of `depth` blocks in which nothing has been read."""
    shape = (rows, room, config.key_value_heads, config.size_of_head)
    nothing = jnp.zeros((rows, room), jnp.int32)
    return Cache(jnp.zeros((), jnp.int32), nothing, nothing, nothing.astype(bool),
                 tuple({"attention": {"keys": jnp.zeros(shape, dtype), "values": jnp.zeros(shape, dtype)}}
                       for _ in range(depth)))


def kept(module: nn.Module, new: tuple[jax.Array, jax.Array] | None, first: jax.Array | int) -> tuple[Any, Any]:
    """(keys, values), each [b, k, g, d], of everything an attention has read, `new` ones included and kept.

    Without the collection "past", the new ones. With it they are written from index `first` on; where nothing was kept
    before, they are all there is; None reads what was kept.
    """
    if not module.is_mutable_collection(PAST) or module.is_initializing():
        return new
    names = ("keys", "values")
    if new is None:
        return tuple(module.get_variable(PAST, name) for name in names)
    if module.has_variable(PAST, "keys"):
        new = tuple(jax.lax.dynamic_update_slice(module.get_variable(PAST, name), part, (0, first, 0, 0))
                    for name, part in zip(names, new, strict=True))
    for name, part in zip(names, new, strict=True):
        module.put_variable(PAST, name, part)
    return new
