"""Small tasks over the toy vocabulary, and models of every architecture to learn them."""

import numpy as np

from arch_zoo.data.labelled.task import Example, Kind, Labelled
from tests.evaluation.toy_text import spell
from tests.toy import ORDINARY, SIZE


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
