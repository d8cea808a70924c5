"""Dropout that does not depend on how a batch is spread over devices."""

import flax.linen as nn
import jax
import jax.numpy as jnp


class Dropout(nn.Module):
    """Zero a share of the entries and scale up the rest (Srivastava et al. 2014).

    Each example draws from its own key, folded from its index in the global batch, so that one device, several
    devices and gradient accumulation drop the same entries.
    """

    rate: float

    def __call__(self, x: jax.Array, example_ids_b: jax.Array, *, train: bool) -> jax.Array:
        """x: [b, ...]; example_ids_b: int [b]; dropout happens only with `train` and a "dropout" rng."""
        if not train or self.rate == 0.0:
            return x
        key = self.make_rng("dropout")
        keep = 1.0 - self.rate

        def draw(example_id):
            return jax.random.bernoulli(jax.random.fold_in(key, example_id), keep, x.shape[1:])

        return jnp.where(jax.vmap(draw)(example_ids_b), x / keep, 0).astype(x.dtype)
