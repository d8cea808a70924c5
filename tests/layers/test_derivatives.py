"""Derivatives that are written by hand (activations, norms, softmax): those of automatic differentiation, from less."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arch_zoo.layers.activations import ACTIVATIONS, gelu, gelu_tanh, silu
from arch_zoo.layers.kernels.einsum import for_every_row, softmax
from arch_zoo.layers.norms import standardized


def rms(x):
    return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + 1e-5)


def plain_softmax(x):
    exponentials = jnp.exp(x - jax.lax.stop_gradient(x.max(axis=-1, keepdims=True)))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


# {name: (ours, the formula that is differentiated)}
PAIRS = {"gelu": (gelu, lambda x: jax.nn.gelu(x, approximate=False)),
         "gelu_tanh": (gelu_tanh, lambda x: jax.nn.gelu(x, approximate=True)),
         "silu": (silu, jax.nn.silu),
         "layer_norm": (lambda x: standardized(x, 1e-5, True), lambda x: jax.nn.standardize(x, epsilon=1e-5)),
         "rms_norm": (lambda x: standardized(x, 1e-5, False), rms),
         "softmax": (softmax, plain_softmax)}


def inputs(shape=(3, 5, 16), scale=3.0):
    x, weights = np.random.default_rng(0).normal(0, scale, (2, *shape)).astype(np.float32)
    return jnp.asarray(x + 1), jnp.asarray(weights)


def kept(function, x) -> int:
    """How many arrays of the size of x the forward pass leaves to the backward pass, with that of a product after."""
    arrays = jax.tree.leaves(jax.vjp(lambda x, w: function(x) @ w, x, jnp.ones((x.shape[-1], 1)))[1])
    return len({array.unsafe_buffer_pointer() for array in arrays if array.size >= x.size})


@pytest.mark.parametrize("name", PAIRS)
def test_values_and_gradients_are_those_of_the_formula(name):
    ours, formula = PAIRS[name]
    x, weights = inputs()
    np.testing.assert_allclose(ours(x), formula(x), rtol=1e-6, atol=1e-7)
    gradients = [jax.grad(lambda x, f=f: jnp.sum(jnp.sin(f(x)) * weights))(x) for f in (ours, formula)]
    np.testing.assert_allclose(*gradients, rtol=2e-5, atol=5e-6)
    second = [jax.grad(lambda x, f=f: jnp.sum(jnp.square(jax.grad(lambda x: jnp.sum(f(x) * weights))(x))))(x)
              for f in (ours, formula)]
    np.testing.assert_allclose(*second, rtol=2e-4, atol=2e-3)


@pytest.mark.parametrize("name", PAIRS)
def test_no_more_is_kept_for_the_gradient_than_the_result_that_the_next_layer_keeps_and_slopes(name):
    x, _ = inputs()
    ours, formula = (kept(function, x) for function in PAIRS[name])
    assert ours == (2 if name in ACTIVATIONS else 1) < formula


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "silu"])
def test_far_from_zero_and_at_zero_nothing_is_nan(name):
    x = jnp.array([-1e4, -50.0, -1e-30, 0.0, 1e-30, 50.0, 1e4])
    values, slopes = ACTIVATIONS[name](x), jax.vmap(jax.grad(ACTIVATIONS[name]))(x)
    np.testing.assert_allclose(values, jnp.where(x > 1, x, 0.0), atol=1e-6)
    np.testing.assert_allclose(slopes, [0, 0, 0.5, 0.5, 0.5, 1, 1], atol=1e-6)


def test_half_precision_stays_half():
    x = jnp.ones(4, jnp.bfloat16)
    for name, function in ACTIVATIONS.items():
        slope = jax.eval_shape(jax.grad(lambda x, f=function: f(x).astype(jnp.float32).sum()), x)
        assert (function(x).dtype, slope.dtype) == (jnp.bfloat16, jnp.bfloat16), name


def test_an_activation_says_what_it_is():
    assert gelu.__name__ == "gelu" and "Hendrycks" in gelu.__doc__


def test_a_bias_of_all_rows_has_the_gradient_of_a_broadcast_one_also_with_members_side_by_side():
    bias, weights = jnp.ones((2, 3, 4, 5)), inputs((7, 3, 4, 5))[1]

    def gradient(bias, function):
        return jax.grad(lambda x: jnp.sum(jnp.sin(function(x)) * weights))(bias)

    def ours(x):
        return for_every_row(x, 7)

    np.testing.assert_array_equal(ours(bias[0]), np.ones((7, 3, 4, 5)))
    alone = gradient(bias[0], ours)
    np.testing.assert_allclose(alone, gradient(bias[0], lambda x: jnp.broadcast_to(x, (7, *x.shape))), rtol=1e-5,
                               atol=1e-6)
    together = jax.vmap(lambda x: gradient(x, ours))(bias)
    np.testing.assert_array_equal(together, np.stack([alone, alone]))


def test_summing_row_after_row_is_what_a_cpu_does():
    lowered = jax.jit(jax.grad(lambda x: jnp.sum(jnp.sin(for_every_row(x, 7))))).lower(jnp.ones((3, 4, 5))).as_text()
    assert "stablehlo.while" in lowered
