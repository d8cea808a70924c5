"""Somebody else's tokenizer in a run: tokens kept with its files, training, and what it cannot serve said in a line."""

import shutil

import numpy as np
import pytest

from arch_zoo.config import DataConfig, RunConfig, TokenizerConfig
from arch_zoo.data.prepare import prepare_data
from arch_zoo.data.tokenizers import open_tokenizer
from arch_zoo.errors import UserError
from arch_zoo.evaluation.bits_per_byte import bits_per_byte
from arch_zoo.evaluation.minimal_pairs import Pair, preferences
from arch_zoo.files import read_json
from arch_zoo.fine_tuning.inputs import text_batch
from arch_zoo.objectives.base import Undefined
from arch_zoo.training.setup import Setup
from tests.foreign_tokenizers import checkpoint
from tests.runs import TRAINING, assert_one_line, many, tiny_flags, write_corpus

pytest.importorskip("tokenizers", reason="the library tokenizers is not installed")
KINDS = ("gpt2", "bert_uncased", "t5")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A directory with a corpus and a tokenizer's directory of each kind."""
    home = tmp_path_factory.mktemp("home")
    write_corpus(home / "corpus.txt")
    for kind in KINDS:
        checkpoint(kind, home / kind)
    return home


@pytest.fixture(scope="module")
def data_of(home):
    """data_of(kind): the corpus in tokens of that kind."""
    def of(kind):
        return prepare_data(DataConfig(corpus=str(home / "corpus.txt"), cache_dir=str(home / "cache"), length=16,
                                       tokenizer=TokenizerConfig(model=str(home / kind))))
    return of


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_are_kept_with_the_files_that_made_them(data_of, kind, tmp_path):
    data = data_of(kind)
    tokenizer, store = data.tokenizer, data.stores["train"]
    documents = [store.tokens[start:end].tolist() for start, end in zip(store.offsets, store.offsets[1:], strict=False)]
    texts = list(data.corpus.documents("train"))
    assert documents == [tokenizer.vocabulary.document(ids) for ids in tokenizer.encode_batch(texts)]
    assert {path.name for path in data.home.iterdir()} == {"train", "validation", "test", *tokenizer.files}
    shutil.copytree(data.home, tmp_path / "moved")
    alone = prepare_data(DataConfig(corpus=f"tokens:{tmp_path}/moved"))
    assert alone.tokenizer.sha256 == tokenizer.sha256 and type(alone.tokenizer) is type(tokenizer)
    assert alone.tokenizer.encode(texts[0]) == tokenizer.encode(texts[0])
    name = next(iter(tokenizer.files))
    (tmp_path / "moved" / name).write_bytes((tmp_path / "moved" / name).read_bytes() + b"\n")
    with pytest.raises(UserError, match=f"{name}.*is not the tokenizer that made these tokens"):
        prepare_data(DataConfig(corpus=f"tokens:{tmp_path}/moved"))


MASKED = {"model__architecture": "encoder_only", "objective": "masked_lm"}
RUNS = {"gpt2": {}, "t5": {"model__architecture": "encoder_decoder", "objective": "span_corruption",
                           "model__vocab_size": 448}}


def test_runs_train_and_evaluate_and_what_a_tokenizer_lacks_stops_them_before_they_begin(home):
    """Short runs, one without a symbol that begins texts; GPT-2's has no mask symbol, BERT's no sentinels."""
    def flags(name, kind, **changes):
        return "experiments.train", tiny_flags(home / "corpus.txt", home / name, data__tokenizer__model=home / kind,
                                               steps=2, **changes)

    refused = {"gpt2": MASKED, "bert_uncased": RUNS["t5"]}
    nothing = {"data__cache_dir": home / "never"}
    commands = [*(flags(f"run_{kind}", kind, **changes) for kind, changes in RUNS.items()),
                *(flags("refused", kind, **changes, **nothing) for kind, changes in refused.items())]
    ended = many(commands, TRAINING)
    for process, kind in zip(ended, RUNS, strict=False):
        assert process["code"] == 0, process["err"]
        result = read_json(home / f"run_{kind}" / "result.json")
        assert result["steps"] == 2 and 3 < result["evaluation_loss"] < 9
    for process, message in zip(ended[len(RUNS):], (
            f"objective=masked_lm cannot be trained with {home}/gpt2: it needs a mask symbol, and the tokenizer has ",
            f"objective=span_corruption cannot be trained with {home}/bert_uncased: 1 spans and the end need 2 "
            f"sentinels, the tokenizer has 0"), strict=True):
        assert_one_line(process, message, code=1)
    assert not (home / "refused").exists() or not list((home / "refused").glob("*.json"))
    assert not (home / "never" / "tokens").exists()


def test_a_run_is_refused_wherever_it_is_set_up(data_of):
    config = RunConfig(data=DataConfig(length=16)).replace(
        objective="masked_lm", model=RunConfig().model.replace(architecture="encoder_only"))
    assert Setup.of(config, data_of("bert_uncased")).model is not None
    with pytest.raises(UserError, match="cannot be trained with .*/gpt2: it needs a mask symbol"):
        Setup.of(config, data_of("gpt2"))


def test_bits_per_byte_is_undefined_where_text_does_not_come_back(data_of):
    class Uniform:
        def scores(self, items):
            return np.full(len(items), -8 * np.log(2))

    windows = [([5, 6], [7, 8])]
    objective = RunConfig().objective
    for kind in ("bert_uncased", "t5"):
        with pytest.raises(Undefined, match="does not give text back exactly"):
            bits_per_byte(Uniform(), objective, data_of(kind).tokenizer, windows)
    tokenizer = data_of("gpt2").tokenizer
    ids = tokenizer.encode("日 a")
    assert bits_per_byte(Uniform(), objective, tokenizer, [(ids[:1], ids)]) == pytest.approx(8 / 5)


def test_a_sentence_goes_on_behind_its_context_with_one_space(home):
    class Kept:
        def plausibility(self, context, continuation, vocabulary):
            return [*context, *continuation]

        def scores(self, items):
            self.items = list(items)
            return np.zeros(len(self.items))

    for kind in KINDS:
        tokenizer, kept = open_tokenizer(home / kind), Kept()
        preferences(kept, kept, tokenizer, [Pair("ama ren", "so ten", "ten so", "swap")], 24)
        assert kept.items[0] == tokenizer.encode("ama ren so ten")


def test_texts_to_classify_have_the_marks_that_there_are(data_of):
    for kind, marks in (("gpt2", 2), ("t5", 1)):
        tokenizer = data_of(kind).tokenizer
        batch = text_batch(["aeon", ""], tokenizer, 8)
        lengths = (np.asarray(batch.stream.segment_ids) != 0).sum(axis=1)
        assert lengths.tolist() == [len(tokenizer.encode("aeon")) + marks, marks]
