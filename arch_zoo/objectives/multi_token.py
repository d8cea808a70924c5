"""Multi-token prediction: every position predicts several tokens ahead (Gloeckle et al. 2024)."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from arch_zoo.config import ModelConfig
from arch_zoo.layers.visibility import Visibility
from arch_zoo.models.architecture import Batch
from arch_zoo.objectives.causal_lm import CausalLM
from arch_zoo.registry import OBJECTIVES


@OBJECTIVES.register("multi_token")
@dataclasses.dataclass(frozen=True)
class MultiToken(CausalLM):
    """Causal language modelling in which further heads predict further tokens; `model.future_heads` says how many:

        window   a b c d e f
        tokens   a b c d e
        targets  b c d e f        the model's head
        future   c d e f .        the first of future_heads
        future   d e f . .        the second

    No head predicts across documents. The loss is the mean over all predictions; each weighs 1 / (1 + future_heads), so
    that the weights of a row are at most its tokens. Texts are scored by the next token alone.
    """

    remark: ClassVar[str] = "each further head predicts the same column, begun a row later"

    def model_refusal(self, model: ModelConfig) -> str | None:
        return None if model.future_heads else "it trains model.future_heads; set at least 1 (3 predicts four tokens)"

    def loss_weights(self, model: nn.Module, batch: Batch) -> dict[str, jax.Array]:
        return {"vocabulary": sum(jnp.sum(weights) for weights in _weights(batch, 1 + model.config.future_heads))}

    def losses(self, model: nn.Module, parameters: Mapping, batch: Batch, visibility: Visibility, *, train: bool,
               rngs: Mapping[str, jax.Array] | None = None) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
        projected = model.apply({"params": parameters}, batch, visibility, train=train, rngs=rngs,
                                method="all_projected")
        total = 0.0
        for ahead, (head, weights) in enumerate(zip(projected, _weights(batch, len(projected)), strict=True)):
            total += head.loss(jnp.pad(batch.targets[:, ahead:], ((0, 0), (0, ahead))),
                               jnp.pad(weights, ((0, 0), (0, ahead))))[0]
        return {"vocabulary": total}, {}


def _weights(batch: Batch, heads: int) -> list[jax.Array]:
    """For each head the weights [b, t − ahead] of its predictions: none across documents."""
    documents = batch.stream.segment_ids
    return [batch.loss_weights[:, ahead:] * (documents[:, :documents.shape[1] - ahead] == documents[:, ahead:]) / heads
            for ahead in range(heads)]
