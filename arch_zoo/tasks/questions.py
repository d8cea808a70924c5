"""Questions put to a model: which of several texts goes on with a context best, or how likely the one text is."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal

from arch_zoo.data.tokenizers import Tokenizer, Vocabulary
from arch_zoo.errors import UserError
from arch_zoo.evaluation.progress import watched
from arch_zoo.objectives.base import Objective, Undefined
from arch_zoo.objectives.rows import Row, lengths_of, longest_stream
from arch_zoo.tasks.base import Subject

Likelihood = Literal["auto", "trained", "left_to_right", "within_words"]
LIKELIHOOD_HELP = ("how texts are scored: left_to_right; trained, by the route of the objective, which may be a "
                   "pseudo-log-likelihood; within_words, that with later tokens of the same word masked as well; auto, "
                   "left to right where the objective has it, else trained")
_CHUNK = 256  # questions that are encoded together
LEFT_TO_RIGHT = "log-likelihood, left to right"


@dataclasses.dataclass(frozen=True)
class Question:
    """A context, and texts that may follow it (their own space first); `where` tells people where it comes from."""

    context: str
    alternatives: tuple[str, ...]
    where: str = ""


@dataclasses.dataclass(frozen=True)
class Score:
    """The log-probability of a text, and what it can be divided by. Bytes and words are those of the text itself."""

    nats: float
    greedy: bool | None  # whether each token was the likeliest, where that was asked
    tokens: int
    bytes: int
    words: int

    @property
    def bits_per_byte(self) -> float:
        return -self.nats / math.log(2) / max(1, self.bytes)

    @property
    def bits_per_word(self) -> float:
        return -self.nats / math.log(2) / max(1, self.words)


@dataclasses.dataclass(frozen=True)
class Answer:
    """The scores of a question's alternatives; `cut` tokens of the text before them did not fit into the model."""

    question: Question
    scores: tuple[Score, ...]
    cut: int

    @property
    def nats(self) -> list[float]:
        return [score.nats for score in self.scores]

    def record(self) -> dict[str, Any]:
        """What a line of samples.jsonl says of it."""
        return {"arguments": [[self.question.context, text] for text in self.question.alternatives],
                "resps": [[score.nats, score.greedy] for score in self.scores],
                "tokens": [score.tokens for score in self.scores],
                "bits_per_byte": [score.bits_per_byte for score in self.scores],
                "bits_per_word": [score.bits_per_word for score in self.scores], "cut_tokens": self.cut}


def cuts(answers: Sequence[Answer]) -> dict[str, int]:
    """How many questions lost some of what stands before the alternatives, and how many tokens."""
    return {"truncated": sum(answer.cut > 0 for answer in answers),
            "truncated_tokens": sum(answer.cut for answer in answers)}


@dataclasses.dataclass(frozen=True)
class Route:
    """One way to score a continuation: its name for people, and the rows it makes."""

    words: str
    rows: Callable[[Sequence[int], Sequence[int], Vocabulary], list[Row]]


def route_of(objective: Objective, vocabulary: Vocabulary, asked: Likelihood) -> Route:
    """The objective's way to score texts; Undefined where it has not the one that is asked for."""
    routes = {"left_to_right": Route(LEFT_TO_RIGHT, objective.conditional),
              "trained": Route(objective.plausibility_route, objective.plausibility),
              "within_words": Route(objective.within_words_route, objective.plausibility_within_words)}
    ordinary = int((~vocabulary.is_special).argmax())
    if asked == "auto":
        try:
            routes["left_to_right"].rows([ordinary], [ordinary], vocabulary)
            return routes["left_to_right"]
        except Undefined:
            asked = "trained"
    routes[asked].rows([ordinary], [ordinary], vocabulary)
    return routes[asked]


def ask(subject: Subject, questions: Sequence[Question], likelihood: Likelihood, greedy: bool = False) -> list[Answer]:
    """An answer to each question. Undefined where the objective has no such likelihood.

    A text too long for the model's positions loses the beginning of its context, then that of what all alternatives
    begin with; all alternatives of a question lose the same. Undefined, too, where a question still does not fit.
    """
    route = route_of(subject.objective, subject.vocabulary, likelihood)
    sizes: list[tuple[list[int], int]] = []  # by question: tokens of the alternatives, tokens that were cut

    def items() -> Iterator[list[Row]]:
        for question, (context, alternatives) in zip(
                watched(questions, subject.label, len(questions), "questions"),
                encoded(subject.tokenizer, questions), strict=True):
            rows, cut = _fitted(subject, route, question, context, alternatives)
            sizes.append(([len(ids) for ids in alternatives], cut))
            yield from rows

    found = subject.scorer.scored(items(), greedy)
    scores = zip(found.nats.tolist(), found.greedy.tolist() if greedy else itertools.repeat(None), strict=False)
    return [Answer(question, tuple(
        Score(*next(scores), tokens, len(text.encode()), len(text.split()))
        for text, tokens in zip(question.alternatives, counts, strict=True)), cut)
        for question, (counts, cut) in zip(questions, sizes, strict=True)]


def encoded(tokenizer: Tokenizer, questions: Iterable[Question]) -> Iterator[tuple[list[int], list[list[int]]]]:
    """(ids of the context, ids of each alternative) of each question.

    Context and alternative are encoded as one text, and parted where its ids leave those of the context alone. White
    space at the context's end belongs to the alternative, with which most tokenizers join it.
    """
    waiting = iter(questions)
    while chunk := list(itertools.islice(waiting, _CHUNK)):
        contexts = tokenizer.encode_batch([question.context.rstrip() for question in chunk])
        wholes = iter(tokenizer.encode_batch([q.context + text for q in chunk for text in q.alternatives]))
        for question, context in zip(chunk, contexts, strict=True):
            own = [next(wholes) for _ in question.alternatives]
            if not all(own):
                raise UserError(f"{question.where}: a text without any token cannot be scored")
            start = min(len(context), *(_shared(context, ids) for ids in own), *(len(ids) - 1 for ids in own))
            yield own[0][:start], [ids[start:] for ids in own]


def _shared(first: Sequence[int], second: Sequence[int]) -> int:
    """How many ids two sequences begin with in common."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(first), len(second)))


def _fitted(subject: Subject, route: Route, question: Question, context: list[int],
            alternatives: list[list[int]]) -> tuple[list[list[Row]], int]:
    """(rows of each alternative, how many tokens before them were cut off)."""
    common = alternatives[0] if len(alternatives) > 1 else []
    for other in alternatives[1:]:
        common = common[:min(_shared(common, other), len(other) - 1, len(alternatives[0]) - 1)]
    before, cut = [*context, *common], 0
    while True:
        kept = max(0, len(context) - cut)
        shed = max(0, cut - len(context))
        rows = [route.rows(context[len(context) - kept:], ids[shed:], subject.vocabulary) for ids in alternatives]
        excess = _excess(subject, rows)
        if excess <= 0:
            return rows, cut
        if cut == len(before):
            raise Undefined(f"{question.where}: does not fit: its tokens are {excess} more than the "
                            f"{longest_stream(subject.run.model)} that the model has positions for")
        cut = min(len(before), cut + excess)


def _excess(subject: Subject, items: list[list[Row]]) -> int:
    """How many tokens the longest stream of these rows is too long."""
    limit = longest_stream(subject.run.model)
    if limit is None:
        return 0
    longest = subject.run.config.model.architecture.longest_stream
    return max(longest(lengths_of(row)) for rows in items for row in rows) - limit
