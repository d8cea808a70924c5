"""The one module that makes queries, keys and values, and gives them to a kernel."""

import flax.linen as nn
import jax
from flax import struct

from arch_zoo.config import ModelConfig
from arch_zoo.layers.cache import kept
from arch_zoo.layers.dropout import Dropout
from arch_zoo.layers.initializers import kernel_initializer
from arch_zoo.layers.kernels.base import Asked
from arch_zoo.layers.module import Module
from arch_zoo.layers.norms import RMSNorm
from arch_zoo.layers.placement import devices_a_row
from arch_zoo.layers.products import Dense
from arch_zoo.layers.visibility import Seen


@struct.dataclass
class Places:
    """Where the queries of self-attention stand, which are also its new keys, and how far each is from all the keys."""

    positions_bq: jax.Array
    distance_bqk: jax.Array  # position of the query less that of the key; b may be 1
    first: jax.Array | int = 0  # index of the first query among the keys


class Attention(Module):
    """Multi-head attention from `x_q` to `x_kv`; self-attention is the case in which they are the same stream."""

    config: ModelConfig
    residual_branches: int

    @nn.compact
    def __call__(self, x_q: jax.Array, x_kv: jax.Array | None, seen: Seen, *, example_ids_b: jax.Array,
                 places: Places | None = None, bias_bhqk: jax.Array | None = None, train: bool) -> jax.Array:
        """[b, q, d] from queries [b, q, d] and a stream [b, k, d], or, for None, the one whose keys were kept.

        `places` are given in self-attention only: positions of two different streams have no distance.
        """
        c = self.config

        def project(name, x, heads):
            return Dense((heads, c.size_of_head), use_bias=c.attention_bias, dtype=x.dtype, name=name,
                         kernel_init=kernel_initializer(c))(x)

        q_bqhd = project("query", x_q, c.heads)
        if c.qk_norm:
            q_bqhd = RMSNorm(c.norm_epsilon, name="query_norm")(q_bqhd)
        if places is not None:
            q_bqhd = c.position.rotate(q_bqhd, places.positions_bq, seen.windowed)

        def keys_and_values():
            k_bkgd = project("key", x_kv, c.key_value_heads)
            if c.qk_norm:
                k_bkgd = RMSNorm(c.norm_epsilon, name="key_norm")(k_bkgd)
            if places is not None:
                k_bkgd = c.position.rotate(k_bkgd, places.positions_bq, seen.windowed)
            return k_bkgd, project("value", x_kv, c.key_value_heads)

        k_bkgd, v_bkgd = kept(self, None if x_kv is None else keys_and_values(), 0 if places is None else places.first)
        scale = c.size_of_head**-0.5 if c.scale_attention else 1.0
        if places is not None:
            related_bhqk = c.position.relate(self.param, q_bqhd, k_bkgd, places.distance_bqk, c.width)
            if related_bhqk is not None:
                bias_bhqk = scale * related_bhqk + (0 if bias_bhqk is None else bias_bhqk)
        dropout = Dropout(c.attention_dropout, name="dropout")
        drop = (lambda p: dropout(p, example_ids_b, train=train)) if train and c.attention_dropout else None
        kernel = c.attention_kernel.chosen(self._asked(q_bqhd, k_bkgd, seen, bias_bhqk, train))
        out_bqhd = kernel(q_bqhd, k_bkgd, v_bkgd, seen, bias_bhqk, scale=scale, drop=drop)
        return Dense(c.width, axes=2, use_bias=c.attention_bias, dtype=x_q.dtype, name="out",
                     kernel_init=kernel_initializer(c, residual_branches=self.residual_branches))(out_bqhd)

    def _asked(self, q_bqhd: jax.Array, k_bkgd: jax.Array, seen: Seen, bias_bhqk: jax.Array | None,
               train: bool) -> Asked:
        c = self.config
        bias = None if bias_bhqk is None else "fixed"
        if bias_bhqk is not None and train and c.position.learns_bias:
            bias = "learned" if bias_bhqk.shape[0] > 1 else "shared"
        return Asked(jax.default_backend(), q_bqhd.dtype.name, q_bqhd.shape[1], k_bkgd.shape[1], c.size_of_head,
                     seen.pattern, bias, bool(train and c.attention_dropout), train, c.key_value_heads, devices_a_row())
