"""What a task is: which columns hold its texts and answers, what an answer may be, how it is measured."""

import dataclasses
import enum
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from arch_zoo.errors import UserError
from arch_zoo.registry import did_you_mean
from arch_zoo.settings import Settings

METRICS = ("accuracy", "f1", "matthews", "pearson", "spearman")


class Kind(enum.Enum):
    """How the texts of an example are put before a model."""

    SENTENCE = "sentence"
    PAIR = "pair"
    SIMILARITY = "similarity"  # a pair in both orders
    CHOICE = "choice"          # each choice beside its context


@dataclasses.dataclass(frozen=True)
class Example:
    """Texts and their answer: the number of a label or of the right choice, or a value."""

    texts: tuple[str, ...]
    answer: int | float
    choices: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Labelled:
    """A task with its examples. `labels` is empty where answers are values or choices."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    train: list[Example]
    dev: list[Example]
    sources: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)  # {split: files}
    roles: tuple[str, ...] = ("sentence",)  # what the texts are called in a prompt

    @property
    def is_regression(self) -> bool:
        return not self.labels and self.kind is not Kind.CHOICE


@dataclasses.dataclass(frozen=True)
class Task(Settings):
    """Columns by role, each with the names that are in use for it; what is in them.

    `bare`: {number of columns: their names} of files without a header. `spellings`: further ways of writing a label,
    beside its name and its number. A pair is read once, or, with `similarity`, in both orders.
    """

    text_columns: ClassVar[tuple[str, ...]] = ("sentence",)
    pair_columns: ClassVar[tuple[str, ...]] = ()
    label_columns: ClassVar[tuple[str, ...]] = ("label",)
    choice_columns: ClassVar[tuple[str, ...]] = ()
    bare: ClassVar[Mapping[int, tuple[str, ...]]] = {}
    labels: ClassVar[tuple[str, ...]] = ()
    spellings: ClassVar[Mapping[str, str]] = {}
    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)
    similarity: ClassVar[bool] = False
    numbers: ClassVar[bool] = False
    splits: ClassVar[Mapping[str, str]] = {}  # {our split: the name a file or dataset has for it, where not the usual}

    @property
    def kind(self) -> Kind:
        if self.choice_columns:
            return Kind.CHOICE
        if self.pair_columns:
            return Kind.SIMILARITY if self.similarity else Kind.PAIR
        return Kind.SENTENCE

    @property
    def roles(self) -> tuple[str, ...]:
        """What the texts of an example are called."""
        return ("sentence1", "sentence2") if self.pair_columns else ("sentence",)

    def measured_by(self) -> tuple[str, ...]:
        return self.metrics

    def column_names(self, first_row: Sequence[str]) -> tuple[str, ...] | None:
        """The columns' names where a file has none in its first row; None where it has."""
        stated = {name for names in self._wanted().values() for name in names}
        return None if stated & set(first_row) else self.bare.get(len(first_row))

    def columns(self, there: Sequence[str], where: str) -> dict[str, str]:
        """{role: column} among those that are there; UserError names what is missing, and what there is."""
        found = {}
        for role, names in self._wanted().items():
            found[role] = next((name for name in names if name in there), None)
            if found[role] is None:
                raise UserError(f"{where}: has no column {' or '.join(map(repr, names))} for the {role} of "
                                f"task={self.name}.{did_you_mean(names[0], there)} Columns: {', '.join(there)}; "
                                f"--task=tsv --task.text=… --task.label=… names columns of your own")
        return found

    def _wanted(self) -> dict[str, tuple[str, ...]]:
        wanted = {"text": self.text_columns, "pair": self.pair_columns, "label": self.label_columns}
        choices = {f"choice {i}": (name,) for i, name in enumerate(self.choice_columns)}
        return {role: names for role, names in (wanted | choices).items() if names}

    def example(self, row: Mapping[str, Any], columns: Mapping[str, str], labels: Sequence[str],
                where: str) -> Example:
        """UserError where a text is empty, or an answer is none that the task knows."""
        texts = tuple(self._text(row[columns[role]], columns[role], where) for role in ("text", "pair")
                      if role in columns)
        choices = self._choices(row, columns, where)
        value = row[columns["label"]]
        if self.kind is Kind.CHOICE:
            return Example(texts, self._choice(value, len(choices), where), choices)
        return Example(texts, self._number(value, where) if self.numbers else self._label(value, labels, where))

    def labels_of(self, values: Sequence[Any]) -> tuple[str, ...]:
        """The names of the labels, given all that stand in the training examples."""
        return self.labels

    @staticmethod
    def _text(value: Any, column: str, where: str) -> str:
        text = str(value).strip() if isinstance(value, str | int | float) else ""
        if not text:
            raise UserError(f"{where}: {column!r} is empty; every example needs its text")
        return text

    def _choices(self, row: Mapping[str, Any], columns: Mapping[str, str], where: str) -> tuple[str, ...]:
        names = [columns[f"choice {i}"] for i in range(len(self.choice_columns))]
        values = [row[name] for name in names]
        if len(values) == 1:  # one column with a list
            values = _as_list(values[0])
        choices = tuple(self._text(value, name, where)
                        for value, name in zip(values, names * (len(values) if len(names) == 1 else 1), strict=True))
        if names and len(choices) < 2:
            raise UserError(f"{where}: {names[0]!r} holds {len(choices)} choices; there must be two at least: a list "
                            f"in one column, or --task.choices=A,B,… with one in each")
        return choices

    def _label(self, value: Any, labels: Sequence[str], where: str) -> int:
        written = spelled(value)
        by_spelling = {str(i): i for i in range(len(labels))} | {name.lower(): i for i, name in enumerate(labels)}
        by_spelling |= {spelling: labels.index(name) for spelling, name in self.spellings.items()}
        if written.lower() not in by_spelling:
            known = ", ".join(f"{i} ({name})" if str(i) != name else name for i, name in enumerate(labels[:20]))
            raise UserError(f"{where}: unknown label {written!r}; task={self.name} knows {known}")
        return by_spelling[written.lower()]

    def _choice(self, value: Any, count: int, where: str) -> int:
        number = spelled(value)
        if not number.isdecimal() or int(number) >= count:
            raise UserError(f"{where}: unknown answer {number!r}; the choices are numbered 0 to {count - 1}")
        return int(number)

    @staticmethod
    def _number(value: Any, where: str) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise UserError(f"{where}: unknown label {str(value)!r}; it must be a number")
        return number


def spelled(value: Any) -> str:
    """A label as a file would have it: 1.0, which JSON may have for a number, is "1"."""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()


def _as_list(value: Any) -> list[Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return []
    return list(value) if isinstance(value, list | tuple) else []
