"""LayerNorm and RMSNorm, computed in float32."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from arch_zoo.config import ModelConfig
from arch_zoo.layers.module import Module


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def standardized(x: jax.Array, epsilon: float, centred: bool) -> jax.Array:
    """(x − mean) / std over the last axis, or x / rms(x). Its derivative is written in the result, which is kept
    anyway; automatic differentiation would keep two arrays more.
    """
    return _standardized(x, epsilon, centred)[0]


def _standardized(x: jax.Array, epsilon: float, centred: bool) -> tuple[jax.Array, jax.Array]:
    variance = _mean(jnp.square(x))
    if centred:
        mean = _mean(x)
        x, variance = x - mean, variance - jnp.square(mean)
    factor = jax.lax.rsqrt(variance + epsilon)
    return x * factor, factor


@standardized.defjvp
def _standardized_jvp(epsilon: float, centred: bool, primals, tangents):
    (x,), (change,) = primals, tangents
    y, factor = _standardized(x, epsilon, centred)
    moved = change - _mean(change) if centred else change
    return y, factor * (moved - y * _mean(y * change))


def _mean(x: jax.Array) -> jax.Array:
    return jnp.mean(x, axis=-1, keepdims=True)


class RMSNorm(Module):
    """x / rms(x) · scale over the last axis (Zhang & Sennrich 2019)."""

    epsilon: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale_d = self.param("scale", nn.initializers.ones, x.shape[-1:])
        return (standardized(x.astype(jnp.float32), self.epsilon, False) * scale_d).astype(x.dtype)


class LayerNorm(Module):
    """(x − mean) / std · scale + bias over the last axis (Ba et al. 2016)."""

    epsilon: float
    bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale_d = self.param("scale", nn.initializers.ones, x.shape[-1:])
        y = standardized(x.astype(jnp.float32), self.epsilon, True) * scale_d
        if self.bias:
            y += self.param("bias", nn.initializers.zeros, x.shape[-1:])
        return y.astype(x.dtype)


def make_norm(config: ModelConfig, name: str) -> nn.Module:
    """The norm that the config asks for."""
    if config.norm == "rms_norm":
        return RMSNorm(config.norm_epsilon, name=name)
    return LayerNorm(config.norm_epsilon, config.norm_bias, name=name)
