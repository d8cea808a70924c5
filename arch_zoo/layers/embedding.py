"""Tokens into vectors: the table, and what a stream adds to what it looks up there."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from arch_zoo.config import ModelConfig
from arch_zoo.layers.dropout import Dropout
from arch_zoo.layers.initializers import embedding_initializer, kernel_initializer
from arch_zoo.layers.module import Module
from arch_zoo.layers.norms import make_norm
from arch_zoo.layers.placement import gathered
from arch_zoo.layers.products import Dense


class Embedding(Module):
    """The table of token embeddings, of which a model has one; it also serves a tied head."""

    config: ModelConfig
    vocab_size: int

    def setup(self):
        c = self.config
        self.table_vd = self.param("token_embedding", embedding_initializer(c), (self.vocab_size, c.size_of_embedding))

    def __call__(self, tokens_bt: jax.Array, *, stream: str) -> jax.Array:
        """[b, t, d]. `stream` names the place where tests and analyses may add a perturbation."""
        return self.perturb(stream, gathered(self.table_vd)[tokens_bt])


class Entry(Module):
    """From token embeddings to the residual stream: positions, token types, norm, dropout, projection to `width`.

    Each stream has its own, as in BART: the positions of a source and of a target are learned apart.
    """

    config: ModelConfig

    @nn.compact
    def __call__(self, x_btd: jax.Array, positions_bt: jax.Array, types_bt: jax.Array, example_ids_b: jax.Array, *,
                 dtype: jnp.dtype, train: bool, project: bool = True) -> jax.Array:
        """[b, t, width] in `dtype` from token embeddings [b, t, d]; their sum [b, t, d] itself without `project`."""
        c = self.config
        project_tokens = c.embedding_dim is not None and c.embedding_projection == "tokens"
        if project_tokens:
            x_btd = Dense(c.width, use_bias=False, kernel_init=kernel_initializer(c), name="projection")(x_btd)
        if c.scale_embeddings:
            x_btd *= math.sqrt(x_btd.shape[-1])
        offset_btd = c.position.embed(self.param, positions_bt, x_btd.shape[-1], c.max_len)
        if offset_btd is not None:
            x_btd += offset_btd
        if c.token_types:
            table_kd = self.param("type_embedding", embedding_initializer(c), (c.token_types, x_btd.shape[-1]))
            x_btd += gathered(table_kd)[types_bt]
        if c.embedding_norm:
            x_btd = make_norm(c, "norm")(x_btd)
        x_btd = Dropout(c.embedding_dropout, name="dropout")(x_btd.astype(dtype), example_ids_b, train=train)
        if project and c.embedding_dim is not None and not project_tokens:
            x_btd = Dense(c.width, dtype=dtype, kernel_init=kernel_initializer(c), name="projection")(x_btd)
        return x_btd
