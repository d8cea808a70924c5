"""T5's relative position bias (Raffel et al. 2020, section 2.1)."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from arch_zoo.layers.positions.base import MakeParam, Position
from arch_zoo.registry import POSITIONS
from arch_zoo.settings import FieldError, setting


def bucket(relative: jax.Array, bidirectional: bool, buckets: int, max_distance: int) -> jax.Array:
    """The bucket of a relative position (key − query): exact up to a half, logarithmic up to max_distance.

    With `bidirectional` half of the buckets serve keys after the query; else those all fall into bucket 0.
    """
    base = 0
    if bidirectional:
        buckets //= 2
        base = jnp.where(relative > 0, buckets, 0)
        distance = jnp.abs(relative)
    else:
        distance = jnp.maximum(-relative, 0)
    exact = buckets // 2
    ratio = jnp.log(jnp.maximum(distance, 1).astype(jnp.float32) / exact) / np.log(max_distance / exact)
    far = exact + (ratio * (buckets - exact)).astype(jnp.int32)
    return base + jnp.where(distance < exact, distance, jnp.minimum(far, buckets - 1))


@POSITIONS.register("t5_bias")
@dataclasses.dataclass(frozen=True)
class T5Bias(Position):
    """A learned number for each head and bucket of distance, shared by all blocks of a stack."""

    learns_bias = True
    buckets: int = setting(32, "buckets of distance", low=4)
    max_distance: int = setting(128, "distances from here on share the last bucket", low=2)
    std: float = setting(0.02, "standard deviation of the initial table", low=0)

    def check(self) -> None:
        if self.max_distance <= self.buckets // 2:
            raise FieldError("max_distance", f"{self.max_distance} is not above half the buckets ({self.buckets // 2})")

    def bias(self, param: MakeParam, distance_bqk: jax.Array, heads: int, bidirectional: bool) -> jax.Array:
        table_nh = param("relative_bias", nn.initializers.normal(self.std), (self.buckets, heads))
        return table_nh[bucket(-distance_bqk, bidirectional, self.buckets, self.max_distance)].transpose(0, 3, 1, 2)
