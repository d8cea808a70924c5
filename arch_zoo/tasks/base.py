"""What a task is: a question put to a trained model, without any training, and what comes of it."""

import abc
import dataclasses
import math
import pathlib
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np

from arch_zoo.data.tokenizers import Tokenizer, Vocabulary
from arch_zoo.errors import UserError
from arch_zoo.evaluation.likelihood import Scorer
from arch_zoo.objectives.base import Objective
from arch_zoo.settings import Settings, setting
from arch_zoo.training.trained import TrainedRun


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
    """A trained model as tasks ask it; `label` stands before lines of progress."""

    run: TrainedRun
    scorer: Scorer
    label: str = ""

    @classmethod
    def of(cls, run: TrainedRun, tokens_per_batch: int = 4096) -> Self:
        """The run, to be asked."""
        return cls(run, Scorer(run.config.model.architecture, run.model, run.parameters, run.tokenizer.vocabulary,
                               tokens_per_batch))

    @property
    def objective(self) -> Objective:
        return self.run.config.objective

    @property
    def tokenizer(self) -> Tokenizer:
        return self.run.tokenizer

    @property
    def vocabulary(self) -> Vocabulary:
        return self.run.tokenizer.vocabulary


@dataclasses.dataclass(frozen=True)
class Metric:
    """A number that a task gives, as tables and reports describe it."""

    name: str
    title: str
    better: Literal["higher", "lower"]
    unit: str
    chance: float | None
    about: str


@dataclasses.dataclass(frozen=True)
class Measured:
    """A value with its standard error, or None and the reason."""

    value: float | None
    error: float | None = None
    reason: str = ""


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a task with numbers of its own, or a group of such parts (`members`)."""

    values: dict[str, Measured]
    count: int
    group: str = ""
    members: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a task found. `samples` has an object for each item."""

    values: dict[str, Measured]  # by the name of the metric
    count: int
    how: str                     # by which route texts were scored
    samples: Sequence[dict[str, Any]] = ()
    parts: dict[str, Part] = dataclasses.field(default_factory=dict)
    groups: dict[str, Part] = dataclasses.field(default_factory=dict)
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)  # what else should be known, such as "truncated"


@dataclasses.dataclass(frozen=True)
class Task(Settings, abc.ABC):
    """Options are fields. `places` are the names under which its data is looked for in a folder of test material."""

    data: str | None = setting(None, "file or folder of the task; none: found by its name in the folder of all tasks")
    limit: int | None = setting(None, "examples of each part at most; none: all", low=1)

    version: ClassVar[int] = 1  # counted up when the same command would give other numbers
    places: ClassVar[tuple[str, ...]] = ()
    shots: ClassVar[int] = 0

    @abc.abstractmethod
    def metrics(self) -> tuple[Metric, ...]:
        """What `run` measures, in the order of importance; a chance level may be read from the data."""

    @abc.abstractmethod
    def run(self, subject: Subject) -> Outcome:
        """Ask the model. Undefined, with the reason, where the question has no meaning for it."""

    @property
    def path(self) -> pathlib.Path:
        """Where its data is; UserError where that is not said, or nothing is there."""
        if self.data is None:
            there = f"--data=FOLDER with {' or '.join(self.places)} in it, or " if self.places else ""
            raise UserError(f"task {self.name} needs data; give {there}tasks.{self.name}.data=PATH")
        path = pathlib.Path(self.data).expanduser()
        if not path.exists():
            raise UserError(f"task {self.name}: {path}: no such file or folder")
        return path

    def require_data(self) -> None:
        """UserError where its data is not there: known before anything slow."""
        if self.places:
            _ = self.path

    def found_in(self, folder: pathlib.Path) -> "Task":
        """The task with its data from a folder of all tasks, or with what it was given."""
        if self.data is not None:
            return self
        there = next((folder / place for place in self.places if (folder / place).exists()), None)
        if there is None and any(folder.name == pathlib.Path(place).name for place in self.places):
            there = folder
        if there is None:
            raise UserError(f"{folder}: has no {' or '.join(self.places)} for task {self.name}; "
                            f"give tasks.{self.name}.data=PATH")
        return self.replace(data=str(there))


def labels(tasks: Sequence[Task]) -> list[str]:
    """What tasks are called in tables and directories: their names, numbered from 0 where one is there twice."""
    names = [task.name for task in tasks]
    return [name if names.count(name) == 1 else f"{name}.{names[:i].count(name)}" for i, name in enumerate(names)]


def mean_of(values: Sequence[float] | np.ndarray) -> Measured:
    """The mean with its standard error, s / √n; one value has none."""
    values = np.asarray(values, float)
    error = float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None
    return Measured(float(values.mean()), error)


def mean_of_means(means: Sequence[Measured]) -> Measured:
    """The unweighted mean of independent means: errors add in squares."""
    value = float(np.mean([one.value for one in means]))
    if any(one.error is None for one in means):
        return Measured(value)
    return Measured(value, math.sqrt(sum(one.error ** 2 for one in means)) / len(means))


def exponential(log: Measured) -> Measured:
    """e to a mean, with the error that follows to first order: a perplexity from nats."""
    value = math.exp(min(log.value, 700.0))  # a model may be so bad that no float holds it
    return Measured(value, None if log.error is None else value * log.error)
