"""Several objectives in one model: what mixtures and schedules share. Each row of a batch is made by one of them."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from arch_zoo.data.tokenizers import Vocabulary
from arch_zoo.examples import Form, InPlace, Lengths, SourceTarget, Window, rows_of
from arch_zoo.layers.visibility import Visibility
from arch_zoo.objectives.base import Objective, Seeds, Undefined
from arch_zoo.registry import OBJECTIVES
from arch_zoo.settings import FieldError, setting

Example = InPlace | SourceTarget


@dataclasses.dataclass(frozen=True)
class Composition(Objective):
    """A subclass says by `choose` which of its parts makes each row, and by `used` which parts ever do.

    All rows have the streams of the longest part, and shorter ones are padded. Parts in place that do not agree on a
    visibility are read under PREFIX: rows of bidirectional parts with every token a prefix, of causal ones with none.
    """

    parts: tuple[Any, ...] = setting(("causal_lm", "masked_next_token"), "objectives", variant=OBJECTIVES)

    def check(self) -> None:
        if not self.parts:
            raise FieldError("parts", "needs at least one objective, parts=causal_lm,masked_next_token for example")
        for number, part in enumerate(self.parts):
            if type(part).losses is not Objective.losses:
                raise FieldError(f"parts.{number}", f"{part.name} has a loss of its own, and the rows of a batch share "
                                                    f"theirs; train it alone")
            if part.form is not self.form:
                raise FieldError(f"parts.{number}", f"{part.name} is {part.form.value} and {self.parts[0].name} is "
                                                    f"{self.form.value}; all parts must be of one kind")

    @property
    def used(self) -> Sequence[Objective]:
        """The parts that make rows, those first by which texts are to be scored."""
        raise NotImplementedError

    def choose(self, window: Window, seeds: Seeds) -> np.ndarray:
        """int [b]: the number of the part that makes each row."""
        raise NotImplementedError

    @property
    def form(self) -> Form:
        return self.parts[0].form

    @property
    def visibilities(self) -> frozenset[Visibility]:
        shared = frozenset.intersection(*(part.visibilities for part in self.parts))
        return shared or frozenset({Visibility.PREFIX})

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(role for part in self.used for role in part.symbols))

    @property
    def reads_elsewhere(self) -> bool:
        return any(part.reads_elsewhere for part in self.used)

    @property
    def leaves(self) -> tuple[Objective, ...]:
        return tuple(leaf for part in self.parts for leaf in part.leaves)

    @property
    def plausibility_route(self) -> str:
        return self.used[0].plausibility_route

    @property
    def within_words_route(self) -> str:
        return self.used[0].within_words_route

    def refusal(self, length: int, sentinels: int) -> str | None:
        return self._first_problem(lambda part: part.refusal(length, sentinels))

    def tokenizer_refusal(self, length: int, vocabulary: Vocabulary) -> str | None:
        return self._first_problem(lambda part: part.tokenizer_refusal(length, vocabulary))

    def _first_problem(self, problem_of: Callable[[Objective], str | None]) -> str | None:
        problems = ((part, problem_of(part)) for part in self.used)
        return next((f"its part {part.name}: {problem}" for part, problem in problems if problem), None)

    def lengths(self, length: int) -> Lengths:
        each = [part.lengths(length) for part in self.used]
        return Lengths(source=max(one.source for one in each), target=max(one.target for one in each))

    def loss_positions(self, length: int) -> int:
        return max(part.loss_positions(length) for part in self.used)

    def prepare(self, window: Window, vocabulary: Vocabulary, seeds: Seeds) -> Example:
        length = window.tokens.shape[1] - 1
        made = together(self.choose(window, seeds),
                        lambda number, rows: self._of_part(number, window.rows(rows), vocabulary, seeds),
                        self.lengths(length), vocabulary.pad_id)
        return dataclasses.replace(made, capacity=self.loss_positions(length)) if isinstance(made, InPlace) else made

    def _of_part(self, number: int, window: Window, vocabulary: Vocabulary, seeds: Seeds) -> Example:
        before = sum(len(part.leaves) for part in self.parts[:number])
        example = self.parts[number].prepare(window, vocabulary, seeds)
        leaf = np.zeros(len(window.index), int) if example.part is None else example.part
        return seen_as(self.parts[number], dataclasses.replace(example, part=before + leaf))

    def conditional(self, context: Sequence[int], continuation: Sequence[int],
                    vocabulary: Vocabulary) -> list[Example]:
        """By the first part that defines one."""
        reasons = []
        for part in self.used:
            try:
                return [seen_as(part, row) for row in part.conditional(context, continuation, vocabulary)]
            except Undefined as reason:
                reasons.append(reason)
        raise reasons[0]

    def ends(self, vocabulary: Vocabulary) -> tuple[int, ...]:
        return tuple(dict.fromkeys(token for part in self.used for token in part.ends(vocabulary)))

    def plausibility(self, context: Sequence[int], continuation: Sequence[int],
                     vocabulary: Vocabulary) -> list[Example]:
        part = self.used[0]
        return [seen_as(part, row) for row in part.plausibility(context, continuation, vocabulary)]

    def plausibility_within_words(self, context: Sequence[int], continuation: Sequence[int],
                                  vocabulary: Vocabulary) -> list[Example]:
        part = self.used[0]
        return [seen_as(part, row) for row in part.plausibility_within_words(context, continuation, vocabulary)]

    def hidden(self, example: Example) -> np.ndarray:
        """Of each row, what is hidden by the objective that made it."""
        each = [(rows, leaf.hidden(rows_of(example, rows))) for number, leaf in enumerate(self.leaves)
                if (rows := example.part == number).any()]
        n = max(hidden.shape[2] for _, hidden in each)
        whole = np.ones((*example.loss_weights.shape, n), bool)  # what stands nowhere is hidden
        for rows, hidden in each:
            whole[rows, :, :hidden.shape[2]] = hidden
        return whole


def drawn(weights: Sequence[float], uniform_b: np.ndarray) -> np.ndarray:
    """int [b] from uniform [b]: each number as often as its weight says, relative to the others."""
    edges = np.cumsum(weights)
    return np.searchsorted(edges / edges[-1], uniform_b, side="right")


def seen_as(part: Objective, example: Example) -> Example:
    """The example with the prefix that makes it seen under PREFIX as the part wants it; what has one keeps it."""
    if not isinstance(example, InPlace) or example.prefix is not None:
        return example
    return dataclasses.replace(example, prefix=np.full(example.tokens.shape,
                                                       Visibility.BIDIRECTIONAL in part.visibilities))


_FILLING = {"source_origin": -1, "target_origin": -1, "origin": -1}  # everything else is padded with 0, ids with pad_id
_IDS = {"tokens", "targets", "source", "target"}


def together(chosen_b: np.ndarray, make: Callable[[int, np.ndarray], Example], lengths: Lengths,
             pad_id: int) -> Example:
    """One example of all rows: `make(number, rows)` makes those (bool [b]) whose number was chosen; all are padded."""
    parts = [(chosen_b == number, make(number, chosen_b == number)) for number in np.unique(chosen_b).tolist()]
    columns = {}
    for field in dataclasses.fields(parts[0][1]):
        arrays = [(rows, values) for rows, example in parts
                  if isinstance(values := getattr(example, field.name), np.ndarray)]
        if not arrays:
            continue
        length = lengths.source if field.name.startswith("source") else lengths.target
        shape, dtype = (len(chosen_b), length)[:arrays[0][1].ndim], arrays[0][1].dtype
        column = np.full(shape, pad_id if field.name in _IDS else _FILLING.get(field.name, 0), dtype)
        for rows, values in arrays:
            column[np.ix_(rows, *map(np.arange, values.shape[1:]))] = values
        columns[field.name] = column
    return dataclasses.replace(parts[0][1], **columns)
