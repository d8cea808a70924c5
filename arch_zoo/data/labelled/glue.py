"""Tasks of GLUE (Wang et al. 2018), in its own files, those of the original releases, and TensorFlow Datasets."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Literal

from arch_zoo.data.labelled.task import Task
from arch_zoo.registry import LABELLED_TASKS
from arch_zoo.settings import setting


@LABELLED_TASKS.register("cola")
@dataclasses.dataclass(frozen=True)
class Cola(Task):
    """Is a sentence acceptable English (Warstadt et al. 2019)? Its files have no header in either layout."""

    labels: ClassVar[tuple[str, ...]] = ("unacceptable", "acceptable")
    metrics: ClassVar[tuple[str, ...]] = ("matthews", "accuracy")
    bare: ClassVar[Mapping] = {4: ("source", "label", "mark", "sentence")}


@LABELLED_TASKS.register("sst2")
@dataclasses.dataclass(frozen=True)
class Sst2(Task):
    """Does a sentence of a film review speak well of the film (Socher et al. 2013)?"""

    labels: ClassVar[tuple[str, ...]] = ("negative", "positive")
    bare: ClassVar[Mapping] = {2: ("sentence", "label")}


@LABELLED_TASKS.register("rte")
@dataclasses.dataclass(frozen=True)
class Rte(Task):
    """Does the second text follow from the first? The challenges' XML says so by TRUE and FALSE, or YES and NO."""

    similarity: bool = setting(False, "read the pair in both orders and add the states (GPT-1)")

    text_columns: ClassVar[tuple[str, ...]] = ("sentence1", "premise")
    pair_columns: ClassVar[tuple[str, ...]] = ("sentence2", "hypothesis")
    labels: ClassVar[tuple[str, ...]] = ("entailment", "not_entailment")
    spellings: ClassVar[Mapping[str, str]] = {"true": "entailment", "yes": "entailment", "false": "not_entailment",
                                              "no": "not_entailment"}


@LABELLED_TASKS.register("mrpc")
@dataclasses.dataclass(frozen=True)
class Mrpc(Task):
    """Do two sentences say the same (Dolan & Brockett 2005)?"""

    similarity: bool = setting(True, "read the pair in both orders and add the states (GPT-1)")

    text_columns: ClassVar[tuple[str, ...]] = ("sentence1", "#1 String")
    pair_columns: ClassVar[tuple[str, ...]] = ("sentence2", "#2 String")
    label_columns: ClassVar[tuple[str, ...]] = ("label", "Quality")
    labels: ClassVar[tuple[str, ...]] = ("not_equivalent", "equivalent")
    metrics: ClassVar[tuple[str, ...]] = ("f1", "accuracy")


@LABELLED_TASKS.register("stsb")
@dataclasses.dataclass(frozen=True)
class Stsb(Task):
    """How alike are two sentences, from 0 to 5 (Cer et al. 2017)?"""

    similarity: bool = setting(True, "read the pair in both orders and add the states (GPT-1)")

    text_columns: ClassVar[tuple[str, ...]] = ("sentence1",)
    pair_columns: ClassVar[tuple[str, ...]] = ("sentence2",)
    label_columns: ClassVar[tuple[str, ...]] = ("score", "label")
    numbers: ClassVar[bool] = True
    metrics: ClassVar[tuple[str, ...]] = ("pearson", "spearman")


@LABELLED_TASKS.register("mnli")
@dataclasses.dataclass(frozen=True)
class Mnli(Task):
    """Does the second sentence follow from the first, contradict it, or neither (Williams et al. 2018)?"""

    genres: Literal["matched", "mismatched"] = setting("matched", "held-out genres: those of the training, or others")
    similarity: bool = setting(False, "read the pair in both orders and add the states (GPT-1)")

    text_columns: ClassVar[tuple[str, ...]] = ("sentence1", "premise")
    pair_columns: ClassVar[tuple[str, ...]] = ("sentence2", "hypothesis")
    label_columns: ClassVar[tuple[str, ...]] = ("gold_label", "label")
    labels: ClassVar[tuple[str, ...]] = ("entailment", "neutral", "contradiction")

    @property
    def splits(self) -> Mapping[str, str]:
        return {"validation": f"_{self.genres}"}
