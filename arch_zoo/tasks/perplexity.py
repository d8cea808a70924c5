"""Perplexity of a text, by a protocol that its name tells; pseudo-perplexity for models that fill in."""

import bisect
import dataclasses
import math
import re
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

import numpy as np

from arch_zoo.data.local_text import lines_of
from arch_zoo.errors import UserError
from arch_zoo.evaluation.progress import watched
from arch_zoo.objectives.base import Undefined
from arch_zoo.objectives.rows import Row
from arch_zoo.registry import TASKS
from arch_zoo.settings import FieldError, setting
from arch_zoo.tasks.base import Measured, Metric, Outcome, Subject, Task, exponential
from arch_zoo.tasks.questions import Route, route_of

Window = tuple[list[int], list[int]]


@dataclasses.dataclass(frozen=True)
class Scored:
    """Documents in windows: of each window, the number of its document and −log p (nats); tokens no window scores."""

    windows: list[Window]
    documents: list[int]
    nats: np.ndarray
    unscored: int


@TASKS.register("perplexity")
@dataclasses.dataclass(frozen=True)
class Perplexity(Task):
    """Every token of a text is scored once, given the tokens before it in its window:

        length=4, stride none    [a b c d] [e f g h]            each window begins anew
        length=4, stride=2       [a b c d] (c d)[e f] (e f)[g h]  in brackets what is scored, in parentheses given

    A window is what the objective calls context and continuation, so that prefix decoders and encoder-decoders keep the
    same protocol. Where the tokenizer has a BOS it opens every window; where it has none, and the objective needs
    something to predict from, the token before the window does, and the first one of a document is not scored.

    Words are what white space separates, bytes those of the text, whatever the tokenizer makes of it. A masked model
    has a pseudo-likelihood of each window in place of a likelihood: sums over it are called pseudo-perplexity (Salazar
    et al. 2020) and compare with each other only. `limit` counts windows: the text is cut, at white space, to fit.
    """

    length: int = setting(128, "tokens of text in a window, given ones included", low=1)
    stride: int | None = setting(None, "tokens scored in a window; none: all of it, so that windows do not overlap",
                                 low=1)
    documents: Literal["file", "blank_line", "line"] = setting("file", "what no window reaches across")
    line_ends: bool = setting(False, "count each line's end as a word, as the published counts of WikiText do")
    form: Literal["trained", "within_words"] = setting("trained", "of masked models: each token masked alone, or with "
                                                                  "the later ones of its word")

    places: ClassVar[tuple[str, ...]] = ("text/wikitext2_test.txt", "wikitext2_test.txt", "perplexity.txt")

    def check(self) -> None:
        if self.stride is not None and self.stride > self.length:
            raise FieldError("stride", f"{self.stride} is more than length={self.length}: tokens would be left out")

    @property
    def protocol(self) -> str:
        """As it stands in the names of metrics."""
        return f"sliding_{self.length}_stride_{self.stride}" if self.overlap else f"windows_{self.length}"

    def metrics(self) -> tuple[Metric, ...]:
        moved = f"moved by {self.stride}" if self.overlap else "not overlapping"
        shown = f"windows of {self.length} tokens, {moved}"
        rows = []
        for pseudo, kind in ((False, ""), (True, "pseudo-")):
            about = "by masked tokens; only comparable with itself; " if pseudo else ""
            rows += [
                Metric(self._name("bits_per_byte", pseudo), f"{kind}bits per byte".capitalize(), "lower", "bits/byte",
                       None, f"{about}of the text's own bytes; {shown}"),
                Metric(self._name("word_perplexity", pseudo), f"{kind}perplexity of words".capitalize(), "lower",
                       "per word", None, f"{about}e to the nats per white-space word; {shown}"),
                Metric(self._name("perplexity", pseudo), f"{kind}perplexity of tokens".capitalize(), "lower",
                       "per token", None, f"{about}depends on the tokenizer; {shown}")]
        return tuple(rows)

    def run(self, subject: Subject) -> Outcome:
        route, pseudo, reason = self._route(subject)
        least = _least_context(route, subject)
        texts = self._texts(subject, least)
        scored = self.scored(subject, route, texts)
        if not scored.windows:
            raise UserError(f"{self.path}: empty, or of one token in all")
        nats, tokens = scored.nats, sum(len(continuation) for _, continuation in scored.windows)
        words, size = (sum(map(count, texts)) for count in (self.words, lambda text: len(text.encode())))
        totals = {"bits_per_byte": float(nats.sum()) / math.log(2) / size, "word_perplexity": _perplexity(nats, words),
                  "perplexity": _perplexity(nats, tokens)}
        values = {metric.name: Measured(None, reason=reason) for metric in self.metrics()}
        values |= {self._name(what, pseudo): Measured(value) for what, value in totals.items()}
        notes = {"nats": float(nats.sum()), "tokens": tokens, "words": words, "bytes": size, "documents": len(texts),
                 "unscored_tokens": scored.unscored}
        return Outcome(values, len(nats), route.words, self._samples(scored, subject), notes=notes)

    def scored(self, subject: Subject, route: Route, texts: Sequence[str]) -> Scored:
        """The windows of all documents."""
        least = _least_context(route, subject)
        encoded = subject.tokenizer.encode_batch(texts)
        windows = [(number, window) for number, ids in enumerate(encoded) for window in self.windows(ids, least)]

        def items() -> Iterator[list[Row]]:
            for _, (context, continuation) in watched(windows, subject.label, len(windows), "windows"):
                yield route.rows(context, continuation, subject.vocabulary)

        unscored = sum(map(len, encoded)) - sum(len(continuation) for _, (_, continuation) in windows)
        try:
            nats = -subject.scorer.scores(items())
        except Undefined as error:
            raise Undefined(f"{error}; a lower length of the task {self.name} may fit") from None
        return Scored([window for _, window in windows], [number for number, _ in windows], nats, unscored)

    def _name(self, what: str, pseudo: bool) -> str:
        return f"{'pseudo_' if pseudo else ''}{what}_{self.protocol}"

    def _route(self, subject: Subject) -> tuple[Route, bool, str]:
        """(how windows are scored, whether that is a pseudo-likelihood, why the other one has no value)."""
        objective, vocabulary = subject.objective, subject.vocabulary
        try:
            return route_of(objective, vocabulary, "left_to_right"), False, "the model has a likelihood, left to right"
        except Undefined as error:
            return route_of(objective, vocabulary, self.form), True, str(error)

    def windows(self, ids: list[int], least: int) -> list[Window]:
        """(given, scored) tokens of a document; `least`: tokens that must be given where a document has them."""
        ends = [*range(self.length, len(ids), self.stride or self.length), len(ids)]
        found = []
        for begin, end in zip([0, *ends[:-1]], ends, strict=True):
            start = max(begin, least)
            first = max(0, end - self.length) if self.overlap else begin
            if end > start:
                found.append((ids[min(first, start - least):start], ids[start:end]))
        return found

    @property
    def overlap(self) -> bool:
        return self.stride not in (None, self.length)

    def _texts(self, subject: Subject, least: int) -> list[str]:
        """The documents; with a limit, so much of their beginning as its windows hold."""
        path = self.path
        if path.is_dir():
            raise UserError(f"task {self.name}: {path} is a folder; give a text file")
        texts = [text for text in _documents(list(lines_of(path)), self.documents) if text.strip()]
        if self.limit is None:
            return texts
        kept, left = [], self.limit
        for text in texts:
            kept.append(text)
            if (count := self._count(text, subject, least)) > left:
                kept[-1] = self._cut(text, left, subject, least)
            left -= min(count, left)
            if not left:
                break
        return kept

    def _count(self, text: str, subject: Subject, least: int) -> int:
        return len(self.windows(subject.tokenizer.encode(text), least))

    def _cut(self, text: str, count: int, subject: Subject, least: int) -> str:
        """The longest beginning of the text, up to a white space, that is at most `count` windows."""
        ends = [match.start() for match in re.finditer(r"\s+", text)]
        fits = bisect.bisect_right(ends, count, key=lambda end: self._count(text[:end], subject, least))
        return text[:ends[fits - 1]] if fits else ""

    def words(self, text: str) -> int:
        """What white space separates, with the ends of lines where they count."""
        return len(text.split()) + (text.count("\n") if self.line_ends else 0)

    def _samples(self, scored: Scored, subject: Subject) -> list[dict]:
        return [{"doc_id": n, "doc": {"document": document}, "resps": [[-float(value), None]],
                 "arguments": [[subject.tokenizer.decode(context), subject.tokenizer.decode(continuation)]],
                 "tokens": len(continuation)}
                for n, (document, (context, continuation), value)
                in enumerate(zip(scored.documents, scored.windows, scored.nats, strict=True))]


def _perplexity(nats: np.ndarray, count: int) -> float:
    """e to the nats of one of `count`."""
    return exponential(Measured(float(nats.sum()) / count)).value


def _least_context(route: Route, subject: Subject) -> int:
    """How many tokens must be given before one can be scored: 1 where there is no BOS to predict the first one from."""
    ordinary = int((~subject.vocabulary.is_special).argmax())
    try:
        route.rows([], [ordinary], subject.vocabulary)
    except Undefined:
        return 1
    return 0


def _documents(lines: list[str], cut: str) -> list[str]:
    if cut == "line":
        return lines
    text = "".join(lines)
    return [text] if cut == "file" else re.split(r"\n\s*\n", text)
