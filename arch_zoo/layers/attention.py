"""The one attention: a pure function, and the one module that gives it queries, keys and values."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from arch_zoo.config import ModelConfig
from arch_zoo.layers.cache import kept
from arch_zoo.layers.dropout import Dropout
from arch_zoo.layers.initializers import kernel_initializer
from arch_zoo.layers.norms import RMSNorm


def attend(q_bqhd: jax.Array, k_bkgd: jax.Array, v_bkgd: jax.Array, visible_bqk: jax.Array,
           bias_bhqk: jax.Array | None = None, *, scale: float = 1.0,
           drop: Callable[[jax.Array], jax.Array] | None = None) -> jax.Array:
    """Scaled dot-product attention (Vaswani et al. 2017, section 3.2.1) with grouped heads (Ainslie et al. 2023).

    Args:
      q_bqhd: queries; `h` is a multiple of the `g` key-value heads, query head i uses key-value head i // (h / g).
      visible_bqk: bool, True = may attend. A query that may attend to nothing gets zeros: a
        mean of values would let it see what it may not.
      bias_bhqk: added to the scaled logits; its b may be 1.
      scale: multiplies the logits.
      drop: applied to the probabilities [b, g, r, q, k].

    Returns:
      [b, q, h, d], in the dtype of the values; the softmax is computed in float32.
    """
    b, q, h, d = q_bqhd.shape
    g, k = k_bkgd.shape[2], k_bkgd.shape[1]
    # Heads first, and the heads of a group below each other: plain batched products of matrices, which on CPU take
    # three quarters of the time that they take in the order in which they come (benchmarks/NOTES.md).
    rows_bgnd = (q_bqhd * scale).reshape(b, q, g, h // g, d).transpose(0, 2, 3, 1, 4).reshape(b, g, -1, d)
    k_bgkd, v_bgkd = k_bkgd.swapaxes(1, 2), v_bkgd.swapaxes(1, 2)
    logits = jnp.einsum("bgnd,bgkd->bgnk", rows_bgnd, k_bgkd).astype(jnp.float32).reshape(b, g, h // g, q, k)
    if bias_bhqk is not None:
        logits += bias_bhqk.reshape(-1, g, h // g, *bias_bhqk.shape[2:])
    logits = jnp.where(visible_bqk[:, None, None], logits, jnp.finfo(jnp.float32).min)
    probabilities = jax.nn.softmax(logits, axis=-1).astype(v_bkgd.dtype)
    if drop is not None:
        probabilities = drop(probabilities)
    out_bgnd = jnp.einsum("bgnk,bgkd->bgnd", probabilities.reshape(b, g, -1, k), v_bgkd)
    out_bqhd = out_bgnd.reshape(b, g, h // g, q, -1).transpose(0, 3, 1, 2, 4).reshape(b, q, h, -1)
    return jnp.where(visible_bqk.any(axis=-1)[:, :, None, None], out_bqhd, 0)


@struct.dataclass
class Places:
    """Where the queries of self-attention stand, which are also its new keys, and how far each is from all the keys."""

    positions_bq: jax.Array
    distance_bqk: jax.Array  # position of the query less that of the key
    first: jax.Array | int = 0  # index of the first query among the keys


class Attention(nn.Module):
    """Multi-head attention from `x_q` to `x_kv`; self-attention is the case in which they are the same stream."""

    config: ModelConfig
    residual_branches: int

    @nn.compact
    def __call__(self, x_q: jax.Array, x_kv: jax.Array | None, visible_bqk: jax.Array, *, example_ids_b: jax.Array,
                 places: Places | None = None, bias_bhqk: jax.Array | None = None,
                 windowed: bool | jax.Array = False, train: bool) -> jax.Array:
        """[b, q, d] from queries [b, q, d] and a stream [b, k, d], or, for None, the one whose keys were kept.

        `places` are given in self-attention only: positions of two different streams have no distance.
        """
        c = self.config

        def project(name, x, heads):
            return nn.DenseGeneral((heads, c.size_of_head), use_bias=c.attention_bias, dtype=x.dtype, name=name,
                                   kernel_init=kernel_initializer(c))(x)

        q_bqhd = project("query", x_q, c.heads)
        if c.qk_norm:
            q_bqhd = RMSNorm(c.norm_epsilon, name="query_norm")(q_bqhd)
        if places is not None:
            q_bqhd = c.position.rotate(q_bqhd, places.positions_bq, windowed)

        def keys_and_values():
            k_bkgd = project("key", x_kv, c.key_value_heads)
            if c.qk_norm:
                k_bkgd = RMSNorm(c.norm_epsilon, name="key_norm")(k_bkgd)
            if places is not None:
                k_bkgd = c.position.rotate(k_bkgd, places.positions_bq, windowed)
            return k_bkgd, project("value", x_kv, c.key_value_heads)

        k_bkgd, v_bkgd = kept(self, None if x_kv is None else keys_and_values(), 0 if places is None else places.first)
        scale = c.size_of_head**-0.5 if c.scale_attention else 1.0
        if places is not None:
            related_bhqk = c.position.relate(self.param, q_bqhd, k_bkgd, places.distance_bqk, c.width)
            if related_bhqk is not None:
                bias_bhqk = scale * related_bhqk + (0 if bias_bhqk is None else bias_bhqk)
        dropout = Dropout(c.attention_dropout, name="dropout")
        out_bqhd = attend(q_bqhd, k_bkgd, v_bkgd, visible_bqk, bias_bhqk, scale=scale,
                          drop=lambda p: dropout(p, example_ids_b, train=train))
        return nn.DenseGeneral(c.width, axis=(-2, -1), use_bias=c.attention_bias, dtype=x_q.dtype, name="out",
                               kernel_init=kernel_initializer(c, residual_branches=self.residual_branches))(out_bqhd)
