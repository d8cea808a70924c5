"""Cross-entropy from hidden states, in chunks: the same numbers and gradients as from all the logits at once."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from arch_zoo.layers import cross_entropy as module
from arch_zoo.layers.cross_entropy import chunk_rows, projected_cross_entropy

N, D, V = 30, 8, 40


def made(bias=True, dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(0), 5)
    return (jax.random.normal(keys[0], (N, D), dtype), jax.random.normal(keys[1], (V, D), dtype),
            jax.random.normal(keys[2], (V,)) if bias else None, jax.random.randint(keys[3], (N,), 0, V),
            jax.random.uniform(keys[4], (N,)))


def at_once(hidden, table, bias, targets, weights, smoothing):
    """By optax, from all the logits."""
    logits = jnp.einsum("nd,vd->nv", hidden, table, preferred_element_type=jnp.float32) + (0 if bias is None else bias)
    labels = optax.smooth_labels(jax.nn.one_hot(targets, V), smoothing)
    return jnp.sum(optax.softmax_cross_entropy(logits, labels) * weights)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [30, 10, 7, 1])
def test_chunks_give_the_loss_and_the_gradients_of_the_whole(monkeypatch, rows, bias, smoothing):
    monkeypatch.setitem(module.CHUNK_ROWS, "cpu", rows)
    arguments = made(bias)
    places = (0, 1, 2, 4) if bias else (0, 1, 4)
    ours = jax.value_and_grad(lambda *a: 3 * projected_cross_entropy(*a, smoothing)[0], places)(*arguments)
    theirs = jax.value_and_grad(lambda *a: 3 * at_once(*a, smoothing), places)(*arguments)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-5), ours, theirs)
    trained, plain = projected_cross_entropy(*arguments, smoothing)
    np.testing.assert_allclose([trained, plain], [at_once(*arguments, smoothing), at_once(*arguments, 0.0)], rtol=1e-5)


def test_a_group_of_models_has_the_losses_and_gradients_of_each(monkeypatch):
    monkeypatch.setitem(module.CHUNK_ROWS, "cpu", 7)
    hidden, table, bias, targets, weights = made()
    hiddens, tables = jnp.stack([hidden, 2 * hidden]), jnp.stack([table, -table])

    def gradient(hidden, table):
        return jax.grad(lambda h, t: projected_cross_entropy(h, t, bias, targets, weights)[0], (0, 1))(hidden, table)

    together = jax.vmap(gradient)(hiddens, tables)
    for i in range(2):
        jax.tree.map(lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=1e-5, atol=1e-6), together,
                     gradient(hiddens[i], tables[i]))


def test_in_bfloat16_sums_are_those_of_float32():
    hidden, table, bias, targets, weights = made(dtype=jnp.bfloat16)
    loss, _ = projected_cross_entropy(hidden, table, bias, targets, weights)
    assert loss.dtype == jnp.float32
    wide = at_once(hidden.astype(jnp.float32), table.astype(jnp.float32), bias, targets, weights, 0.0)
    np.testing.assert_allclose(loss, wide, rtol=1e-6)
    gradient = jax.grad(lambda t: projected_cross_entropy(hidden, t, bias, targets, weights)[0])(table)
    assert gradient.dtype == jnp.bfloat16


def test_no_array_of_all_the_logits_is_ever_made(monkeypatch):
    """Nor does the jaxpr of the whole training step of a model have one; that of the logits themselves does."""
    monkeypatch.setitem(module.CHUNK_ROWS, "cpu", 10)
    arguments = made()
    ours = sizes(jax.make_jaxpr(jax.grad(lambda h: projected_cross_entropy(h, *arguments[1:])[0]))(arguments[0]).jaxpr)
    theirs = sizes(jax.make_jaxpr(jax.grad(lambda h: at_once(h, *arguments[1:], 0.0)))(arguments[0]).jaxpr)
    assert max(ours) == 10 * V and max(theirs) == N * V


def sizes(jaxpr) -> list[int]:
    """How many elements each array in it has, those of inner functions too."""
    found = []
    for equation in jaxpr.eqns:
        found += [variable.aval.size for variable in equation.outvars if hasattr(variable.aval, "size")]
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                found += sizes(inner)
    return found


@pytest.mark.parametrize(("n", "rows"), [(4096, 256), (100, 100), (4093, 256), (6 * 127, 254), (0, 1)])
def test_chunks_divide_the_rows_where_they_can(n, rows):
    assert chunk_rows(n) == rows
