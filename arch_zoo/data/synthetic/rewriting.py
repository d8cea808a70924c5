"""Pairs whose target follows from the source by a rule: tasks that a model either solves or does not."""

import dataclasses
import functools
import random

from arch_zoo.data.synthetic.sources import PairSource
from arch_zoo.data.synthetic.words import MOST, made_up_words
from arch_zoo.registry import SYNTHETIC_PAIRS
from arch_zoo.settings import FieldError, setting


@dataclasses.dataclass(frozen=True)
class _Words(PairSource):
    """Sources of words, all equally likely, in numbers that are."""

    shortest: int = setting(1, "words of a source at least", low=1)
    longest: int = setting(12, "words of a source at most", low=1)
    words: int = setting(32, "different words", low=1, high=MOST)

    def check(self) -> None:
        if self.shortest > self.longest:
            raise FieldError("shortest", f"{self.shortest} is more than longest={self.longest}")

    @functools.cached_property
    def _words(self) -> list[str]:
        return made_up_words(self.words)

    def _draw(self, number: int) -> tuple[random.Random, int]:
        """(what draws the pair of this number, how long it is)."""
        draw = random.Random(f"{self.name} {self.seed} {number}")
        return draw, draw.randint(self.shortest, self.longest)

    def source(self, number: int) -> str:
        draw, length = self._draw(number)
        return " ".join(draw.choices(self._words, k=length))


@SYNTHETIC_PAIRS.register("copy")
@dataclasses.dataclass(frozen=True)
class Copy(_Words):
    """The source again."""

    def target(self, source: str) -> str:
        return source


@SYNTHETIC_PAIRS.register("reverse")
@dataclasses.dataclass(frozen=True)
class Reverse(_Words):
    """The source's words from the last to the first."""

    def target(self, source: str) -> str:
        return " ".join(reversed(source.split()))


@SYNTHETIC_PAIRS.register("recall")
@dataclasses.dataclass(frozen=True)
class Recall(_Words):
    """Associative recall: keys, each followed by its value, then one of the keys again; the target is its value.

    The first half of the words are keys, the others values. No key stands twice, values may.
    """

    shortest: int = setting(1, "keys of a source at least", low=1)
    longest: int = setting(8, "keys of a source at most", low=1)
    words: int = setting(32, "different words, half of them keys, half values", low=2, high=MOST)

    def check(self) -> None:
        super().check()
        if self.longest > self.words // 2:
            raise FieldError("longest", f"{self.longest} keys that all differ need words={2 * self.longest} at least, "
                                        f"half of which are keys; got words={self.words}")

    def source(self, number: int) -> str:
        draw, length = self._draw(number)
        half = self.words // 2
        keys, values = draw.sample(self._words[:half], length), draw.choices(self._words[half:], k=length)
        shown = " ".join(f"{key} {value}" for key, value in zip(keys, values, strict=True))
        return f"{shown} {draw.choice(keys)}"

    def target(self, source: str) -> str:
        words = source.split()
        return words[words.index(words[-1]) + 1]
