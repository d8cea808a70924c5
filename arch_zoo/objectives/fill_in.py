"""What objectives that fill in corrupted tokens from both sides share."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from arch_zoo.data.tokenizers import Vocabulary
from arch_zoo.examples import Form, InPlace, Lengths
from arch_zoo.layers.visibility import Visibility
from arch_zoo.objectives.base import Objective, Undefined, in_place_rows, one_row, origin_one_hot, word_spans


@dataclasses.dataclass(frozen=True)
class FillIn(Objective):
    """In place and bidirectional; texts are compared by their pseudo-log-likelihood."""

    form: ClassVar[Form] = Form.IN_PLACE
    plausibility_route: ClassVar[str] = "pseudo-log-likelihood, one token masked at a time"
    visibilities: ClassVar[frozenset] = frozenset({Visibility.BIDIRECTIONAL})
    symbols: ClassVar[tuple[str, ...]] = ("mask",)

    def lengths(self, length: int) -> Lengths:
        return Lengths(source=0, target=length)

    def conditional(self, context: Sequence[int], continuation: Sequence[int], vocabulary: Vocabulary) -> list[InPlace]:
        raise Undefined("filling in from both sides defines no left-to-right likelihood")

    def plausibility(self, context: Sequence[int], continuation: Sequence[int],
                     vocabulary: Vocabulary) -> list[InPlace]:
        """Pseudo-log-likelihood (Salazar et al. 2020): each token masked in turn, all others visible."""
        return self._masked_in_turn(context, continuation, vocabulary, 1 + np.arange(len(continuation)))

    def plausibility_within_words(self, context: Sequence[int], continuation: Sequence[int],
                                  vocabulary: Vocabulary) -> list[InPlace]:
        """Each token masked in turn, with those after it in its word (Kauf & Ivanova 2023, PLL-word-l2r)."""
        ends = [end for start, end in word_spans(continuation, vocabulary) for _ in range(start, end)]
        return self._masked_in_turn(context, continuation, vocabulary, np.array(ends, int))

    @property
    def within_words_route(self) -> str:
        return f"{self.plausibility_route}, with the later ones of its word"

    def _masked_in_turn(self, context: Sequence[int], continuation: Sequence[int], vocabulary: Vocabulary,
                        ends_n: np.ndarray) -> list[InPlace]:
        """A row for each of the n tokens, masked up to the index in `ends_n`."""
        whole = one_row(vocabulary.bos_id, context, continuation, vocabulary.eos_id)
        n = len(continuation)
        index = np.arange(whole.shape[1])[None] - (whole.shape[1] - 1 - n)  # of the continuation
        number = np.arange(n)[:, None]
        masked = (index >= number) & (index < ends_n[:, None])
        return self.scoring_rows(np.where(masked, np.int32(vocabulary.mask_id), whole),
                                 np.broadcast_to(whole, masked.shape), index == number)

    def scoring_rows(self, tokens: np.ndarray, targets: np.ndarray, scored: np.ndarray) -> list[InPlace]:
        """Examples of one row each from [n, t]: what is seen, the text itself, and the token that counts."""
        return in_place_rows(tokens, targets, scored)

    def hidden(self, example: InPlace) -> np.ndarray:
        """Whatever does not stand in the stream; a corrupted token that was kept is seen, by design."""
        n = 1 + int(example.target_origin.max(initial=0))
        seen_bn = origin_one_hot(example.origin, n).sum(axis=1) > 0
        return np.broadcast_to(~seen_bn[:, None, :], (*example.tokens.shape, n))
