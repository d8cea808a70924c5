"""Cross-entropy, from logits or, without ever holding all of them, from hidden states."""

import functools

import jax
import jax.numpy as jnp

# Rows that are projected at once. Their logits are read several times: on CPU few enough to stay in the cache.
CHUNK_ROWS = {"cpu": 256}
_CHUNK_ROWS_ELSEWHERE = 4096


def cross_entropy(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """−log p(target) in nats: [..., v] and int [...] to [...]."""
    picked = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return jax.nn.logsumexp(logits, axis=-1) - picked


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def projected_cross_entropy(hidden_nd: jax.Array, table_vd: jax.Array, bias_v: jax.Array | None, targets_n: jax.Array,
                            weights_n: jax.Array, smoothing: float = 0.0) -> tuple[jax.Array, jax.Array]:
    """Σ weight · cross-entropy in nats of logits hidden · tableᵀ + bias, which are made a few rows at a time.

    Where a gradient is asked for, that of the logits is made while they are at hand, as in Liger's fused linear
    cross-entropy (Hsu et al. 2024): nothing is computed twice, and of a [n, v] array only a chunk ever exists.

    Args:
      smoothing: the share of the target's probability that is spread over all v (Szegedy et al. 2016, section 7).

    Returns:
      (with smoothing, without it); no gradient passes through the second.
    """
    chunks = _chunked(hidden_nd, targets_n, weights_n)

    def body(totals, chunk):
        return jax.tree.map(jnp.add, totals, _chunk_loss(*chunk, table_vd, bias_v, smoothing)[0]), None

    return jax.lax.scan(body, _no_loss(), chunks)[0]


def _forward(hidden_nd, table_vd, bias_v, targets_n, weights_n, smoothing):
    """(loss, its gradients): the gradients are what the backward pass only scales."""
    def body(carry, chunk):
        hidden_cd, targets_c, weights_c = chunk
        losses, logits_cv, nats_c = _chunk_loss(*chunk, table_vd, bias_v, smoothing)
        gradient_cv = weights_c[:, None] * _gradient_of_logits(logits_cv, targets_c, smoothing)
        narrow_cv = gradient_cv.astype(hidden_cd.dtype)
        totals, of_table_vd, of_bias_v = carry
        of_table_vd += jnp.einsum("cv,cd->vd", narrow_cv, hidden_cd, preferred_element_type=jnp.float32)
        of_bias_v = None if bias_v is None else of_bias_v + gradient_cv.sum(axis=0)
        of_hidden_cd = jnp.einsum("cv,vd->cd", narrow_cv, table_vd)
        return (jax.tree.map(jnp.add, totals, losses), of_table_vd, of_bias_v), (of_hidden_cd, nats_c)

    nothing = (_no_loss(), jnp.zeros(table_vd.shape, jnp.float32),
               None if bias_v is None else jnp.zeros(bias_v.shape, jnp.float32))
    (totals, of_table_vd, of_bias_v), (of_hidden, nats) = jax.lax.scan(
        body, nothing, _chunked(hidden_nd, targets_n, weights_n))
    of_hidden_nd, nats_n = (x.swapaxes(0, 1).reshape(-1, *x.shape[2:])[:len(hidden_nd)] for x in (of_hidden, nats))
    return totals, (of_hidden_nd, of_table_vd.astype(table_vd.dtype), of_bias_v, nats_n)


def _backward(smoothing, gradients, cotangents):
    scaled = jax.tree.map(lambda g: (cotangents[0] * g).astype(g.dtype), gradients)
    of_hidden_nd, of_table_vd, of_bias_v, of_weights_n = scaled
    return of_hidden_nd, of_table_vd, of_bias_v, None, of_weights_n


projected_cross_entropy.defvjp(_forward, _backward)


def _chunk_loss(hidden_cd, targets_c, weights_c, table_vd, bias_v, smoothing):
    """((loss of a chunk, the same without smoothing), its logits, its nats)."""
    logits_cv = jnp.einsum("cd,vd->cv", hidden_cd, table_vd, preferred_element_type=jnp.float32)
    if bias_v is not None:
        logits_cv += bias_v
    plain_c = nats_c = cross_entropy(logits_cv, targets_c)
    if smoothing:
        of_all_c = jax.nn.logsumexp(logits_cv, axis=-1) - logits_cv.mean(axis=-1)
        nats_c = (1 - smoothing) * nats_c + smoothing * of_all_c
    return (jnp.sum(nats_c * weights_c), jnp.sum(plain_c * weights_c)), logits_cv, nats_c


def _gradient_of_logits(logits_cv, targets_c, smoothing):
    v = logits_cv.shape[-1]
    is_target_cv = jnp.arange(v)[None] == targets_c[:, None]
    return jax.nn.softmax(logits_cv, axis=-1) - ((1 - smoothing) * is_target_cv + smoothing / v)


def _no_loss():
    return jnp.zeros((), jnp.float32), jnp.zeros((), jnp.float32)


def _chunked(hidden_nd, targets_n, weights_n):
    """The rows as [chunks, rows of a chunk, …]; where their number has no fitting divisor, with rows of no weight.

    Chunk m takes rows m, m + chunks, …: the leading axis, over which devices share the batch, stays whole.
    """
    n = len(hidden_nd)
    size = chunk_rows(n)
    pad = -n % size

    def cut(x):
        x = jnp.pad(x, ((0, pad), *((0, 0) for _ in x.shape[1:])))
        return x.reshape(size, -1, *x.shape[1:]).swapaxes(0, 1)

    return jax.tree.map(cut, (hidden_nd, targets_n, weights_n))


def chunk_rows(n: int) -> int:
    """How many of n rows are projected at once."""
    most = max(1, min(n, CHUNK_ROWS.get(jax.default_backend(), _CHUNK_ROWS_ELSEWHERE)))
    divisors = (size for size in range(most, most // 2, -1) if n % size == 0)
    return next(divisors, most)
