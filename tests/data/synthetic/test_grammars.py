"""Grammars: what is known in closed form agrees with what is drawn, and with every derivation counted by hand."""

import math
import random

import numpy as np
import pytest

from arch_zoo.data.synthetic.grammars import END, Grammar, Rule

# Balanced brackets of two kinds around a letter: [ x ], ( [ y ] ), …
BRACKETS = Grammar({"text": {"(": Rule(0.25, ("text", "round")), "[": Rule(0.15, ("text", "square")), "x": Rule(0.4),
                             "y": Rule(0.2)},
                    "round": {")": Rule(1.0)}, "square": {"]": Rule(1.0)}}, "text")


def test_closed_forms_of_a_grammar_that_can_be_solved_by_hand():
    """A text opens a bracket with probability 0.4, so it has 1 / (1 − 0.4) choices and 0.4 / 0.6 brackets."""
    choice = -sum(p * math.log(p) for p in (0.25, 0.15, 0.4, 0.2))
    assert BRACKETS.entropy() == pytest.approx(choice / 0.6)
    assert BRACKETS.mean_length() == pytest.approx((1 + 2 * 0.4 / 0.6,) * 2)
    assert BRACKETS.uses() == pytest.approx({"text": 1 / 0.6, "round": 0.25 / 0.6, "square": 0.15 / 0.6})
    assert BRACKETS.entropy("round") == 0 and BRACKETS.uses("round")["text"] == 0


def test_what_is_drawn_has_the_entropy_and_the_length_of_the_closed_form():
    draw = random.Random(0)
    texts = [BRACKETS.sample(draw) for _ in range(20_000)]
    nats = np.array([-BRACKETS.log_probabilities(text).sum() for text in texts])
    lengths = np.array([len(text) for text in texts])
    for values, expected in ((nats, BRACKETS.entropy()), (lengths, BRACKETS.mean_length()[0])):
        assert abs(values.mean() - expected) < 4 * values.std() / math.sqrt(len(values))
        assert values.std() / math.sqrt(len(values)) < 0.02 * expected  # else the line above would say little


def test_the_probabilities_of_all_short_texts_are_as_frequent_as_they_say():
    draw = random.Random(1)
    texts = ["".join(BRACKETS.sample(draw)) for _ in range(20_000)]
    for text in ("x", "y", "(x)", "[y]", "([x])"):
        p = math.exp(BRACKETS.log_probabilities(text).sum())
        assert texts.count(text) / len(texts) == pytest.approx(p, abs=4 * math.sqrt(p / len(texts)))


def test_next_words_sum_to_one_until_the_text_is_over():
    words = ["(", "[", "x", "]", ")"]
    for n in range(len(words)):
        following = BRACKETS.next_words(words[:n])
        assert sum(following.values()) == pytest.approx(1)
        assert math.log(following[words[n]]) == pytest.approx(BRACKETS.log_probabilities(words)[n])
    assert BRACKETS.next_words(words) == {} == BRACKETS.next_words([")"])


@pytest.mark.parametrize("text", ["(x]", ")", "xx", "(x))", "z"])
def test_what_is_no_text_has_no_probability(text):
    assert BRACKETS.log_probabilities(text)[-1] == -math.inf


def test_a_word_of_no_letters_ends_a_text():
    coins = Grammar({"more": {END: Rule(0.25), "a": Rule(0.75, ("more",))}}, "more")
    assert coins.mean_length() == pytest.approx((3, 3))
    assert coins.sample(random.Random(0))[-1] == END


def test_a_grammar_without_end_or_sense_is_refused():
    with pytest.raises(ValueError, match=r"no expected length: the spectral radius is 1\.000"):
        Grammar({"a": {"x": Rule(0.5), "y": Rule(0.5, ("a", "a"))}}, "a").uses()
    with pytest.raises(ValueError, match="the rules of a do not sum to 1"):
        Grammar({"a": {"x": Rule(0.5)}}, "a")
    with pytest.raises(ValueError, match="a leads to b, which has no rules"):
        Grammar({"a": {"x": Rule(1.0, ("b",))}}, "a")
