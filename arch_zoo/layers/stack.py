"""The only Stack in the library: blocks under one visibility, read at once or, with a cache, piece by piece."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from arch_zoo.config import ModelConfig
from arch_zoo.layers.attention import Places
from arch_zoo.layers.block import Block, Memory, Surroundings
from arch_zoo.layers.cache import PAST, Cache
from arch_zoo.layers.module import Module
from arch_zoo.layers.norms import make_norm
from arch_zoo.layers.placement import kept_with_rows
from arch_zoo.layers.visibility import Seen, Visibility, seen_self

# What a rematerialised block keeps for the backward pass.
KEPT = {"nothing": None, "products": jax.checkpoint_policies.dots_with_no_batch_dims_saveable}


class Stack(Module):
    """`depth` blocks under one visibility, with the position scheme's bias, and a final norm where placement needs it.

    The blocks' parameters are stacked along a leading axis `l`, of length 1 where all share them. Whether the blocks
    run unrolled (static slices) or as a scan, rematerialised or not, changes neither the tree nor the numbers. A first
    block that lacks a norm has parameters of its own, "first_block".
    """

    config: ModelConfig
    depth: int
    cross_attention: bool = False

    @nn.compact
    def __call__(self, x_btd: jax.Array, visibility: Visibility, segment_ids_bt: jax.Array, positions_bt: jax.Array,
                 prefix_bt: jax.Array, example_ids_b: jax.Array, memory: Memory | None = None, *,
                 crosses: bool = True, cache: Cache | None = None, one_segment: bool = False,
                 train: bool) -> jax.Array | tuple[jax.Array, Cache]:
        """[b, t, d]; without `crosses` a stack with cross-attention reads as if it had none (shared stacks).

        `one_segment` says that each row holds one segment and then padding.

        With a cache the t positions come after those that it has read, which they see as if all were read at once; the
        cache that has read them, too, is returned as well.
        """
        c, index_q, first = self.config, None, 0
        segment_ids_bk, positions_bk, prefix_bk = segment_ids_bt, positions_bt, prefix_bt
        if cache is not None:
            cache, first = cache.reading(segment_ids_bt, positions_bt, prefix_bt), cache.length
            segment_ids_bk, positions_bk, prefix_bk = cache.segment_ids_bk, cache.positions_bk, cache.prefix_bk
            index_q = first + jnp.arange(x_btd.shape[1])
        distance_bqk = positions_bt[:, :, None] - positions_bk[:, None, :]
        if one_segment and cache is None:  # the same in every row, so that what is made of it need not be held for each
            index_t = jnp.arange(x_btd.shape[1])
            distance_bqk = (index_t[:, None] - index_t)[None]
        bias_bhqk = c.position.bias(self.param, distance_bqk, c.heads, visibility is not Visibility.CAUSAL)
        around = Surroundings(Places(positions_bt, distance_bqk, first), example_ids_b, bias_bhqk, memory)
        windows = c.windows or (0,)
        distinct = sorted(set(windows))
        seen_w = [seen_self(visibility, segment_ids_bk, prefix_bk, window, index_q, one_segment) for window in distinct]
        which_l = [distinct.index(windows[i % len(windows)]) for i in range(self.depth)]

        bare, blocks = self._parameters(x_btd)
        crosses = self.cross_attention and crosses
        key = self.make_rng("dropout") if train and self.has_rng("dropout") else None
        runs = [_runner(self._block(crosses, bare=True), around, train, key)] if bare is not None else []
        runs += [_runner(self._block(crosses), around, train, key)] * (self.depth - len(runs))
        looped = range(bare is not None, self.depth) if c.scan and cache is None else ()
        past_l = [None] * self.depth if cache is None else list(cache.blocks)
        for layer in range(self.depth - len(looped)):
            x_btd, past_l[layer] = runs[layer](x_btd, self._row(bare, blocks, layer), seen_w[which_l[layer]], layer,
                                               past_l[layer])
        if len(looped):
            x_btd = _scan(runs[-1], blocks, seen_w, which_l, looped, x_btd, c.scan_unroll)
        x_btd = kept_with_rows(x_btd)
        if cache is not None:
            cache = cache.replace(length=first + x_btd.shape[1], blocks=tuple(past_l))
        if c.placement != "post":
            x_btd = make_norm(c, "final_norm")(x_btd)
        return x_btd if cache is None else (x_btd, cache)

    def _block(self, crosses: bool, bare: bool = False) -> Block:
        return Block(self.config, crosses, self.depth * (3 if self.cross_attention else 2), bare, parent=None)

    def _parameters(self, x_btd: jax.Array) -> tuple[Any, Any]:
        """(of a first block without a norm or None, those of the other blocks, stacked or as `unstacked` has them)."""
        c = self.config
        if isinstance(given := self.get_variable("params", "blocks"), tuple):
            return self.get_variable("params", "first_block"), given

        def draw(key, bare=False):  # shapes are all that matters of what it reads
            x_b1d, nowhere_b1 = x_btd[:, :1], jnp.zeros((len(x_btd), 1), jnp.int32)
            seen = Seen(jnp.ones((len(x_btd), 1, 1), bool))
            around = Surroundings(Places(nowhere_b1, nowhere_b1[:, :, None]), nowhere_b1[:, 0], None,
                                  Memory(x_b1d, seen))
            return self._block(self.cross_attention, bare).init(key, x_b1d, seen, around, train=False)["params"]

        first = None if c.first_norm else self.param("first_block", draw, True)
        rows = 1 if c.share_blocks else self.depth - (first is not None)
        if not rows:
            return first, {}
        # Each block draws from its own key.
        return first, self.param("blocks", lambda key: jax.vmap(draw)(jax.random.split(key, rows)))

    def _row(self, bare: Any, blocks: Any, layer: int) -> Any:
        """The parameters of one block."""
        if bare is not None and layer == 0:
            return bare
        row = 0 if self.config.share_blocks else layer - (bare is not None)
        return blocks[row] if isinstance(blocks, tuple) else jax.tree.map(lambda p: p[row], blocks)


def unstacked(parameters: Any) -> Any:
    """A model's parameters with those of each block in arrays of their own, as `Stack` reads them, too.

    Slicing a stacked array inside a program copies it: nothing beside a step of training, and as much as all the rest
    where one token is read at a time.
    """
    if not isinstance(parameters, dict):
        return parameters
    rows = {name: len(jax.tree.leaves(tree)[0]) for name, tree in parameters.items() if name == "blocks" and tree}
    return {name: tuple(jax.tree.map(lambda p, row=row: p[row], tree) for row in range(rows[name])) if name in rows
            else unstacked(tree) for name, tree in parameters.items()}


def _runner(block: Block, around: Surroundings, train: bool, key: jax.Array | None) -> Callable[..., tuple]:
    """`run(x, parameters, seen, layer, past)` -> (x, past): a block reads, and keeps what it is to keep.

    Without a past, None, it keeps nothing.
    """
    def run(x, parameters, seen, layer, past=None):
        rngs = {} if key is None else {"dropout": jax.random.fold_in(key, layer)}
        arguments = (kept_with_rows(x), seen, around)
        if past is None:
            return block.apply({"params": parameters}, *arguments, train=train, rngs=rngs), None
        x, changed = block.apply({"params": parameters, PAST: past}, *arguments, train=train, rngs=rngs, mutable=[PAST])
        return x, changed[PAST]

    c = block.config
    return jax.checkpoint(run, prevent_cse=not c.scan, policy=KEPT[c.remat_keeps]) if c.remat else run


def _scan(run: Callable[..., tuple], blocks: Any, seen_w: list[Seen], which_l: list[int], layers: range,
          x_btd: jax.Array, unroll: int) -> jax.Array:
    """The blocks of `layers` as a loop; parameters of one row are those of every block."""
    visible_wbqk = jnp.stack([seen.visible_bqk for seen in seen_w])
    windowed_w = jnp.asarray([seen.windowed for seen in seen_w])
    shared = len(jax.tree.leaves(blocks)[0]) == 1
    only = jax.tree.map(lambda p: p[0], blocks)

    def body(x, inputs):
        which, layer, parameters = inputs
        # What differs from turn to turn of a loop has no pattern.
        seen = seen_w[0] if len(seen_w) == 1 else Seen(visible_wbqk[which], None, windowed_w[which])
        return run(x, only if shared else parameters, seen, layer)

    which = jnp.asarray([which_l[layer] for layer in layers])
    return jax.lax.scan(body, x_btd, (which, jnp.asarray(layers), None if shared else blocks),
                        unroll=min(unroll, len(layers)))[0]
