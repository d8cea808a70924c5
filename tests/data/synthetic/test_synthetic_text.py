"""The built-in language: grammatical, of the entropy that it says, and not to be had from the last word alone."""

import collections
import itertools
import math
import re

import numpy as np
import pytest

from arch_zoo.config import DataConfig
from arch_zoo.data.corpora import open_corpus
from arch_zoo.data.prepare import prepare_data
from arch_zoo.data.python_docs import SPLITS
from arch_zoo.data.synthetic.english import English, split, words_of
from arch_zoo.errors import UserError
from arch_zoo.evaluation.bits_per_byte import optimum_bits_per_byte, suffix_windows
from arch_zoo.objectives.base import Undefined
from arch_zoo.registry import SYNTHETIC_PAIRS, SYNTHETIC_TEXT
from arch_zoo.settings import override, to_dict

LANGUAGE = English()


def refusal(corpus: str) -> str:
    with pytest.raises(UserError) as raised:
        open_corpus(DataConfig(corpus=corpus))
    assert "\n" not in str(raised.value)
    return str(raised.value)


# --- the language ------------------------------------------------------------------------------------------------

def test_drawn_documents_have_the_entropy_of_the_closed_form():
    documents = [LANGUAGE.document(number) for number in range(400)]
    nats, words, size = LANGUAGE.per_sentence()
    found = np.array([(-LANGUAGE.grammar.log_probabilities(words_of(text)).sum(), len(words_of(text)) - 1,
                       len(text) + 1) for text in documents])
    sentences = np.array([text.count(".") for text in documents])
    assert sentences.mean() == pytest.approx(LANGUAGE.sentences, rel=0.15)
    assert found.sum(axis=0) / sentences.sum() == pytest.approx([nats, words, size], rel=0.015)
    assert nats / math.log(2) == pytest.approx(39.24, abs=0.01)  # what docs/synthetic.md says
    assert nats / math.log(2) / size == pytest.approx(1.1078, abs=1e-4)


def test_next_words_always_sum_to_one_and_a_text_is_whole_only_behind_a_full_stop():
    words = words_of(LANGUAGE.document(1))
    for n in range(0, len(words), 7):
        following = LANGUAGE.grammar.next_words(words[:n])
        assert sum(following.values()) == pytest.approx(1) and words[n] in following
        assert ("" in following) == (n > 0 and words[n - 1] == ".")


def verb_forms() -> dict[str, dict[str, str]]:
    """{number: {verb without its ending: verb}} of those that take no object."""
    rules = LANGUAGE.grammar.rules
    return {number: {word.removesuffix("s"): word for word, rule in rules[f"plain_{number}"].items()
                     if not rule.body} for number in ("one", "many")}


def test_verbs_agree_with_their_subjects_across_clauses():
    rules, forms = LANGUAGE.grammar.rules, verb_forms()
    one, many = (next(iter(rules[f"subject_{number}"])) for number in ("one", "many"))
    noun = next(word for word, rule in rules["subject_one"].items() if rule.body == ("behind_one",))
    verb = next(iter(forms["one"]))
    taker = next(word for word, rule in rules["inner_verb_many"].items())
    assert one == many  # adjectives have no number
    for depth in range(5):  # " that many NOUNs" again and again, and the verbs of these, from the inside
        inside = [" that", " many", f"{noun}s"] * depth + [taker] * depth
        head = [" A", noun, *inside]
        assert math.isfinite(LANGUAGE.grammar.log_probabilities([*head, forms["one"][verb], ".", ""]).sum())
        assert LANGUAGE.grammar.log_probabilities([*head, forms["many"][verb], ".", ""]).sum() == -math.inf


def test_brackets_close_as_they_were_opened():
    rules = LANGUAGE.grammar.rules
    noun = next(word for word, rule in rules["subject_one"].items() if rule.body == ("behind_one",))
    verb = next(iter(verb_forms()["one"].values()))
    opened = [" A", noun, " (", " a", noun, " [", " a", noun, verb]
    assert LANGUAGE.grammar.next_words(opened) == {"]": 1}
    assert LANGUAGE.grammar.next_words([*opened, "]", verb]) == {")": 1}


def test_texts_have_an_expected_length_at_the_ends_of_all_ranges():
    for words, clauses, sentences in itertools.product((20, 4000), (0.01, 0.4), (1.0, 100.0)):
        nats, length, _ = English(words=words, clauses=clauses, sentences=sentences).per_sentence()
        assert 0 < nats < 100 and 4 < length < 30


def test_two_words_are_not_enough():
    """A model of pairs of words, smoothed and trained on far more text than it needs, is far from the optimum."""
    language = English(words=60)  # few enough that every common pair is seen
    documents = [[".", *words_of(language.document(number))] for number in range(1200)]
    pairs = collections.Counter(pair for words in documents[100:] for pair in itertools.pairwise(words))
    before = collections.Counter(word for words in documents[100:] for word in words[:-1])
    kinds = len({word for words in documents for word in words})
    held_out = [pair for words in documents[:100] for pair in itertools.pairwise(words)]
    bigram = -np.mean([math.log2((pairs[pair] + 0.05) / (before[pair[0]] + 0.05 * kinds)) for pair in held_out])
    nats = -sum(language.grammar.log_probabilities(words[1:]).sum() for words in documents[:100])
    assert bigram > nats / math.log(2) / len(held_out) + 0.5  # bits a word


# --- the corpus --------------------------------------------------------------------------------------------------

def test_documents_are_a_function_of_the_name_and_every_option_bites():
    base = "synthetic:grammar:documents=100"
    corpus = open_corpus(DataConfig(corpus=base))
    parts = {split: list(corpus.documents(split)) for split in SPLITS}
    assert sum(map(len, parts.values())) == 100 and all(parts.values())
    again = open_corpus(DataConfig(corpus=base))
    assert again.fingerprint == corpus.fingerprint and list(again.documents("train")) == parts["train"]
    for option in ("documents=101", "seed=1", "sentences=5", "words=30", "clauses=0.1"):
        name = base.replace("documents=100", option) if "documents" in option else f"{base}:{option}"
        other = open_corpus(DataConfig(corpus=name))
        assert other.fingerprint != corpus.fingerprint and list(other.documents("train")) != parts["train"]


def test_a_change_of_the_texts_counts_up_the_version():
    """Tokens are cached under the options and the version: the same ones must make the same text for ever."""
    assert LANGUAGE.version == 1
    assert LANGUAGE.document(3).startswith("A pizo is lolu. A mimi mazus many volas. The ziris dofa. The balas that a")


@pytest.mark.parametrize(("corpus", "message"), [
    ("synthetic:gramar", "unknown synthetic text 'gramar'. Did you mean 'grammar'?"),
    ("synthetic:", "unknown synthetic text ''"),
    ("synthetic:grammar:document=3", "document: there is no field 'document' here. Did you mean 'documents'?"),
    ("synthetic:grammar:documents=many", "documents: expected int, got 'many'"),
    ("synthetic:grammar:documents=3", "documents: 3 is out of range: at least 100"),
    ("synthetic:grammar:seeds", "'seeds' is no option; options are NAME=VALUE. Did you mean 'seed' or"),
    ("synthetic:grammar:seed=1:seed=2", "seed is given twice"),
    ("synthetic:copy", "copy makes pairs; use parallel:synthetic:copy"),
    ("parallel:synthetic:grammar", "grammar makes running text; use synthetic:grammar"),
    ("parallel:synthetic:revers", "unknown synthetic pairs 'revers'. Did you mean 'reverse'?"),
    ("parallel:synthetic:copy:shortest=9:longest=4", "shortest: 9 is more than longest=4"),
    ("parallel:synthetic:recall:longest=9:words=16", "longest: 9 keys that all differ need words=18 at least"),
])
def test_wrong_names_and_options_end_in_one_line(corpus, message):
    assert refusal(corpus).startswith(f"data.corpus={corpus}: {message}")


def test_a_misspelt_name_is_told_from_a_path():
    assert "Did you mean 'synthetic:grammar'" in refusal("synthetc:grammar")


def test_every_option_of_every_source_is_in_its_fingerprint():
    for registry in (SYNTHETIC_TEXT, SYNTHETIC_PAIRS):
        for cls in registry.entries():
            assert {"name", "seed"} < to_dict(cls()).keys()
            assert override(cls(), {"seed": "4"}).seed == 4


# --- the optimum of a metric -------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    config = DataConfig(corpus="synthetic:grammar:documents=600", cache_dir=str(tmp_path_factory.mktemp("cache")))
    return prepare_data(config.replace(tokenizer=config.tokenizer.replace(vocab_size=600)))


def test_the_optimum_of_held_out_windows_is_the_entropy_but_for_chance(prepared):
    windows = suffix_windows(prepared.stores["test"], 64, 400)
    nats, _, size = LANGUAGE.per_sentence()
    found = optimum_bits_per_byte(prepared.corpus, prepared.tokenizer, windows)
    assert len(windows) > 50 and found == pytest.approx(nats / math.log(2) / size, rel=0.05)
    cut = [prepared.tokenizer.decode(prefix)[-1:] + prepared.tokenizer.decode(suffix)[:1] for prefix, suffix in windows]
    assert any(re.fullmatch("[a-z]{2}", ends) for ends in cut)  # some windows part words


def test_the_optimum_of_a_window_is_the_same_whatever_cuts_it(prepared):
    """The nats of a text do not depend on where tokens end: those of its parts add up."""
    document = next(iter(prepared.corpus.documents("test")))
    whole = prepared.corpus.optimum("", document)
    for cut in (1, 17, 50):
        parts = prepared.corpus.optimum("", document[:cut]) + prepared.corpus.optimum(document[:cut], document[cut:])
        assert parts == pytest.approx(whole)
    assert "".join(split(document)) == document


def test_other_corpora_have_no_known_optimum(prepared):
    for corpus in (None, open_corpus(DataConfig())):
        with pytest.raises(Undefined, match="only of synthetic corpora"):
            optimum_bits_per_byte(corpus, prepared.tokenizer, [([30], [31])])
