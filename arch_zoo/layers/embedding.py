"""Tokens into vectors and back."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from arch_zoo.config import ModelConfig
from arch_zoo.layers.dropout import Dropout
from arch_zoo.layers.initializers import embedding_initializer
from arch_zoo.layers.norms import make_norm


class Embedding(nn.Module):
    """Token embeddings and what the position scheme adds to them; the table also serves a tied head."""

    config: ModelConfig
    vocab_size: int

    def setup(self):
        c = self.config
        self.table_vd = self.param("token_embedding", embedding_initializer(c), (self.vocab_size, c.width))
        self.norm = make_norm(c, "norm") if c.embedding_norm else None
        self.dropout = Dropout(c.embedding_dropout)

    @nn.compact
    def __call__(self, tokens_bt: jax.Array, positions_bt: jax.Array, example_ids_b: jax.Array, *, stream: str,
                 dtype: jnp.dtype, train: bool) -> jax.Array:
        """[b, t, d] in `dtype`. `stream` names the place where tests and analyses may add a perturbation."""
        c = self.config
        x_btd = self.perturb(stream, self.table_vd[tokens_bt])
        if c.scale_embeddings:
            x_btd *= math.sqrt(c.width)
        offset_btd = c.position.embed(self.param, positions_bt, c.width, c.max_len)
        if offset_btd is not None:
            x_btd += offset_btd
        if self.norm is not None:
            x_btd = self.norm(x_btd)
        return self.dropout(x_btd.astype(dtype), example_ids_b, train=train)
