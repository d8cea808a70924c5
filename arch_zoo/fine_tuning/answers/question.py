"""What a way of answering offers to the loop that trains it: the interface between the two."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import flax.linen as nn

from arch_zoo.config import FineTuningConfig
from arch_zoo.data.labelled.task import Example, Labelled
from arch_zoo.data.tokenizers import Tokenizer
from arch_zoo.objectives.base import Objective
from arch_zoo.settings import Settings


@dataclasses.dataclass(frozen=True)
class Asked:
    """The model that is asked: as its run built it, or with a few more rows of embedding."""

    objective: Objective
    model: nn.Module
    tokenizer: Tokenizer


@dataclasses.dataclass(frozen=True)
class Prepared:
    """Training examples: how many, how many of them were cut, and the batch made of some, as NumPy arrays."""

    count: int
    cut: int
    batch: Callable[[Sequence[int]], Any]


class Question(Protocol):
    """A task as it is put before a model. `how` says in words what is read; `stacks` what it is read through."""

    how: str
    stacks: tuple[str, ...]
    model: nn.Module

    def head(self) -> Mapping[str, Any]:
        """New weights that are no part of the model; {} where there are none."""

    def prepare(self, examples: Sequence[Example]) -> Prepared:
        """Examples to learn from."""

    def loss(self, parameters: Any, head: Mapping[str, Any], batch: Any, *, train: bool,
             rngs: Mapping | None = None) -> Any:
        """The mean loss of a batch; a pure function."""

    def predict(self, parameters: Any, head: Mapping[str, Any], examples: Sequence[Example]) -> tuple[list, int]:
        """(what is answered to each example, how many were cut); no example's answer is looked at."""


class Answer(Settings):
    """A way of answering, before it is bound to a model and a task."""

    def bind(self, asked: Asked, task: Labelled, config: FineTuningConfig) -> Question:
        """UserError where the model cannot answer so."""
        raise NotImplementedError
