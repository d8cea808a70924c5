"""Small tasks over the toy vocabulary, and models of every architecture to learn them."""

import dataclasses
import functools

import numpy as np

from arch_zoo.config import FineTuningConfig, RunConfig
from arch_zoo.data.labelled.task import Example, Kind, Labelled
from arch_zoo.fine_tuning.answers.head import Head
from arch_zoo.fine_tuning.answers.question import Asked, Question
from arch_zoo.fine_tuning.learning import Learner, model_for
from arch_zoo.registry import ARCHITECTURES
from tests.evaluation.toy_text import ToyTokenizer, noisy_parameters, spell
from tests.toy import ORDINARY, SIZE, plain_pairs, tiny_config, toy_model

NAMES = ARCHITECTURES.names()
OBJECTIVE_OF = dict(reversed(plain_pairs()))
TOKENIZER = ToyTokenizer()
CONFIG = FineTuningConfig(epochs=1, batch_size=8, length=12, learning_rate=1e-2)
LABELS = ("low", "middle", "high")


def sentences(train: list[tuple[str, int]], held_out: list[tuple[str, int]], labels: tuple[str, ...]) -> Labelled:
    """A task of single texts."""
    made = ([Example((text,), label) for text, label in found] for found in (train, held_out))
    return Labelled("toy", Kind.SENTENCE, labels, ("accuracy",), *made)


def texts(count: int, seed: int, shortest: int = 3, longest: int = 14) -> list[tuple[str, int]]:
    """Texts whose label says from which third of the words most of theirs come."""
    rng = np.random.default_rng(seed)
    third = (SIZE - ORDINARY) // 3
    found = []
    for label, length in zip(rng.integers(0, 3, count), rng.integers(shortest, longest, count), strict=True):
        stray = rng.random(length) < 0.3
        text = np.where(stray, rng.integers(ORDINARY, SIZE, length),
                        ORDINARY + third * label + rng.integers(0, third, length))
        found.append((spell(text), int(label)))
    return found


def examples_of(kind: Kind, count: int, seed: int = 0) -> list[Example]:
    """Pairs say whether both texts are of the same third; the right choice is of the context's third."""
    found, rng = texts(4 * count, seed, 3, 6), np.random.default_rng(seed)
    by_label = [[text for text, label in found if label == third] for third in range(3)]
    made = []
    for number in range(count):
        text, label = found[number]
        other = by_label[(label + 1) % 3][number % len(by_label[(label + 1) % 3])]
        like = by_label[label][(number + 1) % len(by_label[label])]
        answer = int(rng.integers(2))
        if kind is Kind.SENTENCE:
            made.append(Example((text,), label))
        elif kind is Kind.CHOICE:
            choices = (other, like) if answer else (like, other)
            made.append(Example((text,), answer, (*choices, other) if number % 2 else choices))
        else:
            made.append(Example((text, like if answer else other), answer))
    return made


def task_of(kind: Kind, count: int = 32, numbers: bool = False) -> Labelled:
    """A task of this kind, of labels, choices or values."""
    labels = {Kind.SENTENCE: LABELS, Kind.CHOICE: ()}.get(kind, ("other", "same"))
    roles = ("sentence1", "sentence2") if kind in (Kind.PAIR, Kind.SIMILARITY) else ("sentence",)
    train, dev = examples_of(kind, count), examples_of(kind, 11, seed=1)
    if numbers:
        train, dev = ([Example(e.texts, 2.0 + e.answer) for e in split] for split in (train, dev))
    metrics = ("pearson", "spearman") if numbers else ("accuracy",)
    return Labelled("toy", kind, () if numbers else labels, metrics, train, dev, roles=roles)


class Sealed:
    """An answer that nobody may look at: whatever is done with it raises, or tells nothing."""

    def __array__(self, *arguments, **keywords):
        raise AssertionError("a held-out answer was read")

    __bool__ = __eq__ = __array__
    __hash__ = None


def sealed(task: Labelled) -> Labelled:
    """The task with held-out answers that nobody may look at."""
    return dataclasses.replace(task, dev=[Example(e.texts, Sealed(), e.choices) for e in task.dev])


def config_of(architecture: str, **changes) -> RunConfig:
    """A tiny run of an architecture, with an objective that it can be trained with."""
    return tiny_config(**{"model__architecture": architecture, "objective": OBJECTIVE_OF[architecture],
                          "model__position": "rotary", "model__depth": 3, "model__scan": True, **changes})


@functools.cache
def model_of(architecture: str, **changes):
    """(config, model, parameters far from uniform)."""
    config = config_of(architecture, **changes)
    return config, toy_model(config), noisy_parameters(config, 0.05)


def ask(architecture: str, task: Labelled, config: FineTuningConfig = CONFIG, answer=None,
        **changes) -> tuple[Question, object]:
    """(the question, the parameters of the model that it is put to)."""
    run, model, parameters = model_of(architecture, **changes)
    asked = Asked(run.objective, model_for(model, config), TOKENIZER)
    return (answer or Head()).bind(asked, task, config), parameters


def learn(architecture: str, task: Labelled, config: FineTuningConfig = CONFIG, answer=None, seed: int = 0, **changes):
    """(the question, what was there before, what was learnt)."""
    question, parameters = ask(architecture, task, config, answer, **changes)
    return question, parameters, Learner(question, task.train, config).learn(parameters, seed)


class Watched(Learner):
    """Keeps the weights that there are after each step."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.states, step = [], self._step

        def noted(*arguments):
            made = step(*arguments)
            self.states.append(made[0])
            return made

        self._step = noted
