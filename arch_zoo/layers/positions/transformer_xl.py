"""Transformer-XL's relative positions (Dai et al. 2019, section 3.3), as Gopher and Chinchilla use them."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from arch_zoo.layers.positions.base import MakeParam, Position
from arch_zoo.registry import POSITIONS
from arch_zoo.settings import setting


@POSITIONS.register("transformer_xl")
@dataclasses.dataclass(frozen=True)
class TransformerXL(Position):
    """Logits (q + u)·k + (q + v)·W r(distance): r a sinusoid, W, u and v learned in each block.

    The first term's q·k is attention's own; u·k and (q + v)·W r are added here.
    """

    learns_bias = True
    period: float = setting(10_000.0, "wavelengths of the sinusoids go from 2π to 2π times this", low=1)
    std: float = setting(0.02, "standard deviation of the initial W; u and v start at zero", low=0)

    def relate(self, param: MakeParam, q_bqhd: jax.Array, k_bkgd: jax.Array, distance_bqk: jax.Array,
               width: int) -> jax.Array:
        t, (h, d) = k_bkgd.shape[1], q_bqhd.shape[2:]
        w_whd = param("relative_kernel", nn.initializers.normal(self.std), (width, h, d))
        u_hd = param("content_bias", nn.initializers.zeros, (h, d)).astype(q_bqhd.dtype)
        v_hd = param("distance_bias", nn.initializers.zeros, (h, d)).astype(q_bqhd.dtype)
        r_nhd = jnp.einsum("nw,whd->nhd", self._sinusoids(t, width), w_whd).astype(q_bqhd.dtype)
        k_bkhd = jnp.repeat(k_bkgd, h // k_bkgd.shape[2], axis=2)
        by_content_bhk = jnp.einsum("hd,bkhd->bhk", u_hd, k_bkhd)
        by_distance_bhqn = jnp.einsum("bqhd,nhd->bhqn", q_bqhd + v_hd, r_nhd)
        return by_content_bhk[:, :, None] + jnp.take_along_axis(by_distance_bhqn, distance_bqk[:, None] + t - 1, axis=3)

    def relate_flops(self, length: int, width: int, heads: int, head_dim: int) -> int:
        distances = 2 * length - 1
        return 2 * heads * head_dim * (distances * width + length + length * distances)

    def _sinusoids(self, t: int, width: int) -> jax.Array:
        """[2t − 1, width]: one row for each distance from −(t − 1) to t − 1."""
        angles = np.arange(1 - t, t)[:, None] / self.period ** (np.arange(0, width, 2) / width)
        return jnp.asarray(np.concatenate([np.sin(angles), np.cos(angles)], axis=1)[:, :width], jnp.float32)
