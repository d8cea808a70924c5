"""How projections multiply activations by weights."""

import functools
import math
from typing import Any

import flax.linen as nn
import jax


def by_rows(x: jax.Array, kernel: jax.Array, dimension_numbers: Any, **keywords: Any) -> jax.Array:
    """`jax.lax.dot_general` of activations [..., k] and a kernel [k, ...], k of one or several axes: as one matrix
    product, all positions of all rows below each other.

    The numbers are the same. But where batch and position are axes of their own, XLA's CPU backend turns activations
    over in memory before it makes the kernel's gradient, and takes twice the time for it (benchmarks/NOTES.md).
    """
    (contracted, leading), batch = dimension_numbers
    n = len(contracted)
    if batch != ((), ()) or tuple(contracted) != tuple(range(x.ndim - n, x.ndim)) or tuple(leading) != tuple(range(n)):
        raise ValueError(f"by_rows multiplies last axes of x by first ones of the kernel, not {dimension_numbers}")
    k = math.prod(kernel.shape[:n])
    rows = jax.lax.dot_general(x.reshape(-1, k), kernel.reshape(k, -1), (((1,), (0,)), ((), ())), **keywords)
    return rows.reshape(*x.shape[:x.ndim - n], *kernel.shape[n:])


# Flax's dense layer, over one axis or several, as every model here has it.
Dense = functools.partial(nn.DenseGeneral, dot_general=by_rows)
