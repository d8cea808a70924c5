"""Sequence to sequence on pairs of texts: translation, summarisation, commands to actions (Vaswani et al. 2017)."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from arch_zoo.data.tokenizers import Vocabulary
from arch_zoo.examples import Form, Lengths, Pairs, SourceTarget
from arch_zoo.layers.visibility import Visibility
from arch_zoo.models.architecture import Batch
from arch_zoo.objectives.base import Objective, Seeds, Undefined, one_row, source_target_row
from arch_zoo.registry import OBJECTIVES
from arch_zoo.settings import setting


@OBJECTIVES.register("translation")
@dataclasses.dataclass(frozen=True)
class Translation(Objective):
    """The target is a text that belongs to the source. Two pairs, which share a row and do not see each other:

        pairs    a b c | x y   and   d e | z
        source   a b c d e
        target   x y S z           S the symbol that opens a stream, not predicted

    Each text ends in EOS. Rows have data.length tokens of source and target_length of target, and hold as many pairs as
    fit. What is too long for a row of its own is cut off; how many pairs that are is said when training begins.

    In training each target is smoothed: it has 1 − ε of the probability, and all entries of the vocabulary share ε
    (Szegedy et al. 2016, section 7). Held-out losses are those without, and so is train/loss_unsmoothed.
    """

    target_length: int | None = setting(None, "tokens of target in one row; none: data.length", low=2)
    label_smoothing: float = setting(0.1, "ε, the probability that all tokens share in training", low=0.0, high=0.99)

    form: ClassVar[Form] = Form.SOURCE_TARGET
    reads_pairs: ClassVar[bool] = True

    def lengths(self, length: int) -> Lengths:
        return Lengths(source=length, target=self.target_length or length)

    def prepare(self, window: Pairs, vocabulary: Vocabulary, seeds: Seeds) -> SourceTarget:
        source, target = window.source_segment_ids, window.target_segment_ids
        real = target != 0
        opens = real & (target != np.pad(target, ((0, 0), (1, 0)), mode="edge")[:, :-1])
        n = source.shape[1]
        return SourceTarget(
            source=np.where(source != 0, window.source, vocabulary.pad_id), source_segment_ids=source,
            source_origin=np.where(source != 0, np.arange(n), -1),
            target=np.where(opens, vocabulary.start_id, np.where(real, window.target, vocabulary.pad_id)),
            target_segment_ids=target, loss_weights=(real & ~opens).astype(np.float32),
            target_origin=np.where(real & ~opens, n + np.arange(target.shape[1]), -1))

    @property
    def scales(self) -> dict[str, float]:
        return {"unsmoothed": 0.0}

    def loss_weights(self, model: nn.Module, batch: Batch) -> dict[str, jax.Array]:
        weight = jnp.sum(batch.loss_weights)
        return {"vocabulary": weight, "unsmoothed": weight} if self.label_smoothing else {"vocabulary": weight}

    def losses(self, model: nn.Module, parameters: Mapping, batch: Batch, visibility: Visibility, *, train: bool,
               rngs: Mapping[str, jax.Array] | None = None) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
        projected = model.apply({"params": parameters}, batch, visibility, train=train, rngs=rngs, method="projected")
        trained, plain = projected.loss(batch.targets, batch.loss_weights, self.label_smoothing if train else 0.0)
        return {"vocabulary": trained, **({"unsmoothed": plain} if self.label_smoothing else {})}, {}

    def conditional(self, context: Sequence[int], continuation: Sequence[int],
                    vocabulary: Vocabulary) -> list[SourceTarget]:
        """The context is the whole source."""
        target = one_row(continuation)
        return [source_target_row(one_row(context, vocabulary.eos_id), target, np.ones(target.shape))]

    def plausibility(self, context: Sequence[int], continuation: Sequence[int],
                     vocabulary: Vocabulary) -> list[SourceTarget]:
        raise Undefined("it scores a text as the counterpart of a source, and single texts have none")
