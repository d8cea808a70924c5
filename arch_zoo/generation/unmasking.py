"""Masked models write too: they fill in the gaps of a text, those first of which they are surest."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from arch_zoo.data.tokenizers import Vocabulary
from arch_zoo.generation.sampling import Sampling
from arch_zoo.models.architecture import Architecture, Batch
from arch_zoo.objectives.base import Objective, Undefined, one_row
from arch_zoo.objectives.fill_in import FillIn
from arch_zoo.objectives.rows import Row, Shape, collate, padded, require_length
from arch_zoo.settings import Settings, setting


@dataclasses.dataclass(frozen=True)
class Unmasking(Settings):
    """How gaps are filled in: in passes over the text, each of which keeps the tokens that are surest (mask-predict's
    easiest-first order; Ghazvininejad et al. 2019, Chang et al. 2022, Nie et al. 2025)."""

    passes: int = setting(0, "passes over a text, which share its gaps; 0: one for each gap", low=0)


@dataclasses.dataclass
class Filler:
    """A trained masked model that fills in. A gap is the mask token; what stands in it is never a special token."""

    objective: Objective
    architecture: Architecture
    model: nn.Module
    parameters: Any
    vocabulary: Vocabulary
    rows: int = 16  # filled in at a time

    def __post_init__(self):
        if not isinstance(self.objective, FillIn):
            raise Undefined("it is not trained to fill in tokens that are masked")
        self._guess = jax.jit(self._guessed, static_argnames="sampling")

    def fill(self, texts: Sequence[Sequence[int]], unmasking: Unmasking | None = None,
             sampling: Sampling | None = None) -> list[list[int]]:
        """The texts, without BOS and EOS, with a token in every gap. Undefined where one is too long for the model."""
        filled = [list(text) for text in texts]
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for start in range(0, len(order), self.rows):
            group = order[start:start + self.rows]
            self._fill([filled[i] for i in group], np.array(group), unmasking or Unmasking(), sampling or Sampling())
        return filled

    def _fill(self, texts: list[list[int]], numbers: np.ndarray, unmasking: Unmasking, sampling: Sampling) -> None:
        """Fill in these texts, in place."""
        gaps = np.array([text.count(self.vocabulary.mask_id) for text in texts])
        passes = np.minimum(unmasking.passes or gaps, gaps)
        for number in range(int(passes.max(initial=0))):
            tokens, sureness = self._guesses(texts, numbers, number, sampling)
            for text, passes_of_text, guesses, sure in zip(texts, passes, tokens, sureness, strict=True):
                places = [i for i, token in enumerate(text) if token == self.vocabulary.mask_id]
                left = max(int(passes_of_text) - number, 1)
                for gap in np.argsort(-sure[:len(places)], kind="stable")[:-(-len(places) // left)]:
                    text[places[gap]] = int(guesses[gap])

    def _guesses(self, texts: list[list[int]], numbers: np.ndarray, step: int,
                 sampling: Sampling) -> tuple[np.ndarray, np.ndarray]:
        """(tokens, probabilities), each [texts, gaps]: a guess for every gap, in their order."""
        rows, v = [self._row(text) for text in texts], self.vocabulary
        longest = max(row.tokens.shape[1] for row in rows)
        require_length(self.model, longest)
        most = max(1, max(int((row.loss_weights != 0).sum()) for row in rows))
        shape = Shape(0, padded(longest), min(padded(longest), 1 << (most - 1).bit_length()))
        batch = self.architecture.layout(collate(rows, shape, self.rows if len(rows) > 1 else 1),
                                         np.zeros(1, int), v.start_id)
        filling = len(batch.stream.tokens) - len(rows)
        row_ids = np.pad(numbers, (0, filling))
        found = self._guess(self.parameters, batch, row_ids, step, sampling=sampling)
        return tuple(np.asarray(part)[:len(rows)] for part in found)

    def _row(self, text: Sequence[int]) -> Row:
        whole = one_row(self.vocabulary.bos_id, text, self.vocabulary.eos_id)
        row, = self.objective.scoring_rows(whole, whole, whole == self.vocabulary.mask_id)
        return row

    def _guessed(self, parameters: Any, batch: Batch, row_ids_b: jax.Array, step: jax.Array, *,
                 sampling: Sampling) -> tuple[jax.Array, jax.Array]:
        logits_bnv = self.model.apply({"params": parameters}, batch, self.architecture.visibility, train=False)
        b, n, v = logits_bnv.shape
        special_v = np.pad(self.vocabulary.is_special, (0, v - len(self.vocabulary.is_special)), constant_values=True)
        logits_bnv = jnp.where(special_v, -jnp.inf, logits_bnv)
        if batch.loss_positions is None:  # gaps first, as where only those are projected
            order_bn = jnp.argsort(batch.loss_weights == 0, axis=1, stable=True)
            logits_bnv = jnp.take_along_axis(logits_bnv, order_bn[:, :, None], axis=1)
        real_bt = batch.stream.segment_ids != 0
        seen_bv = jnp.zeros((b, v), bool).at[jnp.arange(b)[:, None], batch.stream.tokens].max(real_bt)
        flat = logits_bnv.reshape(b * n, v)
        ids = (row_ids_b[:, None] * 65536 + jnp.arange(n)).reshape(-1)
        tokens = sampling.choose(flat, jnp.repeat(seen_bv, n, axis=0), ids, step)
        sureness = jnp.take_along_axis(jax.nn.softmax(flat, axis=1), tokens[:, None], axis=1)[:, 0]
        return tokens.reshape(b, n), sureness.reshape(b, n)
