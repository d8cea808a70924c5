"""Answers in words (T5; Raffel et al. 2020, section 2.4): the label word that is likeliest behind a prompt."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from arch_zoo.config import FineTuningConfig
from arch_zoo.data.labelled.task import Example, Kind, Labelled
from arch_zoo.errors import UserError
from arch_zoo.evaluation.likelihood import Scorer
from arch_zoo.examples import InPlace, SourceTarget
from arch_zoo.fine_tuning.answers.question import Answer, Asked, Prepared
from arch_zoo.layers.cross_entropy import cross_entropy
from arch_zoo.models.architecture import Batch
from arch_zoo.objectives.base import Undefined
from arch_zoo.objectives.rows import Shape, collate, lengths_of, require_length
from arch_zoo.registry import ANSWERS
from arch_zoo.settings import FieldError, setting

_STEP = 0.2  # values are written to the nearest fifth, as in T5
_SOURCES, _TARGETS = 32, 8  # lengths are padded to multiples of these


@ANSWERS.register("words")
@dataclasses.dataclass(frozen=True)
class Words(Answer):
    """The model writes the label, in the form in which its objective continues a text; no other word is allowed.

    Trained on the words of the answers alone, with the EOS behind them. Values are written to the nearest fifth; the
    choices of multiple choice are written themselves.
    """

    template: str | None = setting(None, "the prompt, with {task}, and {text} and {pair} for the texts; none: T5's, as "
                                         "in 'cola sentence: …' or 'rte sentence1: … sentence2: …'")
    words: tuple[str, ...] = setting((), "a word for each label, in the order of the labels; empty: their names")

    def check(self) -> None:
        if self.template is None:
            return
        try:
            self.template.format(task="", text="", pair="")
        except (KeyError, IndexError, ValueError, AttributeError):
            raise FieldError("template", f"{self.template!r} may have {{task}}, {{text}} and {{pair}} only") from None
        if "{text}" not in self.template:
            raise FieldError("template", f"{self.template!r} has no {{text}}")

    def bind(self, asked: Asked, task: Labelled, config: FineTuningConfig) -> "WordsQuestion":
        if self.words and len(self.words) != len(task.labels):
            raise UserError(f"answer.words: {len(self.words)} words for the {len(task.labels)} labels of {task.name}: "
                            f"{', '.join(task.labels) or 'its answers are no labels'}")
        if len(set(self.words)) != len(self.words):
            raise UserError(f"answer.words: {', '.join(self.words)}: each label needs a word of its own")
        for field in ("new_tokens", "auxiliary"):
            if getattr(config, field):
                raise UserError(f"{field} is for answer=head; answer=words has prompts, and a loss of words already")
        if config.weights.needs_head:
            raise UserError(f"weights={config.weights.name}: trains a head alone, and answer=words has none; use "
                            f"weights=all or lora")
        return WordsQuestion(self, asked, task, config)


class WordsQuestion:
    """Prompts and the words that may stand behind them, as rows of the objective's conditional likelihood."""

    def __init__(self, answer: Words, asked: Asked, task: Labelled, config: FineTuningConfig):
        self._answer, self._asked, self._task, self._config = answer, asked, task, config
        self._architecture = asked.model.config.architecture
        self.how = f"label words, {asked.objective.name}"
        self.stacks, self.model = self._architecture.own_reading.stacks, asked.model
        self._words = list(answer.words or task.labels)
        self._values: np.ndarray | None = None
        if task.is_regression:
            values = [example.answer for example in task.train]
            steps = np.arange(round(min(values) / _STEP), round(max(values) / _STEP) + 1)
            self._values, self._words = steps * _STEP, [f"{step * _STEP:.1f}" for step in steps]
        self._require_likelihood()

    def _require_likelihood(self) -> None:
        """UserError where the model writes no text, Undefined where prompts are too long for it."""
        asked, vocabulary = self._asked, self._asked.tokenizer.vocabulary
        cannot = f"answer=words: {self._architecture.name} with objective={asked.objective.name} writes no words"
        if not asked.model.config.vocabulary_head:
            raise UserError(f"{cannot}: it has no head that predicts tokens; use answer=head")
        try:
            row, = asked.objective.conditional([vocabulary.eos_id] * self._config.length, [vocabulary.eos_id],
                                               vocabulary)
        except Undefined as reason:
            raise UserError(f"{cannot}: {reason}; use answer=head") from None
        require_length(asked.model, self._architecture.longest_stream(lengths_of(row)))

    def head(self) -> dict[str, Any]:
        return {}

    # --- prompts and words ---------------------------------------------------------------------------------------

    def prompt(self, texts: Sequence[str]) -> str:
        """The text before the answer."""
        template = self._answer.template
        if template is None:
            parts = (f"{role}: {text}" for role, text in zip(self._task.roles, texts, strict=True))
            return " ".join([self._task.name, *parts])
        return template.format(task=self._task.name, text=texts[0], pair=texts[1] if len(texts) > 1 else "")

    def rows(self, example: Example, word: int) -> list[InPlace | SourceTarget]:
        """The rows whose likelihood is that of an allowed word: one for each order in which the texts are read."""
        found = []
        for texts in self._orders(example):
            context, _ = self._context(self.prompt(texts))
            found += self._asked.objective.conditional(context, self._continuation(self._allowed(example)[word]),
                                                       self._asked.tokenizer.vocabulary)
        return found

    def _orders(self, example: Example) -> list[tuple[str, ...]]:
        both = self._task.kind is Kind.SIMILARITY
        return [example.texts, example.texts[::-1]] if both else [example.texts]

    def _allowed(self, example: Example) -> Sequence[str]:
        return example.choices or self._words

    def _context(self, prompt: str) -> tuple[list[int], bool]:
        """(ids, whether some were cut off): at the end, but before a choice, which goes on with the text, at the start.
        """
        ids, length = self._asked.tokenizer.encode(prompt), self._config.length
        kept = ids[-length:] if self._task.kind is Kind.CHOICE else ids[:length]
        return kept, len(ids) > length

    def _continuation(self, word: str) -> list[int]:
        tokenizer = self._asked.tokenizer
        ids = tokenizer.encode(word if tokenizer.prefixes_space else f" {word}")
        return [*ids[:self._config.length], tokenizer.vocabulary.eos_id]

    def _word_of(self, example: Example) -> int:
        if self._values is None:
            return int(example.answer)
        return int(np.abs(self._values - example.answer).argmin())

    def _cut(self, examples: Sequence[Example]) -> int:
        return sum(any(self._context(self.prompt(texts))[1] for texts in self._orders(example))
                   for example in examples)

    # --- learning and answering ----------------------------------------------------------------------------------

    def prepare(self, examples: Sequence[Example]) -> Prepared:
        def batch(chosen: Sequence[int]) -> Batch:
            rows = [row for i in chosen for row in self.rows(examples[i], self._word_of(examples[i]))]
            lengths = [lengths_of(row) for row in rows]
            source = -(-max(length.source for length in lengths) // _SOURCES) * _SOURCES
            # A stream without a source is as long as one.
            unit = _TARGETS if source else _SOURCES
            target = -(-max(length.target for length in lengths) // unit) * unit
            stacked = collate(rows, Shape(source, target, target), len(rows))
            return self._architecture.layout(stacked, np.arange(len(rows)), self._asked.tokenizer.vocabulary.start_id)

        return Prepared(len(examples), self._cut(examples), batch)

    def loss(self, parameters: Any, head: Mapping[str, Any], batch: Batch, *, train: bool,
             rngs: Mapping | None = None) -> jax.Array:
        logits = self._asked.model.apply({"params": parameters}, batch, self._architecture.visibility, train=train,
                                         rngs=rngs)
        return jnp.sum(cross_entropy(logits, batch.targets) * batch.loss_weights) / \
            jnp.maximum(jnp.sum(batch.loss_weights), 1.0)

    def likelihoods(self, parameters: Any, examples: Sequence[Example]) -> list[np.ndarray]:
        """For each example the log-likelihood of each word that is allowed, in nats; of a pair's two orders the sum."""
        scorer = Scorer(self._architecture, self._asked.model, parameters, self._asked.tokenizer.vocabulary)
        counts = [len(self._allowed(example)) for example in examples]
        scores = scorer.scores([self.rows(example, word) for example, count in zip(examples, counts, strict=True)
                                for word in range(count)])
        return np.split(scores, np.cumsum(counts)[:-1])

    def predict(self, parameters: Any, head: Mapping[str, Any], examples: Sequence[Example]) -> tuple[list, int]:
        best = [int(scores.argmax()) for scores in self.likelihoods(parameters, examples)]
        return best if self._values is None else self._values[best].tolist(), self._cut(examples)
