"""`attend` and `Attention` against Flax's own, and at the edges: grouped heads, nothing visible, low precision."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arch_zoo.config import ModelConfig
from arch_zoo.layers.attention import Attention
from arch_zoo.layers.kernels.einsum import attend
from arch_zoo.layers.visibility import Seen

B, Q, K, H, D = 2, 5, 7, 4, 4


def normal(seed, *shape, dtype=jnp.float32):
    return jax.random.normal(jax.random.key(seed), shape, dtype)


def some_visible():
    """A pattern in which every query sees something, and no two see the same."""
    return jnp.tril(jnp.ones((Q, K), bool))[None] | jnp.array([[[False]], [[True]]]) & (jnp.arange(K) > 4)


@pytest.mark.parametrize("with_bias", [False, True])
def test_attend_is_flax_dot_product_attention(with_bias):
    q, k, v = normal(0, B, Q, H, D), normal(1, B, K, H, D), normal(2, B, K, H, D)
    bias = normal(3, 1, H, Q, K) if with_bias else None
    ours = attend(q, k, v, some_visible(), bias, scale=D**-0.5)
    theirs = nn.dot_product_attention(q, k, v, bias=bias, mask=some_visible()[:, None])
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_a_wrong_pattern_or_scale_or_bias_is_noticed():
    q, k, v, bias = normal(0, B, Q, H, D), normal(1, B, K, H, D), normal(2, B, K, H, D), normal(3, 1, H, Q, K)
    theirs = nn.dot_product_attention(q, k, v, bias=bias, mask=some_visible()[:, None])
    for wrong in (attend(q, k, v, some_visible()[:, ::-1], bias, scale=D**-0.5),
                  attend(q, k, v, some_visible(), bias),
                  attend(q, k, v, some_visible(), bias[:, ::-1], scale=D**-0.5)):
        assert np.abs(wrong - theirs).max() > 0.05


@pytest.mark.parametrize("use_bias", [False, True])
def test_module_is_flax_multi_head_attention_with_the_same_weights(use_bias):
    config = ModelConfig(width=16, heads=H, head_dim=6, attention_bias=use_bias, position="none", initializer_std=0.5)
    ours = Attention(config, residual_branches=2)
    theirs = nn.MultiHeadDotProductAttention(H, qkv_features=H * 6, out_features=16, use_bias=use_bias)
    x_q, x_kv = normal(0, B, Q, 16), normal(1, B, K, 16)
    ids = jnp.arange(B)
    parameters = ours.init(jax.random.key(2), x_q, x_kv, Seen(some_visible()), example_ids_b=ids, train=False)
    parameters = jax.tree.map(lambda p: p + 0.1 * normal(p.size, *p.shape), parameters)  # biases start at zero
    np.testing.assert_allclose(
        ours.apply(parameters, x_q, x_kv, Seen(some_visible()), example_ids_b=ids, train=False),
        theirs.apply(parameters, x_q, x_kv, mask=some_visible()[:, None]), atol=1e-5)


@pytest.mark.parametrize("groups", [1, 2])
def test_grouped_heads_are_repeated_heads(groups):
    q, k, v = normal(0, B, Q, H, D), normal(1, B, K, groups, D), normal(2, B, K, groups, D)
    bias = normal(3, B, H, Q, K)
    grouped = attend(q, k, v, some_visible(), bias)
    repeated = attend(q, jnp.repeat(k, H // groups, 2), jnp.repeat(v, H // groups, 2), some_visible(), bias)
    np.testing.assert_allclose(grouped, repeated, atol=1e-6)
    if groups > 1:
        k_tiled, v_tiled = (jnp.tile(x, (1, 1, H // groups, 1)) for x in (k, v))
        tiled = attend(q, k_tiled, v_tiled, some_visible(), bias)
        assert np.abs(grouped - tiled).max() > 0.05


def test_a_query_that_sees_nothing_gets_zeros_and_gives_no_gradient():
    q, k, v = normal(0, B, Q, H, D), normal(1, B, K, H, D), normal(2, B, K, H, D)
    visible = some_visible().at[0, 2].set(False)
    out, grads = jax.value_and_grad(lambda *x: attend(*x, visible).sum(), argnums=(0, 1, 2))(q, k, v)
    assert np.isfinite(out) and all(np.isfinite(g).all() for g in grads)
    np.testing.assert_array_equal(attend(q, k, v, visible)[0, 2], 0)
    alone = jax.grad(lambda *x: attend(*x, visible)[0, 2].sum(), argnums=(0, 1, 2))(q, k, v)
    assert not any(np.any(g) for g in alone)


def test_softmax_is_computed_in_float32_under_bfloat16():
    """bfloat16 cannot tell 300 from 300.5; the probabilities must."""
    zero = jnp.zeros((1, 2, 1, 1), jnp.bfloat16)
    values = jnp.array([0.0, 1.0], jnp.bfloat16)[None, :, None, None]
    bias = jnp.broadcast_to(jnp.array([300.0, 300.5]), (1, 1, 2, 2))
    out = attend(zero, zero, values, jnp.ones((1, 2, 2), bool), bias)
    assert out.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(out, np.float32), 1 / (1 + np.exp(-0.5)), atol=0.004)


def test_normalised_queries_and_keys_forget_their_scale():
    config = ModelConfig(width=16, heads=H, qk_norm=True, attention_bias=False, norm_epsilon=0.0, position="none")
    module = Attention(config, residual_branches=2)
    x, keywords = normal(0, B, Q, 16), {"example_ids_b": jnp.arange(B), "train": False}
    visible = jnp.ones((B, Q, Q), bool)
    parameters = module.init(jax.random.key(1), x, x, Seen(visible), **keywords)["params"]
    larger = {**parameters, "query": {"kernel": 10 * parameters["query"]["kernel"]}}
    np.testing.assert_allclose(module.apply({"params": parameters}, x, x, Seen(visible), **keywords),
                               module.apply({"params": larger}, x, x, Seen(visible), **keywords), atol=1e-6)
