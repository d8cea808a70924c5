"""LayerNorm and RMSNorm, computed in float32."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from arch_zoo.config import ModelConfig
from arch_zoo.layers.module import Module


class RMSNorm(Module):
    """x / rms(x) · scale over the last axis (Zhang & Sennrich 2019)."""

    epsilon: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale_d = self.param("scale", nn.initializers.ones, x.shape[-1:])
        x32 = x.astype(jnp.float32)
        y = x32 * jax.lax.rsqrt(jnp.mean(jnp.square(x32), axis=-1, keepdims=True) + self.epsilon)
        return (y * scale_d).astype(x.dtype)


class LayerNorm(Module):
    """(x − mean) / std · scale + bias over the last axis (Ba et al. 2016)."""

    epsilon: float
    bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale_d = self.param("scale", nn.initializers.ones, x.shape[-1:])
        y = jax.nn.standardize(x.astype(jnp.float32), epsilon=self.epsilon) * scale_d
        if self.bias:
            y += self.param("bias", nn.initializers.zeros, x.shape[-1:])
        return y.astype(x.dtype)


def make_norm(config: ModelConfig, name: str) -> nn.Module:
    """The norm that the config asks for."""
    if config.norm == "rms_norm":
        return RMSNorm(config.norm_epsilon, name=name)
    return LayerNorm(config.norm_epsilon, config.norm_bias, name=name)
