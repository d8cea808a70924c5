"""Replaced-token detection: which tokens did a small generator put there? (ELECTRA; Clark et al. 2020)"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from arch_zoo.config import ModelConfig
from arch_zoo.layers.cross_entropy import cross_entropy
from arch_zoo.layers.visibility import Visibility
from arch_zoo.models.architecture import Batch
from arch_zoo.models.electra_pair import ElectraPair, generator_config
from arch_zoo.models.formulas import discriminator_flops, entry_flops, head_flops, stack_flops
from arch_zoo.objectives.masked_lm import MaskedLM
from arch_zoo.registry import OBJECTIVES
from arch_zoo.settings import setting


@OBJECTIVES.register("electra")
@dataclasses.dataclass(frozen=True)
class Electra(MaskedLM):
    """A generator learns masked LM, and the model reads the text with its draws in the corrupted places:

        window   a b c d e f
        tokens   a M c M e f      what the generator reads; M the mask token
        targets  . b . d . .      what it learns to predict
        drawn    a b c x e f      what the model reads; b happened to be drawn again
        replaced 0 0 0 1 0 0      what it learns to tell

    A token that was drawn again counts as original, and no gradient passes through the draws. The loss is the mean of
    the generator's over corrupted tokens plus `weight` times the mean of the model's over all tokens. The variants of
    the paper's Table 5 (its BERT is masked_lm):

        predicts   where        Table 5
        replaced   everywhere   ELECTRA
        replaced   corrupted    ELECTRA 15%
        original   corrupted    Replace MLM: which token stood there
        original   everywhere   All-Tokens MLM: the same for all, with a learned probability to copy what is there

    The model is what is kept, fine-tuned and exported. Only the generator gives probabilities of tokens, so it is what
    texts are scored by. A row without any corrupted token is not learnt from.
    """

    mask_share: float = setting(1.0, "share of the corrupted that become the mask token", low=0, high=1)
    random_share: float = setting(0.0, "share of the corrupted that become a random token; the rest are kept", low=0,
                                  high=1)
    predicts: Literal["replaced", "original"] = setting("replaced", "what the model tells of a token: whether it was "
                                                                    "replaced, or which one was there")
    where: Literal["everywhere", "corrupted"] = setting("everywhere", "of which tokens")
    weight: float = setting(50.0, "factor λ of the model's loss", low=0)
    generator_share: float = setting(0.25, "width, heads and feed-forward of the generator as a share of the model's",
                                     low=0.01, high=1)

    plausibility_route: ClassVar[str] = "pseudo-log-likelihood by the generator, one token masked at a time"
    remark: ClassVar[str] = "shown is what the generator reads; the model reads the same with a draw from the " \
                            "generator wherever something is predicted"

    def model_refusal(self, model: ModelConfig) -> str | None:
        original, everywhere = self.predicts == "original", self.where == "everywhere"
        needs = {"vocabulary_head": original, "discriminator": not original or everywhere}
        if any(getattr(model, name) != value for name, value in needs.items()):
            switches = " and ".join(f"model.{name}={value}" for name, value in needs.items())
            return f"with predicts={self.predicts} and where={self.where} it needs {switches}; the generator has a " \
                   f"vocabulary head of its own"
        if model.embedding_dim is not None and model.embedding_projection != "sum":
            return "generator and model share the sum of their embeddings; it needs model.embedding_projection=sum"
        return super().model_refusal(model)

    def build(self, model: ModelConfig, vocab_size: int, dtype: str) -> nn.Module:
        return ElectraPair(model, vocab_size, dtype, self.generator_share)

    def kept(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in parameters.items() if name != "generator"}

    def forward_flops(self, model: ModelConfig, vocab_size: int, length: int) -> int:
        corrupted, generator = self.loss_positions(length), generator_config(model, self.generator_share)
        both = sum(entry_flops(c, length) + stack_flops(c, c.depth, length) for c in (model, generator))
        heads = head_flops(generator, vocab_size, corrupted)
        if model.discriminator:
            heads += discriminator_flops(model, length)
        if model.vocabulary_head:
            heads += head_flops(model, vocab_size, length if self.where == "everywhere" else corrupted)
        return both + heads

    @property
    def scales(self) -> Mapping[str, float]:
        return {self.predicts: self.weight}

    def loss_weights(self, model: nn.Module, batch: Batch) -> dict[str, jax.Array]:
        return super().loss_weights(model, batch) | {self.predicts: jnp.sum(self._carries(batch))}

    def _carries(self, batch: Batch) -> jax.Array:
        """float [b, t]: the tokens of which the model tells something."""
        if self.where == "corrupted":
            nothing = jnp.zeros(batch.stream.tokens.shape)
            return put(nothing, batch, batch.loss_weights)
        learnt_from = jnp.any(batch.loss_weights > 0, axis=1, keepdims=True)
        return ((batch.stream.segment_ids != 0) & learnt_from).astype(jnp.float32)

    def losses(self, model: nn.Module, parameters: Mapping, batch: Batch, visibility: Visibility, *, train: bool,
               rngs: Mapping[str, jax.Array] | None = None) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
        key = jax.random.key(0) if rngs is None else rngs["dropout"]
        for_generator, for_draws, for_model = (jax.random.fold_in(key, number) for number in range(3))

        def apply(batch, key, method=None):
            return model.apply({"params": parameters}, batch, visibility, train=train, method=method,
                               rngs=None if rngs is None else {"dropout": key})

        logits_bnv = apply(batch, for_generator)
        tokens = jnp.sum(cross_entropy(logits_bnv, batch.targets) * batch.loss_weights)
        right = jnp.sum((jnp.argmax(logits_bnv, axis=-1) == batch.targets) * batch.loss_weights)
        original_bt = put(batch.stream.tokens, batch, batch.targets)
        drawn_bt = put(batch.stream.tokens, batch, draw(jax.lax.stop_gradient(logits_bnv), for_draws, batch))
        read = batch.replace(stream=batch.stream.replace(tokens=drawn_bt))
        if self.predicts == "replaced":
            replaced_bt = drawn_bt != original_bt
            told_bt = apply(read, for_model, "replaced")
            losses_bt, right_bt = jax.nn.softplus(told_bt) - told_bt * replaced_bt, (told_bt > 0) == replaced_bt
            carries_bt = self._carries(batch)
        elif self.where == "corrupted":
            logits_bnv, _ = apply(read, for_model, "restored")
            losses_bt, right_bt = cross_entropy(logits_bnv, batch.targets), logits_bnv.argmax(axis=-1) == batch.targets
            carries_bt = batch.loss_weights
        else:
            logits_btv, told_bt = apply(read.replace(loss_positions=None), for_model, "restored")
            losses_bt = copying_cross_entropy(logits_btv, told_bt, drawn_bt, original_bt)
            right_bt = jnp.where(told_bt > 0, logits_btv.argmax(axis=-1), drawn_bt) == original_bt
            carries_bt = self._carries(batch)
        return ({"vocabulary": tokens, self.predicts: jnp.sum(losses_bt * carries_bt)},
                {"vocabulary": right, self.predicts: jnp.sum(right_bt * carries_bt)})


def draw(logits_bnv: jax.Array, key: jax.Array, batch: Batch) -> jax.Array:
    """int [b, n]: a token at each loss position by its probability, from a key of each example's own."""
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, batch.example_ids)
    return jax.vmap(jax.random.categorical)(keys, logits_bnv)


def put(rows_bt: jax.Array, batch: Batch, values_bn: jax.Array) -> jax.Array:
    """[b, t]: the rows with the values at the positions that carry loss."""
    carries_bn = batch.loss_weights > 0
    if batch.loss_positions is None:
        return jnp.where(carries_bn, values_bn, rows_bt)

    def of_row(row_t, positions_n, values_n, carries_n):
        return row_t.at[positions_n].set(jnp.where(carries_n, values_n, row_t[positions_n]))

    return jax.vmap(of_row)(rows_bt, batch.loss_positions, values_bn, carries_bn)


def copying_cross_entropy(logits_btv: jax.Array, replaced_bt: jax.Array, read_bt: jax.Array,
                          targets_bt: jax.Array) -> jax.Array:
    """−log p [b, t] where the model copies what it reads, unless it takes it for replaced (section 3.4).

    p = (1 − r) · [read = target] + r · softmax(logits)[target], with r = sigmoid(replaced).
    """
    written = jax.nn.log_sigmoid(replaced_bt) - cross_entropy(logits_btv, targets_bt)
    copied = jnp.where(read_bt == targets_bt, jax.nn.log_sigmoid(-replaced_bt), -jnp.inf)
    return -jnp.logaddexp(written, copied)
