"""Probabilistic grammars of which everything is known: the next word, the probability of a text, its entropy.

Each rule is a word and the nonterminals behind it, and the rules of a nonterminal begin with different words (a simple
deterministic grammar in Greibach's form). So a text has one derivation, and what may come next, with which
probability, are the rules of the nonterminal on top of the stack; no sum over derivations is needed.
"""

import bisect
import dataclasses
import itertools
import math
import random
from collections.abc import Mapping, Sequence

import numpy as np

END = ""  # the word with which a text is over; it has no letters


@dataclasses.dataclass(frozen=True)
class Rule:
    """How probable it is among the rules of its nonterminal, and the nonterminals that follow the word, in order."""

    probability: float
    body: tuple[str, ...] = ()


class Grammar:
    """`rules[nonterminal][word]`; texts begin with `start`."""

    def __init__(self, rules: Mapping[str, Mapping[str, Rule]], start: str):
        """ValueError where probabilities do not sum to 1, or a body has a nonterminal without rules."""
        self.rules, self.start = {name: dict(of) for name, of in rules.items()}, start
        for name, of in self.rules.items():
            if not math.isclose(sum(rule.probability for rule in of.values()), 1, abs_tol=1e-12):
                raise ValueError(f"the rules of {name} do not sum to 1")
            if unknown := {part for rule in of.values() for part in rule.body} - self.rules.keys():
                raise ValueError(f"{name} leads to {sorted(unknown)[0]}, which has no rules")
        self._table = {name: self._columns(of) for name, of in self.rules.items()}

    @staticmethod
    def _columns(of: Mapping[str, Rule]) -> tuple[list[float], list[str], list[tuple[str, ...]]]:
        """(cumulated probabilities, words, bodies from the last nonterminal to the first)."""
        cumulated = list(itertools.accumulate(rule.probability for rule in of.values()))
        return [*cumulated[:-1], 1.0], list(of), [rule.body[::-1] for rule in of.values()]

    # --- texts ---------------------------------------------------------------------------------------------------

    def sample(self, source: random.Random) -> list[str]:
        """The words of a text, END too where a rule gave it."""
        stack, words = [self.start], []
        while stack:
            cumulated, of, bodies = self._table[stack.pop()]
            number = bisect.bisect_right(cumulated, source.random())
            words.append(of[number])
            stack.extend(bodies[number])
        return words

    def next_words(self, words: Sequence[str]) -> dict[str, float]:
        """The probability of each word that may follow `words`; none behind a whole text or an ungrammatical one."""
        stack = [self.start]
        for word in words:
            rule = self.rules[stack.pop()].get(word) if stack else None
            if rule is None:
                return {}
            stack.extend(rule.body[::-1])
        return {word: rule.probability for word, rule in self.rules[stack[-1]].items()} if stack else {}

    def log_probabilities(self, words: Sequence[str]) -> np.ndarray:
        """Nats [words]: log p of each word given those before it; −∞ from the first one on that cannot stand there."""
        stack, nats = [self.start], np.full(len(words), -math.inf)
        for number, word in enumerate(words):
            rule = self.rules[stack.pop()].get(word) if stack else None
            if rule is None:
                break
            nats[number] = math.log(rule.probability)
            stack.extend(rule.body[::-1])
        return nats

    # --- closed forms --------------------------------------------------------------------------------------------

    def uses(self, root: str | None = None) -> dict[str, float]:
        """How often each nonterminal is expected to be expanded in what `root` gives; of a whole text without it.

        ValueError where that has no end: the expected counts m solve m = e + Mᵀ m, and M, the mean number of each
        nonterminal in the rules of another, must have a spectral radius below 1.
        """
        number = {name: i for i, name in enumerate(self.rules)}
        mean = np.zeros((len(number), len(number)))
        for name, of in self.rules.items():
            for rule in of.values():
                for part in rule.body:
                    mean[number[name], number[part]] += rule.probability
        if (radius := np.abs(np.linalg.eigvals(mean)).max()) >= 1:
            raise ValueError(f"texts have no expected length: the spectral radius is {radius:.3f}")
        begin = np.zeros(len(number))
        begin[number[root or self.start]] = 1
        return dict(zip(number, np.linalg.solve(np.eye(len(number)) - mean.T, begin).tolist(), strict=True))

    def entropy(self, root: str | None = None) -> float:
        """Nats of what `root` gives: the entropies of the choices, as often as they are expected to be made."""
        return sum(count * -sum(rule.probability * math.log(rule.probability) for rule in self.rules[name].values())
                   for name, count in self.uses(root).items())

    def mean_length(self, root: str | None = None) -> tuple[float, float]:
        """The expected (words, bytes) of what `root` gives; END is no word."""
        words = size = 0.0
        for name, count in self.uses(root).items():
            for word, rule in self.rules[name].items():
                words += count * rule.probability * (word != END)
                size += count * rule.probability * len(word.encode())
        return words, size
