"""A subject whose probabilities are known, for tests of what tasks make of them."""

import types
from collections.abc import Callable

import numpy as np

from arch_zoo.evaluation.likelihood import Scores
from arch_zoo.tasks.base import Subject
from tests.evaluation.toy_text import ToyTokenizer
from tests.toy import tiny_config


class Known:
    """A scorer by which each token has the log-probability that a function of it says, whatever stands around it.

    It is greedy where that is above −1.
    """

    tokens_per_batch = 64

    def __init__(self, log_p: Callable[[int], float]):
        self.log_p, self.rows = log_p, []

    def scored(self, items, greedy=False) -> Scores:
        nats, all_greedy = [], []
        for item in items:
            self.rows += item
            each = [self.log_p(int(token)) for row in item for token, weight in
                    zip(self._targets(row), row.loss_weights[0], strict=True) if weight]
            nats.append(sum(each))
            all_greedy.append(all(value > -1 for value in each))
        return Scores(np.array(nats, float), np.array(all_greedy))

    def scores(self, items) -> np.ndarray:
        return self.scored(items).nats

    @staticmethod
    def _targets(row):
        return row.targets[0] if hasattr(row, "targets") else row.target[0]


def subject_of(architecture: str, objective: str, log_p: Callable[[int], float] = lambda token: -float(token),
               tokenizer=None, **changes) -> Subject:
    """An untrained run, asked through a `Known` scorer."""
    config = tiny_config(**{"model__architecture": architecture, "objective": objective, "model__position": "rotary",
                            **changes})
    run = types.SimpleNamespace(workdir=None, config=config, tokenizer=tokenizer or ToyTokenizer(), parameters=None,
                                model=types.SimpleNamespace(config=config.model))
    return Subject(run, Known(log_p), "toy")
