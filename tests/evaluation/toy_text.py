"""Text for evaluation: over the toy vocabulary, where the word "w30" is the token 30, and sentences that look real."""

import dataclasses
import json
import pathlib
from collections.abc import Sequence

import numpy as np

from arch_zoo.config import RunConfig
from arch_zoo.data.tokenizers import Vocabulary
from tests.toy import abstract_parameters, drawn, toy_vocabulary

WORDS = ["".join(part) for part in zip("bcdfghjklmnprstvwz" * 3, "aeiou" * 11, "lmnrst" * 9, strict=False)]


class ToyTokenizer:
    """As much of a Tokenizer as evaluation uses."""

    lossless, prefixes_space = True, False

    def __init__(self, vocabulary: Vocabulary | None = None):
        self.vocabulary = vocabulary or toy_vocabulary()

    def encode(self, text: str) -> list[int]:
        return [int(word[1:]) for word in text.split()]

    def decode(self, ids: Sequence[int]) -> str:
        return spell(ids)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [self.encode(text) for text in texts]


def spell(ids: Sequence[int]) -> str:
    """The text that encodes to these ids."""
    return " ".join(f"w{i}" for i in ids)


def lines(path: pathlib.Path, *values: object) -> str:
    """Write JSON-lines; the path, as options have it."""
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return str(path)


def with_byte_lengths(byte_lengths: np.ndarray) -> ToyTokenizer:
    return ToyTokenizer(dataclasses.replace(toy_vocabulary(), byte_lengths=byte_lengths))


def noisy_parameters(config: RunConfig, noise: float = 0.2):
    """Parameters of a model that is far from uniform, as after training, and different in every weight."""
    return drawn(abstract_parameters(config), noise)


def documents(seed: int, count: int) -> list[str]:
    """Paragraphs of four sentences; some words are much more frequent than others."""
    rng = np.random.default_rng(seed)
    odds = 1 / np.arange(1, len(WORDS) + 1)

    def sentence():
        words = rng.choice(WORDS, rng.integers(7, 15), p=odds / odds.sum()).tolist()
        return " ".join([words[0].capitalize(), *words[1:]]) + "."

    return [" ".join(sentence() for _ in range(4)) for _ in range(count)]
