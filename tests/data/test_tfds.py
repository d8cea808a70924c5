"""TensorFlow Datasets: our own dataset there and back, and one line about what cannot be used."""

import numpy as np
import pytest

from arch_zoo.config import DataConfig
from arch_zoo.data.corpora import open_corpus
from arch_zoo.data.python_docs import SPLITS, PythonDocs
from arch_zoo.data.tfds_text import prepare_tfds, tfds_builder
from arch_zoo.errors import UserError

tfds = pytest.importorskip("tensorflow_datasets", reason="TensorFlow Datasets is not installed")


class ArchZooTestNotes(tfds.core.GeneratorBasedBuilder):
    """A made-up dataset with a feature that is no text and no test split."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {"text": tfds.features.Text(), "number": tfds.features.Scalar(np.int64)}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features),
                                     disable_shuffling=True)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples("note", 200), "valid": self._generate_examples("held out", 3)}

    def _generate_examples(self, text, count):
        for number in range(count):
            yield number, {"text": f"{text} {number} 🙂", "number": number}


NOTES, DOCS = "tfds:arch_zoo_test_notes", "tfds:arch_zoo_python_docs"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The folder of datasets, with NOTES and DOCS in it; tfds takes its default from TFDS_DATA_DIR when imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path_factory.mktemp("datasets")))
        yield [prepare_tfds(name) for name in (NOTES, DOCS)]


@pytest.fixture
def nothing_prepared(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path))


def refusal(corpus: str, **fields) -> str:
    with pytest.raises(UserError) as raised:
        list(open_corpus(DataConfig(corpus=corpus, **fields)).documents("train"))
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_our_own_dataset_has_the_documents_of_the_corpus(prepared):
    there, here = open_corpus(DataConfig(corpus=DOCS)), PythonDocs()
    for split in SPLITS:
        documents = list(there.documents(split))
        assert documents == list(here.documents(split)) and documents


def test_splits_have_our_names_and_missing_ones_are_carved_out_of_train(prepared):
    corpus = open_corpus(DataConfig(corpus=NOTES))
    train, validation, test = (list(corpus.documents(split)) for split in SPLITS)
    assert validation == [f"held out {n} 🙂" for n in range(3)]
    assert 0 < len(test) < 25 and sorted(train + test) == sorted(f"note {n} 🙂" for n in range(200))


def test_the_fingerprint_is_of_the_dataset_and_the_feature(prepared):
    notes, docs = (open_corpus(DataConfig(corpus=name)).fingerprint for name in (NOTES, DOCS))
    assert notes == open_corpus(DataConfig(corpus=f"{NOTES}:1.0.0")).fingerprint
    assert len({notes, docs, open_corpus(DataConfig(corpus=NOTES, text_field="number")).fingerprint}) == 3


def test_features_that_are_absent_or_no_text_are_named(prepared):
    assert refusal(NOTES, text_field="tex").startswith(f"{NOTES}: has no feature 'tex'. Did you mean 'text'?")
    assert refusal(NOTES, text_field="number") == f"{NOTES}: feature 'number' of train record 0 is no text"


@pytest.mark.usefixtures("nothing_prepared")
@pytest.mark.parametrize(("corpus", "message"), [
    (DOCS, "prepare it with python -m experiments.prepare --corpus=tfds:arch_zoo_python_docs, or set TFDS_DATA_DIR"),
    ("tfds:lm1b", "lm1b/1.1.0; prepare it with python -m experiments.prepare --corpus=tfds:lm1b"),
    ("tfds:lm1", "TensorFlow Datasets has no such dataset. Did you mean 'tfds:lm1b'"),
    ("tfds:wiki40b/eng", "there is no such config. Did you mean 'en'"),
    (f"{DOCS}:9.9.9", "only: 1.0.0"),
    ("tfds:", "tfds:"),
    ("tfds:two words", "tfds:two words"),
])
def test_datasets_that_do_not_exist_or_are_not_prepared_are_named(corpus, message):
    assert message in refusal(corpus)


@pytest.mark.usefixtures("nothing_prepared")
def test_a_dataset_in_a_format_that_needs_tensorflow_is_refused():
    tfds.builder(NOTES.removeprefix("tfds:"), file_format="parquet").download_and_prepare()
    assert "as parquet, which needs TensorFlow to be read; move it away and prepare it again" in refusal(NOTES)


@pytest.mark.usefixtures("nothing_prepared")
@pytest.mark.parametrize(("error", "message"), [
    (ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow"), "pip install"),
    (OSError("name resolution\nfailed"), "could not be fetched (name resolution failed)"),
])
def test_preparing_without_tensorflow_or_network_ends_in_one_line(monkeypatch, error, message):
    def fail(self):
        raise error

    monkeypatch.setattr(type(tfds_builder(NOTES)), "download_and_prepare", fail)
    with pytest.raises(UserError) as raised:
        prepare_tfds(NOTES)
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_pairs_are_two_features_of_a_dataset(prepared):
    config = DataConfig(corpus=f"parallel:{NOTES}", text_field="text,text")
    assert list(open_corpus(config).pairs("validation")) == [(f"held out {n} 🙂",) * 2 for n in range(3)]
    assert list(open_corpus(config).documents("validation"))[:2] == ["held out 0 🙂"] * 2
    whole = sum(1 for split in SPLITS for _ in open_corpus(config).pairs(split))
    assert whole == 203
    assert "feature 'number' of train record 0 is no text" in refusal(f"parallel:{NOTES}", text_field="text,number")
    assert "pairs have two features; name them as SOURCE,TARGET" in refusal(f"parallel:{NOTES}")
    assert "has no feature 'texd'. Did you mean 'text'?" in refusal(f"parallel:{NOTES}", text_field="text,texd")
