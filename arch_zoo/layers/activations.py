"""Activations. A smooth one keeps one number for its gradient: its slope, worked out beside its value.

What automatic differentiation would keep instead are the three to five arrays that the formula goes through, and on
machines whose memory is the limit that costs time as well (benchmarks/NOTES.md).
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp


def _with_slope(value_and_slope: Callable[[jax.Array], tuple[jax.Array, jax.Array]]) -> Callable:
    def activation(x: jax.Array) -> jax.Array:
        return value_and_slope(x)[0]

    def jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
        value, slope = value_and_slope(*primals)
        return value, slope * tangents[0]

    activation.__name__, activation.__doc__ = value_and_slope.__name__, value_and_slope.__doc__
    made = jax.custom_jvp(activation)
    made.defjvp(jvp)
    return made


@_with_slope
def gelu(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """x · Φ(x) (Hendrycks & Gimpel 2016)."""
    below = 0.5 * jax.lax.erfc(-x * math.sqrt(0.5))
    density = math.sqrt(0.5 / math.pi) * jnp.exp(-0.5 * x * x)
    return x * below, below + x * density


@_with_slope
def gelu_tanh(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The same paper's approximation of it."""
    scale, cubic = math.sqrt(2 / math.pi), 0.044715
    tanh = jnp.tanh(scale * (x + cubic * (x * x * x)))
    below = 0.5 * (1 + tanh)
    return x * below, below + 0.5 * x * (1 - tanh * tanh) * (scale * (1 + 3 * cubic * (x * x)))


@_with_slope
def silu(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """x · sigmoid(x); Swish with β = 1 (Ramachandran et al. 2017)."""
    gate = jax.nn.sigmoid(x)
    return x * gate, gate * (1 + x * (1 - gate))


ACTIVATIONS = {
    "relu": jax.nn.relu,
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "silu": silu,
    "sigmoid": jax.nn.sigmoid,  # gated: GLU
    "identity": lambda x: x,    # gated: bilinear
}
