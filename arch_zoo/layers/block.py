"""The only Block in the library, for encoders and decoders alike, and what it is given."""

import flax.linen as nn
import jax
from flax import struct

from arch_zoo.config import ModelConfig
from arch_zoo.layers.attention import Attention, Places
from arch_zoo.layers.feed_forward import FeedForward
from arch_zoo.layers.residual import Residual
from arch_zoo.layers.visibility import Seen


@struct.dataclass
class Memory:
    """Another stream to attend to: an encoder's output, and which of its positions each query may see.

    None for the output stands for the one whose keys and values a cache has kept.
    """

    x_bsd: jax.Array | None
    seen: Seen


@struct.dataclass
class Surroundings:
    """What every block of a stack gets besides the residual stream."""

    places: Places
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
    bare_attention: bool = False  # it reads the stream as it is, without a norm before it

    @nn.compact
    def __call__(self, x_btd: jax.Array, seen: Seen, around: Surroundings, *, train: bool) -> jax.Array:
        keywords = {"example_ids_b": around.example_ids_b, "train": train}
        attention = Attention(self.config, self.residual_branches, name="attention")
        branches = {"attention": lambda x: attention(x, x, seen, places=around.places,
                                                     bias_bhqk=around.bias_bhqk, **keywords)}
        if self.cross_attention:
            cross = Attention(self.config, self.residual_branches, name="cross_attention")
            memory = around.memory
            branches["cross_attention"] = lambda x: cross(x, memory.x_bsd, memory.seen, **keywords)
        feed_forward = FeedForward(self.config, self.residual_branches, name="feed_forward")
        branches["feed_forward"] = lambda x: feed_forward(x, **keywords)

        bare = "attention" if self.bare_attention else None
        if self.config.placement in ("parallel", "parallel_norms"):
            return Residual(self.config, bare, name="parallel_residual")(x_btd, branches, **keywords)
        for name, branch in branches.items():
            x_btd = Residual(self.config, bare, name=f"{name}_residual")(x_btd, {name: branch}, **keywords)
        return x_btd
