"""From hidden states to what is asked for: vocabulary logits, classes."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from arch_zoo.config import ModelConfig
from arch_zoo.layers.activations import ACTIVATIONS
from arch_zoo.layers.cross_entropy import projected_cross_entropy
from arch_zoo.layers.initializers import kernel_initializer
from arch_zoo.layers.module import Module
from arch_zoo.layers.norms import make_norm
from arch_zoo.layers.products import Dense


@struct.dataclass
class Projection:
    """Logits over the vocabulary that have not been computed: hidden · tableᵀ + bias, [..., v]."""

    hidden: jax.Array  # [..., d]
    table_vd: jax.Array
    bias_v: jax.Array | None

    def logits(self) -> jax.Array:
        """All of them, in float32."""
        logits = jnp.einsum("...d,vd->...v", self.hidden, self.table_vd, preferred_element_type=jnp.float32)
        return logits if self.bias_v is None else logits + self.bias_v

    def loss(self, targets: jax.Array, weights: jax.Array, smoothing: float = 0.0) -> tuple[jax.Array, jax.Array]:
        """(Σ weight · cross-entropy with smoothing, the same without, which has no gradient), never holding them all.

        Targets and weights are [...].
        """
        return projected_cross_entropy(self.hidden.reshape(-1, self.hidden.shape[-1]), self.table_vd, self.bias_v,
                                       targets.reshape(-1), weights.reshape(-1), smoothing)


class VocabularyHead(Module):
    """From hidden states to logits over the vocabulary, by the embedding table where the config ties them."""

    config: ModelConfig
    vocab_size: int

    @nn.compact
    def __call__(self, hidden: jax.Array, table_vd: jax.Array) -> Projection:
        """[..., width] -> [..., v]. Hidden states are brought to the size of the embeddings where that is another."""
        c = self.config
        if c.head_transform:
            hidden = _transform(c, c.size_of_embedding, hidden)
            hidden = make_norm(c, "transform_norm")(hidden)
        elif c.embedding_dim is not None:
            hidden = Dense(c.embedding_dim, use_bias=False, dtype=hidden.dtype, kernel_init=kernel_initializer(c),
                           name="projection")(hidden)
        if c.scale_logits:
            hidden *= c.width**-0.5
        if not c.tied_embeddings:
            table_vd = self.param("output_embedding", kernel_initializer(c), (self.vocab_size, c.size_of_embedding))
        bias_v = self.param("logits_bias", nn.initializers.zeros, (self.vocab_size,)) if c.logits_bias else None
        return Projection(hidden, table_vd.astype(hidden.dtype), bias_v)


class SentenceHead(nn.Module):
    """The pooled state of a stream, and classes of the whole stream read from it (BERT: is the second text the next?).
    """

    config: ModelConfig

    @nn.compact
    def __call__(self, hidden_btd: jax.Array) -> tuple[jax.Array, jax.Array | None]:
        """(pooled state [b, width], logits [b, sentence_classes] in float32 or None)."""
        c = self.config
        first_bd = hidden_btd[:, 0]
        pooled_bd = jnp.tanh(Dense(c.width, dtype=first_bd.dtype, kernel_init=kernel_initializer(c),
                                   name="pooler")(first_bd))
        if not c.sentence_classes:
            return pooled_bd, None
        return pooled_bd, Dense(c.sentence_classes, kernel_init=kernel_initializer(c), dtype=jnp.float32,
                                name="classes")(pooled_bd)


class Discriminator(nn.Module):
    """Was the token at each position replaced (ELECTRA; Clark et al. 2020, section 2)."""

    config: ModelConfig

    @nn.compact
    def __call__(self, hidden_btd: jax.Array) -> jax.Array:
        """Logits [b, t] in float32."""
        hidden_btd = _transform(self.config, self.config.width, hidden_btd)
        return Dense(1, kernel_init=kernel_initializer(self.config), dtype=jnp.float32,
                     name="replaced")(hidden_btd)[..., 0]


def _transform(config: ModelConfig, size: int, hidden: jax.Array) -> jax.Array:
    """Dense and activation, as in the feed-forward sublayer."""
    dense = Dense(size, use_bias=config.mlp_bias, dtype=hidden.dtype, kernel_init=kernel_initializer(config),
                  name="transform")
    return ACTIVATIONS[config.activation](dense(hidden))


def take_positions(hidden_btd: jax.Array, positions_bn: jax.Array | None) -> jax.Array:
    """[b, n, d]: the hidden states at some positions, or all of them for None."""
    if positions_bn is None:
        return hidden_btd
    return jnp.take_along_axis(hidden_btd, positions_bn[:, :, None], axis=1)
