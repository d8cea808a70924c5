"""Rotary positions (Su et al. 2021, RoFormer), in the half-split form of GPT-NeoX and LLaMA."""

import dataclasses

import jax
import jax.numpy as jnp

from arch_zoo.layers.positions.base import Position
from arch_zoo.registry import POSITIONS
from arch_zoo.settings import setting


@POSITIONS.register("rotary")
@dataclasses.dataclass(frozen=True)
class Rotary(Position):
    """Pairs (x_i, x_{i + n/2}) of a head are turned by p · theta^(−2i/n); logits then depend on distance alone."""

    theta: float = setting(10_000.0, "base of the wavelengths", low=1)
    share: float = setting(1.0, "share of each head that is rotated; the rest passes unchanged", low=0, high=1)

    def _rotated(self, head_dim: int) -> int:
        return int(head_dim * self.share)

    def refusal(self, head_dim: int) -> str | None:
        if self._rotated(head_dim) % 2:
            return f"rotary turns pairs, but {self._rotated(head_dim)} of {head_dim} entries of a head are to be turned"
        return None

    def rotate(self, x_bthd: jax.Array, positions_bt: jax.Array) -> jax.Array:
        n = self._rotated(x_bthd.shape[-1])
        frequencies = self.theta ** (-jnp.arange(0, n, 2) / n)
        angles = positions_bt[:, :, None, None] * frequencies
        cos, sin = jnp.cos(angles).astype(x_bthd.dtype), jnp.sin(angles).astype(x_bthd.dtype)
        first, second, rest = jnp.split(x_bthd, (n // 2, n), axis=-1)
        return jnp.concatenate([first * cos - second * sin, second * cos + first * sin, rest], axis=-1)
