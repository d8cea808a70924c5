"""What models ask of an attention kernel, in small: who sees whom, biases, members; and what a kernel is held to."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from arch_zoo.layers import placement
from arch_zoo.layers.kernels.base import Asked
from arch_zoo.layers.kernels.einsum import Einsum
from arch_zoo.layers.visibility import Pattern, Seen, Visibility, seen_cross, seen_self

B, T, H, D = 3, 32, 4, 16
ROWS = {"one segment": jnp.array([[1] * 32, [1] * 21 + [0] * 11, [1] * 3 + [0] * 29]),
        "packed": jnp.array([[1] * 9 + [2] * 23, [1] * 8 + [2] * 8 + [1] * 8 + [2] * 4 + [0] * 4, [0] * 32])}
PREFIX = jnp.broadcast_to(jnp.arange(T) < 6, (B, T))


def normal(seed: int, *shape: int, dtype=jnp.float32) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape, dtype)


def inputs(groups: int = H, keys: int = T, dtype=jnp.float32) -> tuple[jax.Array, ...]:
    return (normal(0, B, T, H, D, dtype=dtype), normal(1, B, keys, groups, D, dtype=dtype),
            normal(2, B, keys, groups, D, dtype=dtype))


def results(kernel, qkv, seen: Seen, bias=None):
    """(output, gradients of the queries, keys, values and the bias)."""
    def loss(arrays):
        out = kernel(*arrays[0], seen, arrays[1], scale=0.3, drop=None)
        return jnp.sum(jnp.sin(out.astype(jnp.float32))), out

    (_, out), gradients = jax.value_and_grad(loss, has_aux=True)((qkv, bias))
    return out, gradients


def seen_in(rows: str, visibility: Visibility, window: int = 0, length: int = T) -> Seen:
    return seen_self(visibility, ROWS[rows][:, :length], PREFIX[:, :length], window, one_segment=rows == "one segment")


def seen_across(rows: str, keys: int) -> Seen:
    return seen_cross(ROWS[rows], ROWS[rows][:, :keys], rows == "one segment")


def assert_equal(kernel, qkv, seen, bias=None, tolerance=2e-5, results=results):
    both = jax.jit(lambda qkv, bias: [results(one, qkv, seen, bias) for one in (kernel, Einsum())])(qkv, bias)
    for ours, expected in zip(*map(jax.tree.leaves, both), strict=True):
        np.testing.assert_allclose(np.asarray(ours, np.float32), np.asarray(expected, np.float32), atol=tolerance)


# What models ask of a kernel: who sees whom, what kind of bias there is, and of how many rows.
VARIANTS = {"one segment": (seen_in("one segment", Visibility.CAUSAL), None, 0),
            "one segment, of an odd length": (seen_in("one segment", Visibility.BIDIRECTIONAL, length=27), None, 0),
            "a window": (seen_in("one segment", Visibility.CAUSAL, 5), None, 0),
            "a window to both sides": (seen_in("one segment", Visibility.BIDIRECTIONAL, 5), None, 0),
            "packed": (seen_in("packed", Visibility.CAUSAL), None, 0),
            "packed, of an odd length": (seen_in("packed", Visibility.BIDIRECTIONAL, length=27), None, 0),
            "a window in packed rows": (seen_in("packed", Visibility.CAUSAL, 5), None, 0),
            "a prefix": (seen_in("packed", Visibility.PREFIX), None, 0),
            "another stream": (seen_across("one segment", 20), None, 0),
            "another stream, of an odd length": (seen_across("one segment", 21), None, 0),
            "another stream in packed rows": (seen_across("packed", 21), None, 0),
            "a fixed bias": (seen_in("one segment", Visibility.CAUSAL), "fixed", 1),
            "a fixed bias, in packed rows": (seen_in("packed", Visibility.CAUSAL), "fixed", B),
            "a fixed bias and a window": (seen_in("one segment", Visibility.CAUSAL, 5), "fixed", 1),
            "a learned bias": (seen_in("one segment", Visibility.CAUSAL), "shared", 1),
            "a learned bias, of an odd length": (seen_in("one segment", Visibility.CAUSAL, length=27), "shared", 1)}


def of_variant(name: str, dtype) -> tuple:
    """(queries, keys and values; who sees whom; the bias)."""
    seen, _, rows = VARIANTS[name]
    _, queries, keys = seen.visible_bqk.shape
    q, k, v = inputs(2, keys, dtype)
    return (q[:, :queries], k, v), seen, normal(4, rows, H, queries, keys) if rows else None


def of_members(kernel, qkv, seen: Seen, bias=None, fixed: bool = False):
    """`results` of two members: each has its own rows, and a bias of its own unless that is fixed."""
    with placement.with_members():
        return jax.vmap(lambda *each: results(kernel, *each), (0, 0, None if fixed else 0))(
            *jax.tree.map(lambda x: jnp.stack([x, x[::-1] if jnp.ndim(x) else x]), (qkv, seen)),
            bias if fixed or bias is None else jnp.stack([bias, -bias]))


def ways(name: str) -> list:
    """How the results of a variant are computed: alone, and with members."""
    return [results, functools.partial(of_members, fixed=VARIANTS[name][1] == "fixed")]


def asked(visibility: Visibility | None = Visibility.CAUSAL, *, one_segment: bool = True, window: int = 0,
          crosses: bool = False, **changes) -> Asked:
    """What training in bfloat16 on a GPU asks."""
    pattern = None if visibility is None else Pattern(None, None, visibility, window, one_segment, crosses)
    return dataclasses.replace(Asked("gpu", "bfloat16", 1024, 1024, 64, pattern, train=True), **changes)
