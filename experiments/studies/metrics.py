"""The shared metrics: what makes arms of different objectives comparable."""

import dataclasses
import functools
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
from arch_zoo.training.loop import Setup


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """A trained run, ready to be measured."""

    setup: Setup
    parameters: Any
    evaluation: EvaluationConfig

    @functools.cached_property
    def scorer(self) -> Scorer:
        return Scorer(self.setup.config.model.architecture, self.setup.model, self.parameters,
                      self.setup.data.tokenizer.vocabulary)


def measure(name: str, run: Evaluated) -> dict[str, dict[str, Any]]:
    """{key: {"value", "count", …}} of one group of metrics, or {"value": None, "reason"} where it has no meaning."""
    try:
        return GROUPS[name](run)
    except Undefined as error:
        return {name: {"value": None, "reason": str(error)}}


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
    """The metrics for the report: key, title, direction, chance level and meaning."""
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
         "about": "the same, each arm read under its own visibility"}]
