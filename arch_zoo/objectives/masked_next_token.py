"""Masked next-token prediction: masked tokens predicted one place early (GPT-BERT; Charpentier & Samuel 2024)."""

import dataclasses
from typing import ClassVar

import numpy as np

from arch_zoo.data.tokenizers import Vocabulary
from arch_zoo.examples import InPlace, Window
from arch_zoo.objectives.base import Seeds
from arch_zoo.objectives.masked_lm import MaskedLM
from arch_zoo.registry import OBJECTIVES


@OBJECTIVES.register("masked_next_token")
@dataclasses.dataclass(frozen=True)
class MaskedNextToken(MaskedLM):
    """Masked language modelling with the outputs of a causal LM: each position predicts the token after it.

        window   a b c d e f
        tokens   a M c x e        M the mask token, x a random token
        targets  b . d . f        b masked, d replaced, f out of sight

    So one model can be trained causally and masked, its outputs having one meaning. Corruption is that of masked_lm, of
    the tokens that have one before them: all but the window's first, and the one behind its end.
    """

    plausibility_route: ClassVar[str] = "pseudo-log-likelihood, one token masked at a time, read one place early"

    def prepare(self, window: Window, vocabulary: Vocabulary, seeds: Seeds) -> InPlace:
        targets = window.tokens[:, 1:]
        seen, origin, corrupted = self.corrupt(targets, window, vocabulary, seeds)
        target_origin = np.broadcast_to(1 + np.arange(targets.shape[1]), targets.shape)
        tokens = np.concatenate([window.tokens[:, :1], seen[:, :-1]], axis=1)
        origin = np.pad(np.where(origin >= 0, target_origin, -1), ((0, 0), (1, 0)))[:, :-1]
        return InPlace(tokens=tokens, targets=targets, loss_weights=corrupted.astype(np.float32),
                       segment_ids=window.segment_ids[:, :-1], origin=origin, target_origin=target_origin,
                       capacity=self.loss_positions(targets.shape[1]))

    def scoring_rows(self, tokens: np.ndarray, targets: np.ndarray, scored: np.ndarray) -> list[InPlace]:
        return super().scoring_rows(tokens, np.roll(targets, -1, axis=1), np.roll(scored, -1, axis=1))
