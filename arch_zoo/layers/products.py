"""How projections multiply activations by weights."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from arch_zoo.layers.module import Module


class Dense(Module):
    """x · kernel + bias over the last `axes` axes of x, into one axis of `features` or several.

    One matrix product, all positions of all rows below each other: where batch and position are axes of their own,
    XLA's CPU backend turns activations over in memory before it makes the kernel's gradient, and takes twice the time
    for it (benchmarks/NOTES.md).
    """

    features: int | tuple[int, ...]
    kernel_init: nn.initializers.Initializer
    axes: int = 1
    use_bias: bool = True
    dtype: jnp.dtype | None = None  # in which it computes; none: that of x and the kernel together

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        features = self.features if isinstance(self.features, tuple) else (self.features,)
        into = x.shape[-self.axes:]
        rows, columns = math.prod(into), math.prod(features)

        def draw(key, shape):  # fans are those of the product, whatever the axes
            return self.kernel_init(key, (rows, columns), jnp.float32).reshape(shape)

        kernel = self.param("kernel", draw, into + features)
        dtype = self.dtype or jnp.result_type(x, kernel)
        y = x.astype(dtype).reshape(-1, rows) @ kernel.astype(dtype).reshape(rows, columns)
        y = y.reshape(*x.shape[:-self.axes], *features)
        if self.use_bias:
            y += self.param("bias", nn.initializers.zeros, features).astype(dtype)
        return y
