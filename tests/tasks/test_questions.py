"""Questions: how texts are parted, cut to fit, and by which route they are scored."""

import numpy as np
import pytest

from arch_zoo.errors import UserError
from arch_zoo.evaluation import progress
from arch_zoo.evaluation.progress import watched
from arch_zoo.objectives import Undefined
from arch_zoo.tasks.questions import Question, Score, ask, cuts, encoded, route_of
from tests.evaluation.toy_text import ToyTokenizer, spell
from tests.tasks.asking import subject_of
from tests.toy import toy_vocabulary

VOCABULARY = toy_vocabulary()


class Letters:
    """A tokenizer that joins "ab" and "th", so that texts join where they meet."""

    def encode_batch(self, texts):
        return [[ord(c) for c in text.replace("ab", "\x01").replace("th", "\x02")] for text in texts]


def test_context_and_alternative_are_encoded_as_one_text():
    parted = list(encoded(Letters(), [Question("xa", ("c", "b", "bc"), ""), Question("", ("ab",), ""),
                                      Question("x y", (" th",), "")]))
    assert parted[0] == ([ord("x")], [[ord("a"), ord("c")], [1], [1, ord("c")]])  # all from where one of them leaves it
    assert parted[1] == ([], [[1]])
    assert parted[2] == ([ord(c) for c in "x y"], [[ord(" "), 2]])


def test_white_space_before_an_alternative_belongs_to_it():
    (context, [ids]), = encoded(Letters(), [Question("xy  ", ("z",), "")])
    assert (context, ids) == ([ord("x"), ord("y")], [ord(" "), ord(" "), ord("z")])


def test_an_alternative_has_at_least_one_token():
    (context, [ids]), = encoded(Letters(), [Question("xy", ("",), "")])
    assert (context, ids) == ([ord("x")], [ord("y")])
    with pytest.raises(UserError, match="f:3: a text without any token"):
        list(encoded(Letters(), [Question("", ("", "a"), "f:3")]))


def test_scores_are_in_nats_and_in_bits_of_the_text_itself():
    score = Score(nats=-8 * np.log(2), greedy=None, tokens=3, bytes=4, words=2)
    assert score.bits_per_byte == pytest.approx(2) and score.bits_per_word == pytest.approx(4)
    answer, = ask(subject_of("decoder_only", "causal_lm"), [Question("w30", (" w31 w33", " w40"), "")], "auto")
    assert answer.nats == [-64, -40]
    assert [(s.tokens, s.bytes, s.words) for s in answer.scores] == [(2, 8, 2), (1, 4, 1)]


@pytest.mark.parametrize(("architecture", "objective", "asked", "expected"), [
    ("decoder_only", "causal_lm", "auto", "left to right"), ("encoder_only", "masked_lm", "auto", "one token masked"),
    ("encoder_decoder", "span_corruption", "auto", "left to right"),
    ("encoder_decoder", "span_corruption", "trained", "one word infilled"),
    ("encoder_only", "masked_lm", "within_words", "later ones of its word"),
    ("decoder_only", "causal_lm", "within_words", "left to right")])
def test_routes_are_chosen_by_what_there_is(architecture, objective, asked, expected):
    subject = subject_of(architecture, objective)
    assert expected in route_of(subject.objective, VOCABULARY, asked).words


@pytest.mark.parametrize(("objective", "asked"), [("masked_lm", "left_to_right"), ("deshuffling", "auto")])
def test_a_route_that_is_not_there_is_undefined(objective, asked):
    architecture = {"masked_lm": "encoder_only"}.get(objective, "encoder_decoder")
    with pytest.raises(Undefined):
        ask(subject_of(architecture, objective), [Question("w30", ("w31",), "")], asked)


# --- what is too long --------------------------------------------------------------------------------------------

LEARNED = {"model__position": "learned", "data__length": 8}


def shown(subject):
    return [row.tokens[0].tolist() for row in subject.scorer.rows]


def test_a_long_context_loses_its_beginning_for_all_alternatives_alike():
    subject = subject_of("decoder_only", "causal_lm", **LEARNED, model__max_len=8)
    question = Question(spell(range(30, 39)), (" w50", " w51 w52 w53"), "f:1")
    answer, = ask(subject, [question], "auto")
    assert answer.cut == 4 and cuts([answer, answer]) == {"truncated": 2, "truncated_tokens": 8}
    assert shown(subject) == [[2, 34, 35, 36, 37, 38], [2, 34, 35, 36, 37, 38, 51, 52]]
    assert answer.nats == [-50, -156]
    enough = subject_of("decoder_only", "causal_lm", **LEARNED, model__max_len=12)
    assert ask(enough, [question], "auto")[0].cut == 0


def test_then_what_alternatives_begin_with_is_cut():
    subject = subject_of("encoder_only", "masked_lm", **LEARNED, model__max_len=8)
    texts = tuple(" " + spell([*range(30, 36), n, 51]) for n in (50, 52))
    answer, = ask(subject, [Question("w40 w41", texts, "f:1")], "auto")
    assert answer.cut == 4  # two of the context, two of the texts, for eight with BOS and EOS
    assert shown(subject)[0] == [2, 4, 33, 34, 35, 50, 51, 3]


def test_what_does_not_fit_at_all_is_named():
    subject = subject_of("decoder_only", "causal_lm", **LEARNED, model__max_len=8)
    with pytest.raises(Undefined, match="f:7: does not fit: its tokens are 1 more than the 8"):
        ask(subject, [Question("w30", (" " + spell(range(30, 39)),), "f:7")], "auto")


def test_an_encoder_decoder_cuts_its_source_only():
    subject = subject_of("encoder_decoder", "prefix_lm", **LEARNED, model__max_len=8)
    answer, = ask(subject, [Question(spell(range(30, 42)), (" w50 w51",), "f:1")], "auto")
    assert answer.cut == 5
    assert [row.source[0].tolist() for row in subject.scorer.rows] == [[2, *range(35, 42)]]


# --- progress ----------------------------------------------------------------------------------------------------

def test_long_scorings_say_how_far_they_are(monkeypatch, caplog):
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(progress.logging, "info", lambda text, *values: caplog.records.append(text % values))
    assert list(watched(range(4), "blimp", 4, "questions")) == [0, 1, 2, 3]
    assert caplog.records[0] == "blimp 1/4 questions  0.1 a second  left 1:00"


def test_a_toy_tokenizer_spells_back():
    assert ToyTokenizer().encode(ToyTokenizer().decode([30, 31])) == [30, 31]
