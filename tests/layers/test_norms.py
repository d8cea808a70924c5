"""The norms against Flax's, and their precision."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arch_zoo.config import ModelConfig
from arch_zoo.layers.norms import LayerNorm, RMSNorm, make_norm

PAIRS = [(RMSNorm(1e-3), nn.RMSNorm(epsilon=1e-3)), (LayerNorm(1e-3), nn.LayerNorm(epsilon=1e-3)),
         (LayerNorm(1e-3, bias=False), nn.LayerNorm(epsilon=1e-3, use_bias=False))]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_norm_is_flax_norm_with_the_same_parameters(ours, theirs):
    x = 3 + jax.random.normal(jax.random.key(0), (2, 3, 16))
    parameters = ours.init(jax.random.key(1), x)
    assert jax.tree.structure(parameters) == jax.tree.structure(theirs.init(jax.random.key(1), x))
    parameters = jax.tree.map(lambda p: p + jnp.linspace(0, 1, 16), parameters)
    np.testing.assert_allclose(ours.apply(parameters, x), theirs.apply(parameters, x), atol=1e-5)


@pytest.mark.parametrize("norm", [ours for ours, _ in PAIRS])
def test_statistics_are_float32_under_bfloat16(norm):
    """Around 100 bfloat16 is spaced by a half: a mean or a square computed in it would be far off."""
    x = (100 + jax.random.normal(jax.random.key(0), (4, 64))).astype(jnp.bfloat16)
    parameters = norm.init(jax.random.key(1), x)
    out = norm.apply(parameters, x)
    assert out.dtype == jnp.bfloat16
    assert all(p.dtype == jnp.float32 for p in jax.tree.leaves(parameters))
    exact = norm.apply(parameters, x.astype(jnp.float32))
    np.testing.assert_allclose(np.asarray(out, np.float32), exact, rtol=2**-8, atol=1e-6)


def test_the_config_chooses_the_norm():
    assert isinstance(make_norm(ModelConfig(norm="rms_norm"), "n"), RMSNorm)
    made = make_norm(ModelConfig(norm="layer_norm", norm_bias=False, norm_epsilon=0.5), "n")
    assert isinstance(made, LayerNorm) and not made.bias and made.epsilon == 0.5
