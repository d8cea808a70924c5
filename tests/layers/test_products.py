"""Dense layers are Flax's, from the same draws; parameters that are there are read as they are."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arch_zoo.layers.module import Module
from arch_zoo.layers.products import Dense

INITIALIZER = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")
LAYERS = [  # ours, Flax's, shape of x
    (Dense(6, INITIALIZER), nn.DenseGeneral(6, kernel_init=INITIALIZER), (2, 3, 4)),
    (Dense((2, 3), INITIALIZER, use_bias=False), nn.DenseGeneral((2, 3), kernel_init=INITIALIZER, use_bias=False),
     (2, 3, 4)),
    (Dense(5, INITIALIZER, axes=2, dtype=jnp.bfloat16),
     nn.DenseGeneral(5, axis=(-2, -1), kernel_init=INITIALIZER, dtype=jnp.bfloat16), (2, 3, 2, 4)),
    (Dense(5, INITIALIZER), nn.DenseGeneral(5, kernel_init=INITIALIZER), (4,)),
]


@pytest.mark.parametrize(("ours", "theirs", "shape"), LAYERS, ids=["one", "into two axes", "from two axes", "a vector"])
def test_a_dense_layer_is_flaxs(ours, theirs, shape):
    x = jax.random.normal(jax.random.key(1), shape)
    parameters = ours.init(jax.random.key(0), x)
    jax.tree.map(np.testing.assert_array_equal, parameters, theirs.init(jax.random.key(0), x))
    parameters = jax.tree.map(lambda p: p + 0.1, parameters)

    def value(layer, parameters, x):
        y = layer.apply(parameters, x)
        return (y.astype(jnp.float32) * jnp.arange(y.size).reshape(y.shape)).sum(), y

    gradient = jax.grad(value, argnums=(1, 2), has_aux=True)
    (found, y), (expected, y_theirs) = gradient(ours, parameters, x), gradient(theirs, parameters, x)
    assert y.dtype == y_theirs.dtype and y.shape == y_theirs.shape
    tolerance = 2e-2 if y.dtype == jnp.bfloat16 else 1e-5
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, tolerance, tolerance), (found, y), (expected, y_theirs))


def test_the_kernels_gradient_is_one_product_of_what_lies_there():
    """Forward and backward multiply matrices: no axis of batch or position is left for XLA to turn over."""
    layer = Dense(8, INITIALIZER)
    x = jnp.ones((2, 3, 4))
    parameters = layer.init(jax.random.key(0), x)
    jaxpr = jax.make_jaxpr(jax.grad(lambda p: layer.apply(p, x).sum()))(parameters)
    products = [e for e in jaxpr.eqns if e.primitive.name == "dot_general"]
    assert all(v.aval.ndim == 2 for e in products for v in e.invars) and len(products) == 2


class Counted(Module):
    """Tells how often it draws."""

    draws = []

    @nn.compact
    def __call__(self, x):
        def draw(key, shape):
            self.draws.append(shape)
            return jax.random.normal(key, shape)

        return x * self.param("scale", draw, x.shape)


def test_a_parameter_is_drawn_in_init_only_and_one_that_is_missing_is_an_error():
    x = jnp.ones(3)
    parameters = Counted().init(jax.random.key(0), x)
    assert len(Counted.draws) == 1
    np.testing.assert_array_equal(Counted().apply(parameters, x), parameters["params"]["scale"])
    assert len(Counted.draws) == 1
    with pytest.raises(Exception, match="scale"):
        Counted().apply({"params": {}}, x)
