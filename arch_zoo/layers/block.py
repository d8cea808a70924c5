"""Block and Stack: the only ones in the library, for encoders and decoders alike."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from arch_zoo.config import ModelConfig
from arch_zoo.layers.attention import Attention
from arch_zoo.layers.feed_forward import FeedForward
from arch_zoo.layers.norms import make_norm
from arch_zoo.layers.residual import Residual
from arch_zoo.layers.visibility import Visibility, visible_self


@struct.dataclass
class Memory:
    """Another stream to attend to: an encoder's output, and which of its positions each query may see."""

    x_bsd: jax.Array
    visible_bts: jax.Array


@struct.dataclass
class Surroundings:
    """What every block of a stack gets besides the residual stream."""

    positions_bt: jax.Array
    example_ids_b: jax.Array
    bias_bhqk: jax.Array | None
    memory: Memory | None


class Block(nn.Module):
    """Self-attention, cross-attention where the config has it, feed-forward, joined as `Residual` says.

    Cross-attention exists because `cross_attention` says so, never because a memory happens to be given.
    """

    config: ModelConfig
    cross_attention: bool
    residual_branches: int

    @nn.compact
    def __call__(self, x_btd: jax.Array, visible_bqk: jax.Array, around: Surroundings, *, train: bool) -> jax.Array:
        keywords = {"example_ids_b": around.example_ids_b, "train": train}
        attention = Attention(self.config, self.residual_branches, name="attention")
        branches = {"attention": lambda x: attention(x, x, visible_bqk, positions_bt=around.positions_bt,
                                                     bias_bhqk=around.bias_bhqk, **keywords)}
        if self.cross_attention:
            cross = Attention(self.config, self.residual_branches, name="cross_attention")
            memory = around.memory
            branches["cross_attention"] = lambda x: cross(x, memory.x_bsd, memory.visible_bts, **keywords)
        feed_forward = FeedForward(self.config, self.residual_branches, name="feed_forward")
        branches["feed_forward"] = lambda x: feed_forward(x, **keywords)

        if self.config.placement == "parallel":
            return Residual(self.config, name="parallel_residual")(x_btd, *branches.values(), **keywords)
        for name, branch in branches.items():
            x_btd = Residual(self.config, name=f"{name}_residual")(x_btd, branch, **keywords)
        return x_btd


class Stack(nn.Module):
    """`depth` blocks under one visibility, with the position scheme's bias, and a final norm where placement needs it.

    The blocks' parameters are stacked along a leading axis `l`. Whether they run unrolled (static slices) or as a
    scan, rematerialised or not, changes neither the tree nor the numbers.
    """

    config: ModelConfig
    depth: int
    cross_attention: bool = False

    @nn.compact
    def __call__(self, x_btd: jax.Array, visibility: Visibility, segment_ids_bt: jax.Array, positions_bt: jax.Array,
                 prefix_bt: jax.Array, example_ids_b: jax.Array, memory: Memory | None = None, *,
                 train: bool) -> jax.Array:
        c = self.config
        bias_bhqk = c.position.bias(self.param, positions_bt, c.heads, visibility is not Visibility.CAUSAL)
        around = Surroundings(positions_bt, example_ids_b, bias_bhqk, memory)
        windows = c.windows or (0,)
        distinct = sorted(set(windows))
        visible_wbqk = [visible_self(visibility, segment_ids_bt, prefix_bt, window) for window in distinct]
        which_l = [distinct.index(windows[i % len(windows)]) for i in range(self.depth)]

        block = Block(c, self.cross_attention, self.depth * (3 if self.cross_attention else 2), parent=None)
        stacked = functools.partial(_stacked_parameters, block, self.depth, x_btd, visible_wbqk[0], around)
        blocks = self.param("blocks", stacked)
        drops = train and self.has_rng("dropout")
        key = self.make_rng("dropout") if drops else None

        def run(x, parameters, visible, layer):
            rngs = {"dropout": jax.random.fold_in(key, layer)} if drops else {}
            return block.apply({"params": parameters}, x, visible, around, train=train, rngs=rngs)

        if c.remat:
            run = jax.checkpoint(run, prevent_cse=not c.scan)
        if c.scan:
            x_btd = _scan(run, blocks, jnp.stack(visible_wbqk), jnp.asarray(which_l), x_btd)
        else:
            for layer in range(self.depth):
                parameters = jax.tree.map(lambda p, layer=layer: p[layer], blocks)
                x_btd = run(x_btd, parameters, visible_wbqk[which_l[layer]], layer)
        return x_btd if c.placement == "post" else make_norm(c, "final_norm")(x_btd)


def _stacked_parameters(block: Block, depth: int, x_btd, visible_bqk, around, key):
    """Parameters of `depth` blocks, stacked; each block draws from its own key."""
    def one(block_key):
        return block.init(block_key, x_btd, visible_bqk, around, train=False)["params"]
    return jax.vmap(one)(jax.random.split(key, depth))


def _scan(run, blocks, visible_wbqk, which_l, x_btd):
    def body(x, inputs):
        parameters, which, layer = inputs
        return run(x, parameters, visible_wbqk[which], layer), None
    return jax.lax.scan(body, x_btd, (blocks, which_l, jnp.arange(which_l.shape[0])))[0]
