"""Attention as it is written down: the reference for every other kernel, and the one for CPUs."""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from arch_zoo.layers.kernels.base import Asked, Drop, Kernel
from arch_zoo.layers.visibility import Seen
from arch_zoo.registry import KERNELS


def attend(q_bqhd: jax.Array, k_bkgd: jax.Array, v_bkgd: jax.Array, visible_bqk: jax.Array,
           bias_bhqk: jax.Array | None = None, *, scale: float = 1.0, drop: Drop | None = None) -> jax.Array:
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
        bias_bhqk = bias_bhqk if bias_bhqk.shape[0] == b else for_every_row(bias_bhqk[0], b)
        logits += bias_bhqk.reshape(b, g, h // g, *bias_bhqk.shape[2:])
    logits = jnp.where(visible_bqk[:, None, None], logits, jnp.finfo(jnp.float32).min)
    probabilities = softmax(logits).astype(v_bgkd.dtype)
    if drop is not None:
        probabilities = drop(probabilities)
    out_bgnd = jnp.einsum("bgnk,bgkd->bgnd", probabilities.reshape(b, g, -1, k), v_bgkd)
    out_bqhd = out_bgnd.reshape(b, g, h // g, q, -1).transpose(0, 3, 1, 2, 4).reshape(b, q, h, -1)
    return jnp.where(visible_bqk.any(axis=-1)[:, :, None, None], out_bqhd, 0)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def for_every_row(bias_hqk: jax.Array, rows: int) -> jax.Array:
    """The bias that the rows of a batch share, [rows, h, q, k]. Its gradient is their sum: on CPU row after row, since
    XLA goes over all rows for each element, which takes thirty times as long (benchmarks/NOTES.md).
    """
    return jnp.broadcast_to(bias_hqk, (rows, *bias_hqk.shape))


def _for_every_row_forward(bias_hqk: jax.Array, rows: int) -> tuple[jax.Array, None]:
    return for_every_row(bias_hqk, rows), None


def _for_every_row_backward(rows: int, kept: None, change_bhqk: jax.Array) -> tuple[jax.Array]:
    return jax.lax.platform_dependent(change_bhqk, cpu=_row_after_row, default=lambda change: change.sum(axis=0)),


def _row_after_row(x: jax.Array) -> jax.Array:
    return jax.lax.scan(lambda total, row: (total + row, None), jnp.zeros_like(x[0]), x)[0]


for_every_row.defvjp(_for_every_row_forward, _for_every_row_backward)


@jax.custom_jvp
def softmax(logits: jax.Array) -> jax.Array:
    """Over the last axis. Its derivative is written in the probabilities, which the product after it keeps anyway: what
    is derived from a quotient keeps the exponentials besides, and goes over them once more (benchmarks/NOTES.md).
    `jax.nn.softmax` has the same rule where jax_softmax_custom_jvp is set, which is the user's.
    """
    exponentials = jnp.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


@softmax.defjvp
def _softmax_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    (logits,), (change,) = primals, tangents
    probabilities = softmax(logits)
    return probabilities, probabilities * (change - (probabilities * change).sum(axis=-1, keepdims=True))


@KERNELS.register("einsum")
@dataclasses.dataclass(frozen=True)
class Einsum(Kernel):
    """`attend`: does everything everywhere, and holds the logits of all queries and keys."""

    platforms = ("cpu", "gpu", "tpu")

    def refusal(self, asked: Asked) -> None:
        return None

    def __call__(self, q_bqhd: jax.Array, k_bkgd: jax.Array, v_bkgd: jax.Array, seen: Seen,
                 bias_bhqk: jax.Array | None, *, scale: float, drop: Drop | None) -> jax.Array:
        return attend(q_bqhd, k_bkgd, v_bkgd, seen.visible_bqk, bias_bhqk, scale=scale, drop=drop)
