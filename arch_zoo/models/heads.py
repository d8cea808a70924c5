"""From hidden states to what is asked for: vocabulary logits, classes."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from arch_zoo.config import ModelConfig
from arch_zoo.layers.feed_forward import ACTIVATIONS
from arch_zoo.layers.initializers import kernel_initializer
from arch_zoo.layers.norms import make_norm


class VocabularyHead(nn.Module):
    """Logits over the vocabulary in float32, from the embedding table where the config ties them."""

    config: ModelConfig
    vocab_size: int

    @nn.compact
    def __call__(self, hidden: jax.Array, table_vd: jax.Array) -> jax.Array:
        """[..., d] -> [..., v]."""
        c = self.config
        if c.head_transform:
            hidden = nn.Dense(c.width, dtype=hidden.dtype, kernel_init=kernel_initializer(c), name="transform")(hidden)
            hidden = make_norm(c, "transform_norm")(ACTIVATIONS[c.activation](hidden))
        if not c.tied_embeddings:
            table_vd = self.param("output_embedding", kernel_initializer(c), (self.vocab_size, c.width))
        logits = jnp.einsum("...d,vd->...v", hidden, table_vd.astype(hidden.dtype),
                            preferred_element_type=jnp.float32)
        if c.logits_bias:
            logits += self.param("logits_bias", nn.initializers.zeros, (self.vocab_size,))
        return logits


def take_positions(hidden_btd: jax.Array, positions_bn: jax.Array | None) -> jax.Array:
    """[b, n, d]: the hidden states at some positions, or all of them for None."""
    if positions_bn is None:
        return hidden_btd
    return jnp.take_along_axis(hidden_btd, positions_bn[:, :, None], axis=1)
