"""Made-up pairs: the rule holds for each, no pair is in two splits, and a run is asked its own."""

import pytest

from arch_zoo.config import DataConfig
from arch_zoo.data.corpora import open_corpus
from arch_zoo.data.prepare import prepare_data
from arch_zoo.data.python_docs import SPLITS
from arch_zoo.errors import UserError
from arch_zoo.evaluation.bits_per_byte import optimum_bits_per_byte, suffix_windows
from arch_zoo.registry import SYNTHETIC_PAIRS
from arch_zoo.tasks.base import Subject
from arch_zoo.tasks.translation import ExactMatch
from arch_zoo.training.trained import open_run
from tests import runs

NAMES = ("copy", "recall", "reverse")


def pairs_of(name: str) -> dict[str, list[tuple[str, str]]]:
    corpus = open_corpus(DataConfig(corpus=f"parallel:synthetic:{name}"))
    return {split: list(corpus.pairs(split)) for split in SPLITS}


def recalled(source: str) -> str:
    *shown, key = source.split()
    return dict(zip(shown[::2], shown[1::2], strict=True))[key]


RULES = {"copy": lambda source: source, "reverse": lambda source: " ".join(source.split()[::-1]), "recall": recalled}


def test_all_of_them_are_tested():
    assert tuple(SYNTHETIC_PAIRS.names()) == NAMES == tuple(sorted(RULES))


@pytest.mark.parametrize("name", NAMES)
def test_the_rule_holds_in_every_split_and_no_pair_is_in_two(name):
    parts = pairs_of(f"{name}:pairs=3000")
    assert sum(map(len, parts.values())) == 3000 and all(len(parts[split]) > 50 for split in SPLITS)
    assert all(target == RULES[name](source) for part in parts.values() for source, target in part)
    assert not any(set(parts[a]) & set(parts[b]) for a, b in (("train", "test"), ("train", "validation"),
                                                              ("validation", "test")))


@pytest.mark.parametrize("name", ("copy", "reverse"))
def test_lengths_and_words_are_those_that_are_asked_for(name):
    sources = [source.split() for part in pairs_of(f"{name}:pairs=2000:shortest=3:longest=6:words=9").values()
               for source, _ in part]
    assert {*map(len, sources)} == {3, 4, 5, 6}
    assert len({word for source in sources for word in source}) == 9


def test_a_source_of_recall_has_different_keys_and_any_of_them_is_asked_for():
    sources = [source.split() for part in pairs_of("recall:pairs=2000:shortest=2:longest=5:words=10").values()
               for source, _ in part]
    assert {(len(source) - 1) // 2 for source in sources} == {2, 3, 4, 5}
    keys = {key for source in sources for key in source[:-1:2]}
    assert len(keys) == 5 and not keys & {value for source in sources for value in source[1::2]}
    assert all(len({*source[:-1:2]}) == len(source) // 2 for source in sources)
    assert {source[:-1:2].index(source[-1]) for source in sources} == {0, 1, 2, 3, 4}


def test_every_option_makes_another_corpus():
    names = ["copy", "reverse", "copy:seed=1", "copy:pairs=200", "copy:shortest=2", "copy:longest=9", "copy:words=8"]
    corpora = [open_corpus(DataConfig(corpus=f"parallel:synthetic:{name}")) for name in names]
    assert len({corpus.fingerprint for corpus in corpora}) == len(names)
    assert len({tuple(corpus.pairs("train")) for corpus in corpora}) == len(names)


def test_pairs_that_cannot_fill_three_splits_are_refused():
    with pytest.raises(UserError, match="no document falls into the .* split; make more pairs, or longer ones"):
        pairs_of("copy:words=1:longest=1")


def test_a_target_can_be_known_for_certain(tmp_path):
    config = DataConfig(corpus="parallel:synthetic:reverse:pairs=400", cache_dir=str(tmp_path))
    data = prepare_data(config.replace(tokenizer=config.tokenizer.replace(vocab_size=330, sentinels=8)))
    windows = suffix_windows(data.stores["test"], 64, 10)
    assert optimum_bits_per_byte(data.corpus, data.tokenizer, windows) == 0
    (source, _), (_, target) = windows[:2]
    assert optimum_bits_per_byte(data.corpus, data.tokenizer, [(source, target)]) == float("inf")


def test_a_run_is_asked_its_own_test_pairs(tmp_path):
    name = "copy:pairs=300:longest=3:words=16"
    runs.trained(f"parallel:synthetic:{name}", tmp_path / "run", objective="translation", steps=4,
                 model__architecture="encoder_decoder", data__tokenizer__vocab_size=320, data__tokenizer__sentinels=8)
    outcome = ExactMatch(max_tokens=8).run(Subject.of(open_run(tmp_path / "run")))
    assert [(one["doc"]["source"], one["target"]) for one in outcome.samples] == pairs_of(name)["test"]
    right = [one["resps"][0] == one["target"] for one in outcome.samples]
    assert outcome.values["exact_match"].value == sum(right) / len(right)
