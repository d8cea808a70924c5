"""How text goes on from anywhere: frequencies in drawn text, and the grammar itself where the place is known."""

import collections
import math
import random

import pytest

from arch_zoo.data.synthetic.beginnings import Beginnings
from arch_zoo.data.synthetic.english import English, split, text_of, words_of
from arch_zoo.data.synthetic.grammars import END, Grammar, Rule

# Words with common beginnings and ends, of which several stand in several places; nested, and over at any depth.
SMALL = Grammar({"all": {" in": Rule(0.6, ("one", "all")), END: Rule(0.4)},
                 "one": {" on": Rule(0.3), " inn": Rule(0.3, ("one", "two")), " out": Rule(0.4, ("two",))},
                 "two": {" on": Rule(0.5), " outer": Rule(0.5, ("one",))}}, "all")
SMALL_END = "n out on"  # behind which a text may be over
ENGLISH = English(words=20, sentences=6.0, clauses=0.3)


def log_p(grammar: Grammar, text: str) -> float:
    return Beginnings(grammar).log_probability(split(text))


def test_every_part_of_a_text_is_as_frequent_as_it_says():
    draw, found, total = random.Random(0), collections.Counter(), 0
    for _ in range(20_000):
        text = "".join(SMALL.sample(draw))
        total += len(text)
        found.update(text[i:i + length] for i in range(len(text)) for length in (1, 3, 6, 9) if i + length <= len(text))
    assert len(found) > 60
    for part, count in found.most_common(40) + found.most_common()[-20:]:
        p = math.exp(log_p(SMALL, part))
        assert count / total == pytest.approx(p, abs=5 * math.sqrt(p / total) + 1e-6), part
    assert log_p(SMALL, " inoff") == -math.inf == log_p(SMALL, "x")


def test_no_text_has_every_place_and_letters_share_what_their_beginning_has():
    assert log_p(SMALL, "") == 0
    for text in (" o", "n inn ou", "t o", " in inn ou", SMALL_END):
        letters = [log_p(SMALL, text + letter) for letter in " inoutera"]
        missing = math.exp(log_p(SMALL, text)) - sum(map(math.exp, letters))
        assert missing == pytest.approx(0, abs=1e-12) if text != SMALL_END else missing > 1e-4


def test_behind_a_full_stop_it_is_the_grammar_whatever_was_before():
    grammar = ENGLISH.grammar
    for number in range(20):
        document = ENGLISH.document(number)
        words = words_of(document)[:-1]
        nats = -grammar.log_probabilities(words)
        stop = words.index(".") + 1
        for begin in (0, 5, 11):  # a whole text, and two that begin within words
            prefix = text_of(words[:stop])[min(begin, len(document) // 3):]
            suffix = "".join(words[stop:])
            assert ENGLISH.optimum(prefix, suffix) == pytest.approx(nats[stop:].sum())


def test_a_part_of_a_word_is_all_words_that_begin_so():
    words = words_of(ENGLISH.document(0))
    stop = words.index(".") + 1
    prefix, following = text_of(words[:stop]), ENGLISH.grammar.next_words(words[:stop])
    the = sum(p for word, p in following.items() if word.startswith(" T"))
    assert ENGLISH.optimum(prefix, " T") == pytest.approx(-math.log(the))
    assert ENGLISH.optimum(prefix, " ") == pytest.approx(-math.log(1 - following[END]))
    assert ENGLISH.optimum(prefix + " T", "he") == pytest.approx(-math.log(following[" The"] / the))
    assert ENGLISH.optimum(prefix, " the") == math.inf


def test_a_long_text_is_not_too_improbable_for_a_float():
    words = [word for number in range(40) for word in words_of(ENGLISH.document(number))[:-1]]
    assert len(words) > 1000 and 1000 < ENGLISH.optimum("", text_of(words)) < 1e5
