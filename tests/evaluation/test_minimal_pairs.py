"""Minimal pairs: how they are made and read, and what a scorer's opinions of them come to."""

import collections
import json
import pathlib
import re

import numpy as np
import pytest

from arch_zoo.errors import UserError
from arch_zoo.evaluation.minimal_pairs import Pair, make_pairs, preferences, read_pairs
from tests.evaluation.toy_text import documents

BLIMP = pathlib.Path(__file__).parents[3] / "shared" / "data" / "blimp"
TRAINING, HELD_OUT = documents(0, 100), documents(1, 30)


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    return make_pairs(HELD_OUT, TRAINING, 60)


def of_kind(pairs, kind):
    return [pair for pair in pairs if pair.kind == kind]


def differences(pair: Pair) -> list[int]:
    good, bad = pair.good.split(), pair.bad.split()
    assert len(good) == len(bad)
    return [i for i, (a, b) in enumerate(zip(good, bad, strict=True)) if a != b]


def test_as_many_pairs_of_each_kind_as_asked_for(pairs):
    assert {kind: len(of_kind(pairs, kind)) for kind in ("swap", "replace")} == {"swap": 60, "replace": 60}
    assert len(make_pairs(HELD_OUT, TRAINING, 7)) == 14
    assert len(of_kind(make_pairs(HELD_OUT, TRAINING, 10_000), "swap")) <= 4 * 30  # no more than there are sentences


def test_the_good_sentence_stands_in_the_held_out_text_after_its_context(pairs):
    for pair in pairs:
        assert any(f"{pair.context} {pair.good}".strip() in document for document in HELD_OUT)
    assert any(pair.context for pair in pairs) and any(not pair.context for pair in pairs)


def test_a_swap_exchanges_two_neighbouring_words_and_nothing_else(pairs):
    for pair in of_kind(pairs, "swap"):
        assert collections.Counter(pair.good.split()) == collections.Counter(pair.bad.split())
        first, second = differences(pair)
        assert second == first + 1 and first > 0
        assert pair.good.split()[-1] == pair.bad.split()[-1]


def test_a_replacement_is_one_word_of_the_same_frequency_band(pairs):
    counts = collections.Counter(word for text in TRAINING for word in re.findall(r"[a-z]+", text.replace(".", " ")))
    ratios = []
    for pair in of_kind(pairs, "replace"):
        [place] = differences(pair)
        old, new = counts[pair.good.split()[place]], counts[pair.bad.split()[place]]
        assert old.bit_length() == new.bit_length()
        ratios.append(old / new)
    every = counts.most_common()
    assert every[0][1] > 16 * every[-1][1]  # words of any frequency would not do
    assert max(ratios) > 1 > min(ratios)


def test_pairs_are_the_same_on_every_call_and_others_for_other_text(pairs):
    assert make_pairs(iter(HELD_OUT), iter(TRAINING), 60) == pairs
    assert make_pairs(documents(2, 30), TRAINING, 60) != pairs


def test_a_sentence_that_is_there_many_times_counts_once(pairs):
    again = make_pairs([*HELD_OUT, *HELD_OUT[::-1]], TRAINING, 10_000)
    for kind in ("swap", "replace"):
        good = [pair.good for pair in of_kind(again, kind)]
        assert len(set(good)) == len(good) > 60
    assert len(of_kind(pairs, "swap")) == len({pair.good for pair in of_kind(pairs, "swap")})


@pytest.mark.parametrize("text", ["Too short here.", "This one has no end of a sentence at all",
                                  "Call f(x) and g(y) to get the 3 values of it.", ""])
def test_what_is_not_a_sentence_of_ordinary_words_gives_no_pair(text):
    assert make_pairs([text], TRAINING, 10) == []
    assert len(make_pairs([text, "Ban cet dir fos gul has jem kin."], TRAINING, 10)) >= 1


# --- preferences -------------------------------------------------------------------------------------------------

class Words:
    """A tokenizer and an objective in one, whose items are the text itself."""

    vocabulary, prefixes_space = None, False

    def encode(self, text):
        return re.findall(r"\s*\S+", text)

    def plausibility(self, context, continuation, vocabulary):
        return ("".join(context), "".join(continuation))


class Opinion:
    """A scorer that says what a function of (context, continuation) says."""

    def __init__(self, opinion):
        self.opinion, self.asked = opinion, []

    def scores(self, items):
        items = list(items)
        self.asked += items
        return np.array([self.opinion(*item) for item in items], float)


def accuracy(pairs, opinion) -> float:
    return preferences(Opinion(opinion), Words(), Words(), pairs, 5).mean()


def test_who_knows_the_truth_is_right_and_who_knows_it_backwards_is_wrong(pairs):
    good = {pair.good for pair in pairs}
    assert accuracy(pairs, lambda context, text: text.strip() in good) == 1.0
    assert accuracy(pairs, lambda context, text: text.strip() not in good) == 0.0
    assert accuracy(pairs, lambda context, text: 0.0) == 0.5


def test_who_guesses_is_right_half_the_time(pairs):
    rng = np.random.default_rng(0)
    assert abs(np.mean([accuracy(pairs, lambda *_: rng.random()) for _ in range(20)]) - 0.5) < 0.03


def test_context_is_cut_to_its_last_tokens_and_both_sentences_get_the_same(pairs):
    pair = next(pair for pair in pairs if len(pair.context.split()) > 5)
    for tokens in (0, 2, 5):
        opinion = Opinion(lambda *_: 0.0)
        preferences(opinion, Words(), Words(), [pair], tokens)
        context = "".join(Words().encode(pair.context)[len(Words().encode(pair.context)) - tokens:])
        space = " " if tokens else ""
        assert opinion.asked == [(context, space + pair.good), (context, space + pair.bad)]


# --- BLiMP's files -----------------------------------------------------------------------------------------------

def line(n: int, **changes) -> str:
    return json.dumps({"sentence_good": f"good {n}", "sentence_bad": f"bad {n}", "UID": "kind"} | changes)


def test_files_are_read_in_order_each_up_to_the_count(tmp_path):
    (tmp_path / "b.jsonl").write_text("\n".join(line(n, UID="other") for n in range(5)) + "\n")
    (tmp_path / "a.jsonl").write_text('{"sentence_good": "x\u2028y", "sentence_bad": "z"}\n', encoding="utf-8")
    (tmp_path / "notes.txt").write_text("not this one")
    read = read_pairs(str(tmp_path), 3)
    assert read == [Pair("", "x\u2028y", "z", "a"), *(Pair("", f"good {n}", f"bad {n}", "other") for n in range(3))]
    assert read_pairs(str(tmp_path / "b.jsonl"), 100) == [Pair("", f"good {n}", f"bad {n}", "other") for n in range(5)]


@pytest.mark.parametrize(("content", "number"), [
    (f"{line(0)}\n{{", 2), (f"{line(0)}\n{line(1)}\n\n", 3), ('["a", "b"]', 1), ('{"sentence_good": "only"}', 1),
    (line(0, sentence_bad=3), 1), ("\x80", 1)], ids=range(6))
def test_a_line_that_is_no_pair_is_named(tmp_path, content, number):
    file = tmp_path / "some.jsonl"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match=rf"some.jsonl:{number}: not a minimal pair.* sentence_bad") as error:
        read_pairs(str(file), 10)
    assert "\n" not in str(error.value)
    if number > 1:  # what is behind the count is not looked at
        assert len(read_pairs(str(file), number - 1)) == number - 1


def test_nothing_to_read_is_said(tmp_path):
    for path in (tmp_path, tmp_path / "missing.jsonl"):
        with pytest.raises(UserError, match=f"minimal_pairs: {re.escape(str(path))}: no JSON-lines file there"):
            read_pairs(str(path), 10)
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(UserError, match="no minimal pair in .*empty.jsonl"):
        read_pairs(str(tmp_path), 10)


@pytest.mark.skipif(not BLIMP.is_dir(), reason=f"BLiMP is not at {BLIMP.parts[-4:]}")
def test_blimp_is_read():
    files = sorted(BLIMP.glob("*.jsonl"))
    read = read_pairs(str(BLIMP), 4)
    assert len(read) == 4 * len(files) and {pair.kind for pair in read} == {file.stem for file in files}
    assert all(pair.good != pair.bad and not pair.context for pair in read)
    assert read_pairs(str(BLIMP / "causative.jsonl"), 1)[0].good == "Aaron breaks the glass."
