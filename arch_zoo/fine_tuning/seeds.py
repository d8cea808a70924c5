"""A task learnt with several seeds, each kept as soon as it is done; their results and samples."""

import dataclasses
import functools
import hashlib
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from absl import logging

from arch_zoo.analysis.statistics import mean_interval
from arch_zoo.data.labelled.reading import read_task
from arch_zoo.data.labelled.task import Example, Labelled
from arch_zoo.errors import UserError
from arch_zoo.files import read_json, write_json_atomic, write_text_atomic
from arch_zoo.fine_tuning.answers.question import Asked
from arch_zoo.fine_tuning.config import FineTuneConfig
from arch_zoo.fine_tuning.learning import Learner, model_for
from arch_zoo.fine_tuning.metrics import measured, standard_error
from arch_zoo.objectives.base import Undefined
from arch_zoo.settings import to_dict
from arch_zoo.training.trained import TrainedRun
from arch_zoo.training.workdir import git_commit

VERSION = 1  # of what a seed's result means; raise it when the same config gives another one
FOLDER, RESULTS, SAMPLES = "fine_tuning", "results.json", "samples.jsonl"


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A run and a task that it is to learn. What is expensive is made when a seed needs it."""

    run: TrainedRun
    config: FineTuneConfig
    task: Labelled

    @classmethod
    def of(cls, run: TrainedRun, config: FineTuneConfig) -> "Experiment":
        """UserError where the data cannot be read, or the model cannot answer."""
        return cls(run, config, labelled_task(config))

    @property
    def folder(self) -> pathlib.Path:
        return self.run.workdir / FOLDER / self.config.title

    @functools.cached_property
    def question(self):
        """UserError where the model cannot be asked so."""
        model = model_for(self.run.model, self.config)
        asked = Asked(self.run.config.objective, model, self.run.tokenizer)
        try:
            return self.config.answer.bind(asked, self.task, self.config)
        except Undefined as error:
            raise UserError(f"length={self.config.length}: {error}; give a shorter length") from None

    @functools.cached_property
    def learner(self) -> Learner:
        return Learner(self.question, self.task.train, self.config)

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """Config, examples and weights: a seed's result is kept for exactly these."""
        examples = hashlib.sha256()
        for split in (self.task.train, self.task.dev):
            examples.update(json.dumps([dataclasses.astuple(example) for example in split]).encode())
        weights = hashlib.sha256()
        for path, leaf in jax.tree_util.tree_leaves_with_path(self.run.parameters):
            weights.update(jax.tree_util.keystr(path).encode() + np.asarray(leaf).tobytes())
        return {"version": VERSION, "config": self.config.of_one_seed(), "examples_sha256": examples.hexdigest(),
                "weights_sha256": weights.hexdigest()}

    # --- one seed ------------------------------------------------------------------------------------------------

    def of_seed(self, seed: int) -> dict[str, Any]:
        """{"predicted", "metrics", "standard_errors", …} of a seed: as it was kept, or learnt now and kept."""
        path = self.folder / f"seed_{seed}.json"
        if path.exists():
            kept = read_json(path)
            if kept["identity"] == self.identity:
                logging.info("%s seed %d is done already", self.task.name, seed)
                return kept
            logging.info("%s seed %d is done again: the model, the examples or the program changed", self.task.name,
                         seed)
        found = {"identity": self.identity, **self.learn(seed)}
        write_json_atomic(path, found)
        return found

    def learn(self, seed: int) -> dict[str, Any]:
        """{"predicted", "metrics", "standard_errors", …} of a seed."""
        learnt = self.learner.learn(self.run.parameters, seed, f"{self.task.name} seed {seed}")
        predicted, cut = self.question.predict(learnt["model"], learnt["head"], self.task.dev)
        answers, names = _answers(self.task.dev), self.task.metrics
        return {"seed": seed, "how": self.question.how, "steps": self.learner.steps,
                "cut": {"train": self.learner.prepared.cut, "dev": cut}, "predicted": predicted,
                "metrics": measured(names, predicted, answers),
                "standard_errors": {name: standard_error(name, predicted, answers) for name in names}}

    # --- all of them ---------------------------------------------------------------------------------------------

    def results(self) -> dict[str, Any]:
        """Learn with every seed that is not done, and write results.json and samples.jsonl."""
        seeds = [self.of_seed(seed) for seed in range(self.config.seeds)]
        metrics = {name: _over_seeds(name, seeds) for name in self.task.metrics}
        results = self._in_the_harness_words(metrics) | {
            "metrics": metrics, "baseline": baseline(self.task), "how": seeds[0]["how"], "steps": seeds[0]["steps"],
            "examples": {"train": len(self.task.train), "dev": len(self.task.dev)}, "cut": seeds[0]["cut"],
            "data": {split: list(files) for split, files in self.task.sources.items()}}
        write_text_atomic(self.folder / SAMPLES, self._samples(seeds))
        write_json_atomic(self.folder / RESULTS, results)
        return results

    def _in_the_harness_words(self, metrics: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """What the lm-evaluation-harness would write of the means over seeds."""
        name, count = self.task.name, len(self.task.dev)
        entries = {f"{metric}{kind},none": found[key] for metric, found in metrics.items()
                   for kind, key in (("", "mean"), ("_stderr", "standard_error"))}
        whole = self.config.test_examples is None
        return {"results": {name: {"alias": name, **entries}}, "group_subtasks": {name: []},
                "configs": {name: to_dict(self.config.task)}, "versions": {name: VERSION}, "n-shot": {name: 0},
                "higher_is_better": {name: dict.fromkeys(metrics, True)},
                "n-samples": {name: {"original": count if whole else None, "effective": count}},
                "config": {"model": "arch_zoo", "model_args": f"workdir={self.run.workdir}",
                           **self.config.of_one_seed()}, "git_hash": git_commit()}

    def _samples(self, seeds: Sequence[dict[str, Any]]) -> str:
        def named(answer):
            return self.task.labels[answer] if self.task.labels else answer

        lines = []
        for number, example in enumerate(self.task.dev):
            line = {"example": number, "texts": example.texts, "answer": named(example.answer),
                    "predicted": [named(seed["predicted"][number]) for seed in seeds]}
            lines.append(line | ({"choices": example.choices} if example.choices else {}))
        return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def labelled_task(config: FineTuneConfig) -> Labelled:
    """The task with its examples, or so many of them. UserError where the data cannot be read."""
    if config.data is None:
        raise UserError("--data=… is required: a folder with the task's files, TRAIN,DEV, or tfds:NAME")
    task = read_task(config.task, config.data)
    return dataclasses.replace(task, train=_some(task.train, config.examples),
                               dev=_some(task.dev, config.test_examples))


def baseline(task: Labelled) -> dict[str, Any]:
    """What one gets who always answers alike: the commonest answer of the training examples, or their mean."""
    answers = _answers(task.train)
    if task.is_regression:
        always, words = float(np.mean(answers)), f"always {np.mean(answers):.3f}, the mean in training"
    else:
        always = max(sorted(set(answers)), key=answers.count)
        words = f"always {task.labels[always] if task.labels else f'choice {always}'}, the commonest in training"
    return {"how": words, "metrics": measured(task.metrics, [always] * len(task.dev), _answers(task.dev))}


def _some(examples: list[Example], count: int | None) -> list[Example]:
    """So many of them, always the same, in their order: files are often sorted, and their beginning is one kind."""
    if count is None or count >= len(examples):
        return examples
    return [examples[i] for i in sorted(np.random.default_rng(0).permutation(len(examples))[:count])]


def _answers(examples: Sequence[Example]) -> list[int | float]:
    return [example.answer for example in examples]


def _over_seeds(name: str, seeds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean over seeds with Student's 95 % interval; standard errors are over the choice of held-out examples."""
    values, errors = ([seed[kind][name] for seed in seeds] for kind in ("metrics", "standard_errors"))
    interval = mean_interval(values)
    return {"seeds": values, "mean": interval.mean, "low": interval.low, "high": interval.high,
            "standard_error": float(np.mean(errors))}
