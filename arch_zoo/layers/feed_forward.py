"""The feed-forward sublayer, plain or gated (Shazeer 2020)."""

import functools

import flax.linen as nn
import jax

from arch_zoo.config import ModelConfig
from arch_zoo.layers.activations import ACTIVATIONS
from arch_zoo.layers.dropout import Dropout
from arch_zoo.layers.initializers import kernel_initializer
from arch_zoo.layers.products import Dense


class FeedForward(nn.Module):
    """down(f(up(x))), or down(f(gate(x)) · up(x)) when gated."""

    config: ModelConfig
    residual_branches: int

    @nn.compact
    def __call__(self, x_btd: jax.Array, *, example_ids_b: jax.Array, train: bool) -> jax.Array:
        c = self.config
        dense = functools.partial(Dense, use_bias=c.mlp_bias, dtype=x_btd.dtype)
        x_btm = dense(c.size_of_mlp, kernel_init=kernel_initializer(c), name="up")(x_btd)
        if c.gated:
            gate_btm = dense(c.size_of_mlp, kernel_init=kernel_initializer(c), name="gate")(x_btd)
            x_btm = ACTIVATIONS[c.activation](gate_btm) * x_btm
        else:
            x_btm = ACTIVATIONS[c.activation](x_btm)
        x_btm = Dropout(c.mlp_dropout, name="dropout")(x_btm, example_ids_b, train=train)
        return dense(c.width, kernel_init=kernel_initializer(c, residual_branches=self.residual_branches),
                     name="down")(x_btm)
