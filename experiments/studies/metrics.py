"""The shared metrics: what makes arms of different objectives comparable."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from arch_zoo.config import DataConfig, EvaluationConfig, RunConfig
from arch_zoo.data.labelled.task import Example, Kind, Labelled
from arch_zoo.data.prepare import Data
from arch_zoo.data.python_docs import classification_examples
from arch_zoo.evaluation.bits_per_byte import bits_per_byte, optimum_bits_per_byte, suffix_windows
from arch_zoo.evaluation.likelihood import Scorer
from arch_zoo.evaluation.minimal_pairs import make_pairs, preferences, read_pairs
from arch_zoo.fine_tuning.learning import fine_tune
from arch_zoo.models.architecture import Reading
from arch_zoo.objectives.base import Undefined
from arch_zoo.tasks.base import Measured, Subject, labels
from arch_zoo.training.setup import Setup
from arch_zoo.training.trained import TrainedRun
from experiments.studies import initial_gradient
from experiments.studies.losses import losses


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
    """Names of the groups of metrics that are measured one after another: the chosen ones, losses, and each task."""
    return [*evaluation.metrics, *losses(evaluation), *labels(evaluation.tasks)]


def measure(name: str, run: Evaluated) -> dict[str, dict[str, Any]]:
    """{key: {"value", "count", …}} of one group of metrics, or {"value": None, "reason"} where it has no meaning."""
    try:
        if name in GROUPS:
            return GROUPS[name].measure(run)
        loss = losses(run.evaluation).get(name)
        return _of_task(name, run) if loss is None else loss.measure(run)
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


_ACCURACY = {"better": "higher", "unit": "accuracy"}


def _describe_bits_per_byte(evaluation: EvaluationConfig, data: DataConfig) -> list[dict[str, Any]]:
    return [{"key": "bits_per_byte", "title": "Bits per byte", "better": "lower", "unit": "bits/byte", "chance": None,
             "about": f"of the second {data.length - data.length // 2} tokens of held-out windows given the first "
                      f"{data.length // 2}"}]


def _describe_minimal_pairs(evaluation: EvaluationConfig, data: DataConfig) -> list[dict[str, Any]]:
    if evaluation.minimal_pairs is not None:
        return [{"key": "minimal_pairs", "title": "Minimal pairs", **_ACCURACY, "chance": 0.5,
                 "about": f"share of the pairs in {evaluation.minimal_pairs} whose good sentence scores higher"}]
    return [{"key": f"minimal_pairs/{kind}", "title": title, **_ACCURACY, "chance": 0.5,
             "about": f"share of held-out sentences that score above themselves with {change}"}
            for kind, title, change in (
                ("swap", "Swapped words", "two neighbouring words swapped"),
                ("replace", "Replaced word", "one word replaced by another of the same frequency band"))]


def _describe_classification(evaluation: EvaluationConfig, data: DataConfig) -> list[dict[str, Any]]:
    accuracy = {**_ACCURACY, "chance": _share_of_commonest(evaluation, data)}
    return [{"key": "classification/shared", "title": "Classification, same visibility", **accuracy,
             "about": "which of ten packages a docstring comes from, after fine-tuning; every stack bidirectional, "
                      "mean over tokens; chance is always naming the commonest package"},
            {"key": "classification/own", "title": "Classification, own visibility", **accuracy,
             "about": "the same, each arm read under its own visibility"}]


@dataclasses.dataclass(frozen=True)
class Group:
    """Metrics that are measured together: `measure` gives {key: entry}, `describe` what the report says of each."""

    measure: Callable[[Evaluated], dict[str, dict[str, Any]]]
    describe: Callable[[EvaluationConfig, DataConfig], list[dict[str, Any]]]


GROUPS = {"bits_per_byte": Group(_bits_per_byte, _describe_bits_per_byte),
          "minimal_pairs": Group(_minimal_pairs, _describe_minimal_pairs),
          "classification": Group(_classification, _describe_classification),
          "initial_gradient": Group(initial_gradient.measure, initial_gradient.describe)}


def describe(evaluation: EvaluationConfig, data: DataConfig) -> list[dict[str, Any]]:
    """The metrics for the report: key, title, direction, chance level and meaning.

    UserError where a task lacks its data.
    """
    return [*(entry for name in evaluation.metrics for entry in GROUPS[name].describe(evaluation, data)),
            *(metric for loss in losses(evaluation).values() for metric in loss.describe()), *_of_tasks(evaluation)]


def optimum(evaluation: EvaluationConfig, base: RunConfig, data: Data) -> dict[str, float]:
    """{key: the best value that any model could have} where the corpus knows it: synthetic ones do."""
    if "bits_per_byte" not in evaluation.metrics or data.corpus is None:
        return {}
    windows = suffix_windows(data.stores["test"], base.data.length, evaluation.suffixes)
    try:
        return {"bits_per_byte": optimum_bits_per_byte(data.corpus, data.tokenizer, windows)}
    except Undefined:
        return {}


def _of_tasks(evaluation: EvaluationConfig) -> list[dict[str, Any]]:
    described = []
    for label, task in zip(labels(evaluation.tasks), evaluation.tasks, strict=True):
        task.require_data()
        described += [{"key": f"{label}/{metric.name}", "title": metric.title, "better": metric.better,
                       "unit": metric.unit, "chance": metric.chance, "about": metric.about}
                      for metric in task.metrics()]
    return described
