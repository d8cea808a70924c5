"""Any file with labelled texts, by the names of its columns."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from arch_zoo.data.labelled.task import METRICS, Task, spelled
from arch_zoo.registry import LABELLED_TASKS
from arch_zoo.settings import FieldError, setting


@LABELLED_TASKS.register("tsv")
@dataclasses.dataclass(frozen=True)
class Columns(Task):
    """Columns of a TSV file, fields of JSON-lines, or features of a dataset.

    In a file without a header columns are named by their numbers, from 0. With `choices` the text is their context and
    the label the number of the right one, from 0.
    """

    text: str = setting("text", "the column with the text, or the first text")
    pair: str | None = setting(None, "the column with the second text of a pair")
    choices: tuple[str, ...] = setting((), "the columns with the choices, or the one that has a list of them")
    label: str = setting("label", "the column with the answer")
    similarity: bool = setting(False, "read a pair in both orders and add the states (GPT-1)")
    numbers: bool = setting(False, "answers are values, to be predicted as such")
    labels: tuple[str, ...] = setting((), "the labels in order, of which F1 counts the second as positive; empty: "
                                          "those of the training examples")
    metrics: tuple[str, ...] = setting((), f"of {', '.join(METRICS)}, the first of which counts most; empty: accuracy, "
                                           f"or for values pearson,spearman")

    def check(self) -> None:
        if unknown := [name for name in self.metrics if name not in METRICS]:
            raise FieldError("metrics", f"unknown metric {unknown[0]!r}; known: {', '.join(METRICS)}")
        if self.pair and self.choices:
            raise FieldError("choices", "stand beside one context; give pair or choices")
        if self.similarity and not self.pair:
            raise FieldError("similarity", "is of two texts; name the second by pair")
        if self.numbers and (self.labels or self.choices):
            raise FieldError("numbers", "an answer is a value, a label or a choice; give one of them")
        of_values = {"pearson", "spearman"} & set(self.metrics)
        if self.metrics and (self.numbers != bool(of_values) or len(of_values) not in (0, len(set(self.metrics)))):
            raise FieldError("metrics", f"{', '.join(self.metrics)}: pearson and spearman are for values "
                                        f"(task.numbers=True), the others for labels")

    @property
    def text_columns(self) -> tuple[str, ...]:
        return (self.text,)

    @property
    def pair_columns(self) -> tuple[str, ...]:
        return (self.pair,) if self.pair else ()

    @property
    def label_columns(self) -> tuple[str, ...]:
        return (self.label,)

    @property
    def choice_columns(self) -> tuple[str, ...]:
        return self.choices

    def measured_by(self) -> tuple[str, ...]:
        return self.metrics or (("pearson", "spearman") if self.numbers else ("accuracy",))

    def column_names(self, first_row: Sequence[str]) -> tuple[str, ...] | None:
        asked = [name for names in self._wanted().values() for name in names]
        return tuple(map(str, range(len(first_row)))) if all(name.isdecimal() for name in asked) else None

    def labels_of(self, values: Sequence[Any]) -> tuple[str, ...]:
        if self.labels or self.numbers or self.choices:
            return self.labels
        return tuple(sorted({spelled(value).lower() for value in values}))
