"""Exact probabilities of how texts of a grammar go on from a place that is not known, a part of a word included."""

import collections
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from arch_zoo.data.synthetic.grammars import Grammar

# What is read, and what is not known: the nonterminals still to come, first one first, and the nonterminal that is over
# with them, whose parent was never seen.
_State = tuple[tuple[str, ...], str]


class Beginnings:
    """How text reads from a random byte on: each byte of all texts is as likely a place as any other.

    Where the place is, is a mixture: a rule that has just given its word, and above it parents that are not known. A
    word kills what does not fit; where the known nonterminals are over, the parent is drawn from those that such a
    nonterminal has, in expected numbers. What is behind a word that only ends sentences is then known for certain.
    """

    def __init__(self, grammar: Grammar):
        self._rules, self._uses = grammar.rules, grammar.uses()
        self._behind = _behind(grammar, self._uses)
        self._bytes = grammar.mean_length()[1]

    def log_probability(self, words: Sequence[str]) -> float:
        """Nats: log p that text goes on from a random byte with words[0], perhaps the end of a word, the words after
        it, and at last words[-1], perhaps the beginning of a word. −∞ where none does; 0 without words."""
        if not words:
            return 0.0
        if len(words) == 1:
            total = sum(count * rule.probability * sum(word.startswith(words[0], i) for i in range(len(word)))
                        for name, count in self._uses.items() for word, rule in self._rules[name].items())
            return _log(total / self._bytes)
        states: dict[_State, float] = collections.defaultdict(float)
        for name, count in self._uses.items():
            for word, rule in self._rules[name].items():
                if word.endswith(words[0]):
                    states[rule.body, name] += count * rule.probability
        nats = -math.log(self._bytes)
        for word in words[1:-1]:
            states = self._read(states, word)
            total = sum(states.values())
            nats += _log(total)  # and the rest begins from 1, since the product of all would be too small for a float
            states = {state: weight / total for state, weight in states.items()}
        return nats + _log(sum(weight * rule.probability for (stack, _), weight in self._opened(states)
                               for word, rule in self._rules[stack[0]].items() if word.startswith(words[-1])))

    def _read(self, states: Mapping[_State, float], word: str) -> dict[_State, float]:
        found: dict[_State, float] = collections.defaultdict(float)
        for (stack, above), weight in self._opened(states):
            if rule := self._rules[stack[0]].get(word):
                found[rule.body + stack[1:], above] += weight * rule.probability
        return found

    def _opened(self, states: Mapping[_State, float]) -> Iterator[tuple[_State, float]]:
        """The states with something on the stack: where nothing is, what may stand behind the nonterminal."""
        for (stack, above), weight in states.items():
            if stack:
                yield (stack, above), weight
            else:
                yield from ((state, weight * share) for state, share in self._behind[above].items())


def _behind(grammar: Grammar, uses: Mapping[str, float]) -> dict[str, dict[_State, float]]:
    """{nonterminal: what may follow it, with probabilities}, whatever number of parents end with it.

    A nonterminal is the i-th in a rule of a parent with the probability (uses of the parent · p of the rule) / uses of
    the nonterminal. Where it is the last one, what follows is what follows the parent, and so on: a geometric sum.
    """
    names = {name: i for i, name in enumerate(grammar.rules)}
    last, at_once = np.zeros((len(names), len(names))), [collections.Counter() for _ in names]
    for parent, of in grammar.rules.items():
        for rule in of.values():
            for part, rest in ((rule.body[i], rule.body[i + 1:]) for i in range(len(rule.body))):
                share = uses[parent] * rule.probability / uses[part]
                if rest:
                    at_once[names[part]][rest, parent] += share
                else:
                    last[names[part], names[parent]] += share
    chain = np.linalg.inv(np.eye(len(names)) - last)
    found = {}
    for name, i in names.items():
        found[name] = collections.Counter()
        for j in np.flatnonzero(chain[i]):
            for state, share in at_once[j].items():
                found[name][state] += chain[i, j] * share
    return found


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf
