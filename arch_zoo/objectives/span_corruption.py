"""Span corruption (T5; Raffel et al. 2020, section 3.1.4 and Figure 2)."""

import abc
import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from arch_zoo.data.tokenizers import Vocabulary
from arch_zoo.examples import Draws, Form, Lengths, SourceTarget, Window
from arch_zoo.objectives.base import Objective, Seeds, one_row, source_target_row, word_spans
from arch_zoo.objectives.corruption import split_at_spans
from arch_zoo.objectives.spans import choose_spans, choose_spans_anywhere
from arch_zoo.registry import OBJECTIVES
from arch_zoo.settings import setting


@dataclasses.dataclass(frozen=True)
class SentinelSpans(Objective, abc.ABC):
    """What the objectives share that replace spans by sentinels and write them out."""

    form: ClassVar[Form] = Form.SOURCE_TARGET
    plausibility_route: ClassVar[str] = "pseudo-log-likelihood, one word infilled at a time"

    @abc.abstractmethod
    def counts(self, length: int) -> tuple[int, int]:
        """(corrupted tokens, spans at most) of a window."""

    @abc.abstractmethod
    def choose(self, draws: Draws, fixed: np.ndarray) -> np.ndarray:
        """bool [b, n]: the corrupted positions, none of them fixed."""

    def refusal(self, length: int, sentinels: int) -> str | None:
        corrupted, spans = self.counts(length)
        if corrupted in (0, length):
            return f"rate={self.rate} corrupts {corrupted} of {length} tokens; at least one must be, and one be left"
        if spans + 1 > sentinels:
            return f"{spans} spans and the end need {spans + 1} sentinels, the tokenizer has {sentinels}; " \
                   f"set data.tokenizer.sentinels={spans + 1} or more, or, where data.tokenizer.model names a " \
                   f"tokenizer, name one with as many"
        return None

    def lengths(self, length: int) -> Lengths:
        corrupted, spans = self.counts(length)
        return Lengths(source=length - corrupted + spans, target=corrupted + spans + 1)

    def prepare(self, window: Window, vocabulary: Vocabulary, seeds: Seeds) -> SourceTarget:
        tokens, segment_ids = window.tokens[:, :-1], window.segment_ids[:, :-1]
        corrupted = self.choose(seeds(window.index), vocabulary.is_special[tokens])
        return split_at_spans(tokens, segment_ids, corrupted, vocabulary, self.lengths(tokens.shape[1]))

    def conditional(self, context: Sequence[int], continuation: Sequence[int],
                    vocabulary: Vocabulary) -> list[SourceTarget]:
        """The continuation is the one span that is missing at the end of the source."""
        first = vocabulary.sentinel_ids[0]
        target = one_row(first, continuation)
        return [source_target_row(one_row(vocabulary.bos_id, context, first), target,
                                  np.arange(target.shape[1])[None] > 0)]

    def ends(self, vocabulary: Vocabulary) -> tuple[int, ...]:
        """Behind the one span stands the second sentinel, as behind the last one in training."""
        return (*super().ends(vocabulary), vocabulary.sentinel_ids[1])

    def plausibility(self, context: Sequence[int], continuation: Sequence[int],
                     vocabulary: Vocabulary) -> list[SourceTarget]:
        """Pseudo-log-likelihood by infilling: each word in turn is the one span that is missing."""
        first, second = vocabulary.sentinel_ids[:2]
        rows = []
        for start, end in word_spans(continuation, vocabulary):
            word = continuation[start:end]
            source = one_row(vocabulary.bos_id, context, continuation[:start], first, continuation[end:],
                             vocabulary.eos_id)
            target = one_row(first, word, second)
            position = np.arange(target.shape[1])[None]
            rows.append(source_target_row(source, target, (position > 0) & (position <= len(word))))
        return rows


@OBJECTIVES.register("span_corruption")
@dataclasses.dataclass(frozen=True)
class SpanCorruption(SentinelSpans):
    """Spans of the window are replaced by sentinels, and written out:

        window   a b c d e f g h
        source   a b X e f g Y       X, Y, Z the first, second and third sentinel
        target   X c d Y h Z

    Every row has the same number of corrupted tokens and of spans, so both streams are filled exactly. No span covers
    a BOS or EOS or reaches across documents; the rare row in which that cannot be (documents of a token or two) is
    shortened to what fits.
    """

    rate: float = setting(0.15, "share of tokens that are corrupted", low=0.0, high=1.0)
    mean_span: float = setting(3.0, "mean length of a span", low=1.0)
    anywhere: bool = setting(False, "spans may take the first token and leave the last; T5's never and always do, so "
                                    "that a single span is the end of the window")

    def counts(self, length: int) -> tuple[int, int]:
        corrupted = round(self.rate * length)
        return corrupted, max(1, round(corrupted / self.mean_span))

    def refusal(self, length: int, sentinels: int) -> str | None:
        corrupted, spans = self.counts(length)
        if 0 < length - corrupted < spans:
            return f"rate={self.rate} leaves {length - corrupted} of {length} tokens, and {spans} spans need as many " \
                   f"between them; lower rate or raise mean_span"
        return super().refusal(length, sentinels)

    def choose(self, draws: Draws, fixed: np.ndarray) -> np.ndarray:
        choose = choose_spans_anywhere if self.anywhere else choose_spans
        return choose(draws, fixed, *self.counts(fixed.shape[1]))
