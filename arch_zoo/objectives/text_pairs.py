"""What masked language modelling with a question about two texts shares."""

import abc
import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from arch_zoo.config import ModelConfig
from arch_zoo.data.tokenizers import Vocabulary
from arch_zoo.examples import Draws, InPlace, Window
from arch_zoo.layers.cross_entropy import cross_entropy
from arch_zoo.layers.visibility import Visibility
from arch_zoo.models.architecture import Batch
from arch_zoo.models.formulas import sentence_flops
from arch_zoo.objectives.base import Seeds
from arch_zoo.objectives.corruption import text_of
from arch_zoo.objectives.masked_lm import MaskedLM
from arch_zoo.objectives.sentence_rows import Stretch, choose, longest_part, sentence_at, write_rows

_SPECIAL = 3  # BOS and two EOS
_STREAM = 2   # of the draws: masked_lm has 0 and 1


@dataclasses.dataclass
class Text:
    """The longest text of each window, where its sentences start, the start [b] at which it is cut in two, and how many
    tokens a row has room for. What is at the cut of a text of one sentence is not read.
    """

    part: Stretch
    starts: np.ndarray
    cut: np.ndarray
    room: int

    def halves(self) -> tuple[Stretch, Stretch]:
        """Everything before the cut, and everything behind it."""
        return Stretch(self.part.start, self.cut - self.part.start), Stretch(self.cut, self.part.end - self.cut)

    def sentences(self) -> tuple[Stretch, Stretch]:
        """The sentence before the cut, and the one behind it."""
        index = np.arange(self.starts.shape[1])[None]
        before = np.where(self.starts & (index < self.cut[:, None]), index, 0).max(axis=1)
        start = np.maximum(before, self.part.start)
        return Stretch(start, self.cut - start), sentence_at(self.cut, self.starts, self.part)


@dataclasses.dataclass
class Pairs:
    """Two texts of each row: stretches of `tokens` [b, m], whose first n are those of the window; a second of size 0 is
    none. `answer` int [b] is the class to be told from them, −1 where nothing is asked.
    """

    tokens: np.ndarray
    first: Stretch
    second: Stretch
    answer: np.ndarray


@dataclasses.dataclass(frozen=True)
class TextPairs(MaskedLM, abc.ABC):
    """Rows of two texts, masked as by masked_lm, whose pooled state answers a question with two answers.

    The loss is the mean over masked tokens plus the mean over rows, as BERT adds them.
    """

    symbols: ClassVar[tuple[str, ...]] = ("mask", "bos", "eos")

    @abc.abstractmethod
    def pairs(self, text: Text, window: Window, vocabulary: Vocabulary, draws: Draws) -> Pairs:
        """Two texts for each row, from the longest text of its window and from wherever else."""

    def refusal(self, length: int, sentinels: int) -> str | None:
        if length < _SPECIAL + 2:
            return f"a row of {length} has no room for two texts and {_SPECIAL} special tokens; raise data.length"
        return super().refusal(length, sentinels)

    def model_refusal(self, model: ModelConfig) -> str | None:
        if not model.pooler or model.sentence_classes != len(self.answers) or model.token_types < 2:
            return f"it needs model.pooler=True, model.sentence_classes={len(self.answers)} and model.token_types=2"
        return super().model_refusal(model)

    def forward_flops(self, model: ModelConfig, vocab_size: int, length: int) -> int:
        return super().forward_flops(model, vocab_size, length) + sentence_flops(model)

    def prepare(self, window: Window, vocabulary: Vocabulary, seeds: Seeds) -> InPlace:
        tokens, segment_ids, _ = text_of(window)
        length, draws = tokens.shape[1], seeds(self.keys(window))
        part, starts = longest_part(tokens, segment_ids, vocabulary)
        cut, possible = choose(starts, draws.uniform(1, _STREAM)[:, 0])
        made = self.pairs(Text(part, starts, cut, length - _SPECIAL), window, vocabulary, draws)
        alone = Stretch(part.start, np.minimum(part.size, length - _SPECIAL))
        row, types, index = write_rows(made.tokens, made.first.where(possible, alone),
                                       made.second.where(possible, Stretch(cut, 0 * cut)), length, vocabulary)
        seen, kept, corrupted = self.corrupt(row, window, vocabulary, seeds)
        of_window = np.where(index < length, index, -1)
        return InPlace(tokens=seen, targets=row, loss_weights=corrupted.astype(np.float32),
                       segment_ids=(types >= 0).astype(np.int32), origin=np.where(kept >= 0, of_window, -1),
                       target_origin=of_window, capacity=self.loss_positions(length), types=np.maximum(types, 0),
                       sentence_target=np.where(possible, made.answer, -1))

    def loss_weights(self, model: nn.Module, batch: Batch) -> dict[str, jax.Array]:
        return super().loss_weights(model, batch) | {"sentence": jnp.sum(batch.sentence_target >= 0, dtype=jnp.float32)}

    def losses(self, model: nn.Module, parameters: Mapping, batch: Batch, visibility: Visibility, *, train: bool,
               rngs: Mapping[str, jax.Array] | None = None) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
        projected, logits_bc = model.apply({"params": parameters}, batch, visibility, train=train, rngs=rngs,
                                           method="tokens_and_sentence")
        tokens, _ = projected.loss(batch.targets, batch.loss_weights)
        asked, answer = batch.sentence_target >= 0, jnp.maximum(batch.sentence_target, 0)
        sentence = jnp.sum(cross_entropy(logits_bc, answer) * asked)
        right = jnp.sum((jnp.argmax(logits_bc, axis=-1) == answer) * asked, dtype=jnp.float32)
        return {"vocabulary": tokens, "sentence": sentence}, {"sentence": right}
