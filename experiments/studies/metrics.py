"""The shared metrics: what makes arms of different objectives comparable."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from arch_zoo.config import DataConfig, EvaluationConfig
from arch_zoo.data.labelled.task import Example, Kind, Labelled
from arch_zoo.data.python_docs import classification_examples
from arch_zoo.evaluation.bits_per_byte import bits_per_byte, suffix_windows
from arch_zoo.evaluation.likelihood import Scorer
from arch_zoo.evaluation.minimal_pairs import make_pairs, preferences, read_pairs
from arch_zoo.fine_tuning.learning import fine_tune
from arch_zoo.models.architecture import Reading
from arch_zoo.objectives.base import Undefined
from arch_zoo.tasks.base import Measured, Subject, labels
from arch_zoo.training.loop import Setup
from arch_zoo.training.trained import TrainedRun


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """A trained run, ready to be measured."""

    setup: Setup
    parameters: Any
    evaluation: EvaluationConfig

    @functools.cached_property
    def subject(self) -> Subject:
        """The run as tasks ask it."""
        setup = self.setup
        return Subject.of(TrainedRun(pathlib.Path(), setup.config, setup.data.tokenizer, setup.model, self.parameters))

    @property
    def scorer(self) -> Scorer:
        return self.subject.scorer


def groups(evaluation: EvaluationConfig) -> list[str]:
    """Names of the groups of metrics that are measured one after another: those of all studies, and each task."""
    return [*GROUPS, *labels(evaluation.tasks)]


def measure(name: str, run: Evaluated) -> dict[str, dict[str, Any]]:
    """{key: {"value", "count", …}} of one group of metrics, or {"value": None, "reason"} where it has no meaning."""
    try:
        return GROUPS[name](run) if name in GROUPS else _of_task(name, run)
    except Undefined as error:
        return {name: {"value": None, "reason": str(error)}}


def _of_task(label: str, run: Evaluated) -> dict[str, dict[str, Any]]:
    task = run.evaluation.tasks[labels(run.evaluation.tasks).index(label)]
    outcome = task.run(dataclasses.replace(run.subject, label=label))

    def entry(name: str, measured: Measured) -> dict[str, Any]:
        if measured.value is None:
            return {"value": None, "reason": measured.reason}
        parts = {part: one.values[name].value for part, one in outcome.parts.items() if name in one.values}
        return {"value": measured.value, "count": outcome.count, "how": outcome.how, "error": measured.error,
                **({"by_kind": parts} if parts else {}), **({"notes": outcome.notes} if outcome.notes else {})}

    return {f"{label}/{name}": entry(name, measured) for name, measured in outcome.values.items()}


def _bits_per_byte(run: Evaluated) -> dict[str, dict[str, Any]]:
    setup = run.setup
    windows = suffix_windows(setup.data.stores["test"], setup.config.data.length, run.evaluation.suffixes)
    if not windows:
        raise Undefined(f"no held-out document is longer than data.length={setup.config.data.length} tokens")
    value = bits_per_byte(run.scorer, setup.config.objective, setup.data.tokenizer, windows)
    return {"bits_per_byte": {"value": value, "count": len(windows)}}


def _minimal_pairs(run: Evaluated) -> dict[str, dict[str, Any]]:
    evaluation, corpus = run.evaluation, run.setup.data.corpus
    if evaluation.minimal_pairs is not None:
        pairs = read_pairs(evaluation.minimal_pairs, evaluation.pairs)
    elif corpus is None:
        raise Undefined("the corpus was given as tokens; held-out sentences need its text, or minimal_pairs=PATH")
    else:
        pairs = make_pairs(corpus.documents("test"), corpus.documents("train"), evaluation.pairs)
    if not pairs:
        raise Undefined("the held-out text has no sentence of ordinary words")
    preferred = preferences(run.scorer, run.setup.config.objective, run.setup.data.tokenizer, pairs,
                            evaluation.context_tokens)
    kinds = np.array([pair.kind for pair in pairs])
    how = run.setup.config.objective.plausibility_route
    shares = {str(kind): float(preferred[kinds == kind].mean()) for kind in dict.fromkeys(kinds)}
    if evaluation.minimal_pairs is not None:
        return {"minimal_pairs": {"value": float(preferred.mean()), "count": len(pairs), "how": how,
                                  "by_kind": shares}}
    return {f"minimal_pairs/{kind}": {"value": share, "count": int((kinds == kind).sum()), "how": how}
            for kind, share in shares.items()}


def _classification(run: Evaluated) -> dict[str, dict[str, Any]]:
    task = _task(run.setup.config.data.cache_dir)
    architecture = run.setup.config.model.architecture

    def accuracy(reading: Reading) -> dict[str, Any]:
        right = fine_tune(run.setup.model, run.parameters, reading, task, run.setup.data.tokenizer,
                          run.evaluation.fine_tuning, run.setup.config.seed)
        return {"value": float(right.mean()), "count": len(right), "how": reading.words}

    shared = accuracy(architecture.shared_reading)
    same = architecture.own_reading == architecture.shared_reading
    return {"classification/shared": shared,
            "classification/own": shared if same else accuracy(architecture.own_reading)}


@functools.cache
def _task(cache_dir: str | None) -> Labelled:
    found, labels = classification_examples(cache_dir=cache_dir)
    train, held_out = ([Example((text,), label) for text, label in found[split]] for split in ("train", "test"))
    return Labelled("packages", Kind.SENTENCE, labels, ("accuracy",), train, held_out)


def _share_of_commonest(evaluation: EvaluationConfig, data: DataConfig) -> float:
    """The accuracy of always giving the same answer."""
    labels = [example.answer for example in _task(data.cache_dir).dev[:evaluation.fine_tuning.test_examples]]
    return max(map(labels.count, labels)) / len(labels)


GROUPS: dict[str, Callable[[Evaluated], dict[str, dict[str, Any]]]] = {
    "bits_per_byte": _bits_per_byte, "minimal_pairs": _minimal_pairs, "classification": _classification}


def describe(evaluation: EvaluationConfig, data: DataConfig) -> list[dict[str, Any]]:
    """The metrics for the report: key, title, direction, chance level and meaning.

    UserError where a task lacks its data.
    """
    length, commonest = data.length, _share_of_commonest(evaluation, data)
    accuracy = {"better": "higher", "unit": "accuracy"}
    if evaluation.minimal_pairs is None:
        pairs = [{"key": "minimal_pairs/swap", "title": "Swapped words", **accuracy, "chance": 0.5,
                  "about": "share of held-out sentences that score above themselves with two neighbouring words "
                           "swapped"},
                 {"key": "minimal_pairs/replace", "title": "Replaced word", **accuracy, "chance": 0.5,
                  "about": "share of held-out sentences that score above themselves with one word replaced by another "
                           "of the same frequency band"}]
    else:
        pairs = [{"key": "minimal_pairs", "title": "Minimal pairs", **accuracy, "chance": 0.5,
                  "about": f"share of the pairs in {evaluation.minimal_pairs} whose good sentence scores higher"}]
    return [
        {"key": "bits_per_byte", "title": "Bits per byte", "better": "lower", "unit": "bits/byte", "chance": None,
         "about": f"of the second {length - length // 2} tokens of held-out windows given the first {length // 2}"},
        *pairs,
        {"key": "classification/shared", "title": "Classification, same visibility", **accuracy, "chance": commonest,
         "about": "which of ten packages a docstring comes from, after fine-tuning; every stack bidirectional, mean "
                  "over tokens; chance is always naming the commonest package"},
        {"key": "classification/own", "title": "Classification, own visibility", **accuracy, "chance": commonest,
         "about": "the same, each arm read under its own visibility"},
        *_of_tasks(evaluation)]


def _of_tasks(evaluation: EvaluationConfig) -> list[dict[str, Any]]:
    described = []
    for label, task in zip(labels(evaluation.tasks), evaluation.tasks, strict=True):
        task.require_data()
        described += [{"key": f"{label}/{metric.name}", "title": metric.title, "better": metric.better,
                       "unit": metric.unit, "chance": metric.chance, "about": metric.about}
                      for metric in task.metrics()]
    return described
