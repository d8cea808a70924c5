"""The interface of an objective."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from arch_zoo.config import ModelConfig
from arch_zoo.data.tokenizers import Vocabulary
from arch_zoo.errors import UserError
from arch_zoo.examples import Draws, Form, InPlace, Lengths, Pairs, SourceTarget, Window
from arch_zoo.layers.visibility import Visibility
from arch_zoo.models.architecture import Batch
from arch_zoo.settings import Settings


class Undefined(Exception):
    """A quantity that has no meaning for an objective; the message is the reason, shown instead of a number."""


@dataclasses.dataclass(frozen=True)
class Objective(Settings):
    """Turns windows of text into examples, and model outputs into a loss.

    `form` says which shape its examples have; an in-place objective also says under which visibilities no target can
    be seen. The compatibility of objectives and architectures follows from these two. `plausibility_route` says for
    tables what `plausibility` sums, `reads_elsewhere` that `prepare` takes text from other documents, too, `answers`
    what the classes of whole rows mean, `remark` what a picture of its examples does not show.

    Every loss has the mean "vocabulary", of predicted tokens, and most have nothing else. A loss may also be the sum of
    several means, of different things: then `loss_weights` and `losses` have further parts, and `scales` their factors;
    a part with a factor of 0 is only logged.
    """

    form: ClassVar[Form]
    visibilities: ClassVar[frozenset[Visibility]] = frozenset()
    plausibility_route: ClassVar[str] = "log-likelihood, left to right"
    symbols: ClassVar[tuple[str, ...]] = ()  # roles for which the tokenizer must have a symbol: "mask", "bos"
    reads_elsewhere: ClassVar[bool] = False
    answers: ClassVar[tuple[str, ...]] = ()
    remark: ClassVar[str] = ""
    reads_pairs: ClassVar[bool] = False  # `prepare` is given Pairs, of which streams are as long as `lengths` says

    @property
    def within_words_route(self) -> str:
        """What `plausibility_within_words` sums, for tables."""
        return self.plausibility_route

    @property
    def leaves(self) -> "tuple[Objective, ...]":
        """The objectives that make its rows, by the `part` of their examples: itself, unless it is made of others."""
        return (self,)

    def refusal(self, length: int, sentinels: int) -> str | None:
        """Why the objective cannot work on windows of this length with so many sentinels, or None."""

    def tokenizer_refusal(self, length: int, vocabulary: Vocabulary) -> str | None:
        """Why the objective cannot work on windows of this length with this tokenizer, or None."""
        for role in self.symbols:
            if getattr(vocabulary, f"{role}_id") is None:
                return f"it needs a {role} symbol, and the tokenizer has none; use a tokenizer that has one"
        return self.refusal(length, len(vocabulary.sentinel_ids))

    def model_refusal(self, model: ModelConfig) -> str | None:
        """Why a model with these switches cannot be trained, or None."""
        return "it does not train model.future_heads; set 0" if model.future_heads else None

    def build(self, model: ModelConfig, vocab_size: int, dtype: str) -> nn.Module:
        """The Linen module that is trained; its `__call__` gives logits at the loss positions."""
        if not model.vocabulary_head:
            raise UserError(f"objective={self.name} predicts tokens, and this model has no head for them; give it one "
                            f"by model.vocabulary_head=True, or fine-tune it")
        return model.architecture.build(model, vocab_size, dtype)

    def kept(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """Those of the trained parameters that are the model's: all, unless it is trained with the help of another."""
        return parameters

    def forward_flops(self, model: ModelConfig, vocab_size: int, length: int) -> int:
        """Closed formula for the matrix products of the loss of one window of `length` tokens."""
        return model.architecture.forward_flops(model, vocab_size, self.lengths(length), self.loss_positions(length))

    def lengths(self, length: int) -> Lengths:
        """Lengths of the streams made from a window of `length` tokens."""
        raise NotImplementedError

    def window_length_for(self, source_length: int) -> int:
        """The longest window whose source is no longer than this: how T5 chooses the length of its windows.

        T5 counts an EOS at the end of its source, and there is none here: its 512 are 511, of windows of 568.
        """
        if self.form is Form.IN_PLACE:
            raise UserError(f"objective={self.name}: its examples have no source whose length could be chosen")
        length = 1
        while self.lengths(length + 1).source <= source_length:
            length += 1
        return length

    def loss_positions(self, length: int) -> int:
        """At most so many positions of an example carry loss."""
        return self.lengths(length).target

    def prepare(self, window: Window | Pairs, vocabulary: Vocabulary, seeds: "Seeds") -> InPlace | SourceTarget:
        """Examples from windows, one row each; all randomness comes from `seeds`."""
        raise NotImplementedError

    @property
    def scales(self) -> Mapping[str, float]:
        """Factors of the means besides "vocabulary"; 1 for those that are not named."""
        return {}

    def loss_weights(self, model: nn.Module, batch: Batch) -> dict[str, jax.Array]:
        """{part of the loss: sum of its weights}; of the batch alone, so that it is known before the losses are."""
        return {"vocabulary": jnp.sum(batch.loss_weights)}

    def losses(self, model: nn.Module, parameters: Mapping, batch: Batch, visibility: Visibility, *, train: bool,
               rngs: Mapping[str, jax.Array] | None = None) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
        """({part: sum of its losses in nats}, {part: sum of the weights of right predictions, where worth knowing}).

        Sums, never means, so that parts of a batch add up to the whole.
        """
        projected = model.apply({"params": parameters}, batch, visibility, train=train, rngs=rngs, method="projected")
        return {"vocabulary": projected.loss(batch.targets, batch.loss_weights)[0]}, {}

    def loss(self, model: nn.Module, parameters: Mapping, batch: Batch, visibility: Visibility, *, train: bool,
             rngs: Mapping[str, jax.Array] | None = None) -> tuple[jax.Array, jax.Array]:
        """(joined losses, weight) of a whole batch: their quotient is the loss."""
        weights = self.loss_weights(model, batch)
        losses, _ = self.losses(model, parameters, batch, visibility, train=train, rngs=rngs)
        return self.joined(losses, weights), weights["vocabulary"]

    def joined(self, losses: Mapping[str, jax.Array], weights: Mapping[str, jax.Array]) -> jax.Array:
        """The sum of the parts' scaled means, times the weight of the tokens.

        With the weights of the whole global batch this is linear in the losses, so the pieces of a batch may be joined
        one by one and added: the division is still one, and global.
        """
        tokens = jnp.maximum(weights["vocabulary"], 1.0)
        others = (losses[part] * (self.scales.get(part, 1.0) * tokens / jnp.maximum(weight, 1.0))
                  for part, weight in weights.items() if part != "vocabulary")
        return sum(others, losses["vocabulary"])

    def conditional(self, context: Sequence[int], continuation: Sequence[int],
                    vocabulary: Vocabulary) -> list[InPlace | SourceTarget]:
        """Examples of one row whose summed log-probability is log p(continuation | context); weights mark what counts.

        Raises Undefined, with the reason, where the objective trains no such distribution.
        """
        raise NotImplementedError

    def ends(self, vocabulary: Vocabulary) -> tuple[int, ...]:
        """The ids at which a continuation that `conditional` lays out is over: the end of the text."""
        return (vocabulary.eos_id,)

    def plausibility(self, context: Sequence[int], continuation: Sequence[int],
                     vocabulary: Vocabulary) -> list[InPlace | SourceTarget]:
        """Like `conditional`, by the route the objective trained: a pseudo-log-likelihood where there is no chain rule.
        """
        return self.conditional(context, continuation, vocabulary)

    def plausibility_within_words(self, context: Sequence[int], continuation: Sequence[int],
                                  vocabulary: Vocabulary) -> list[InPlace | SourceTarget]:
        """Like `plausibility`, but no token sees the later ones of its own word (Kauf & Ivanova 2023).

        It is the same where a word is written from left to right.
        """
        return self.plausibility(context, continuation, vocabulary)

    def hidden(self, example: InPlace | SourceTarget) -> np.ndarray:
        """bool [b, t, n]: which of the n tokens of the window must not influence the loss of target t.

        The leakage tests hold the gradient to exactly this. Here, for source → target: whatever stands neither in the
        source nor among the targets before t.
        """
        n = 1 + max(int(example.target_origin.max(initial=0)), int(example.source_origin.max(initial=0)))
        in_source_bn = origin_one_hot(example.source_origin, n).any(axis=1)
        in_target_btn = np.logical_or.accumulate(origin_one_hot(example.target_origin, n) > 0, axis=1)
        before_btn = np.pad(in_target_btn, ((0, 0), (1, 0), (0, 0)))[:, :-1]
        return ~(in_source_bn[:, None] | before_btn)


@dataclasses.dataclass(frozen=True)
class Seeds:
    """The run's seed: makes the draws that belong to a set of keys."""

    seed: int

    def __call__(self, keys: np.ndarray) -> Draws:
        return Draws(self.seed, keys)


def origin_one_hot(origin: np.ndarray, n: int) -> np.ndarray:
    """float [b, t, n]: 1 where a token stood at that index of the window; origin −1 gives a row of zeros."""
    return (origin[:, :, None] == np.arange(n)).astype(np.float32)


def one_row(*tokens: int | None | Sequence[int]) -> np.ndarray:
    """int [1, t] from ids and sequences of ids, in order; None, for a symbol that a tokenizer lacks, gives nothing."""
    flat = [i for part in tokens if part is not None
            for i in ([part] if isinstance(part, int | np.integer) else part)]
    return np.asarray([flat], np.int32)


def require_context(row: np.ndarray) -> np.ndarray:
    """The row [1, t]; Undefined where it is empty, as behind no context and with a tokenizer that has no BOS."""
    if not row.shape[1]:
        raise Undefined("the tokenizer has no BOS, so without context there is nothing to predict from")
    return row


def word_spans(continuation: Sequence[int], vocabulary: Vocabulary) -> list[tuple[int, int]]:
    """(start, end) of each word; what stands before the first piece that begins a word is one, too."""
    starts = [i for i, token in enumerate(continuation) if i == 0 or vocabulary.starts_word[token]]
    return list(zip(starts, [*starts[1:], len(continuation)], strict=True))


def source_target_row(source: np.ndarray, target: np.ndarray, scored: np.ndarray) -> SourceTarget:
    """One example for scoring: a source, a target, and which target positions count ([1, t])."""
    return SourceTarget(source=source, source_segment_ids=np.ones_like(source), source_origin=np.full_like(source, -1),
                        target=target, target_segment_ids=np.ones_like(target),
                        target_origin=np.full_like(target, -1), loss_weights=scored.astype(np.float32))


def in_place_row(tokens: np.ndarray, targets: np.ndarray, scored: np.ndarray) -> InPlace:
    """One example for scoring: a stream, what each position is to predict, and which positions count ([1, t])."""
    row, = in_place_rows(tokens, targets, scored)
    return row


def in_place_rows(tokens: np.ndarray, targets: np.ndarray, scored: np.ndarray) -> list[InPlace]:
    """Examples of one row each, from arrays [n, t] that they share."""
    weights, ones, nowhere = scored.astype(np.float32), np.ones_like(tokens), np.full_like(tokens, -1)
    return [InPlace(tokens=tokens[i:i + 1], targets=targets[i:i + 1], loss_weights=weights[i:i + 1],
                    segment_ids=ones[i:i + 1], origin=nowhere[i:i + 1], target_origin=nowhere[i:i + 1],
                    capacity=tokens.shape[1]) for i in range(len(tokens))]
