"""Attention with linear biases (Press et al. 2022)."""

import dataclasses
import math

import jax
import jax.numpy as jnp

from arch_zoo.layers.positions.base import MakeParam, Position
from arch_zoo.registry import POSITIONS
from arch_zoo.settings import setting


def slopes(heads: int) -> list[float]:
    """One slope a head: 2^(−8i/n) for n heads a power of two; else the next power's, every other one, fill up."""
    power = 2 ** math.floor(math.log2(heads))
    first = [2.0 ** (-8.0 * (i + 1) / power) for i in range(power)]
    extra = [2.0 ** (-8.0 * (i + 1) / (2 * power)) for i in range(0, 2 * (heads - power), 2)]
    return first + extra


@POSITIONS.register("alibi")
@dataclasses.dataclass(frozen=True)
class Alibi(Position):
    """A penalty proportional to distance; symmetric where both sides are visible."""

    scale: float = setting(1.0, "multiplies the slopes (Falcon-RW: head_dim ** -0.5)", low=0)

    def bias(self, param: MakeParam, distance_bqk: jax.Array, heads: int, bidirectional: bool) -> jax.Array:
        return -self.scale * jnp.asarray(slopes(heads))[None, :, None, None] * jnp.abs(distance_bqk)[:, None]
