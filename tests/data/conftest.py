"""Made-up text and a tokenizer trained on it."""

import pathlib

import numpy as np
import pytest

from arch_zoo.config import DataConfig, TokenizerConfig
from arch_zoo.data.tokenizers import Tokenizer, train_or_load_tokenizer


def make_documents(count: int, seed: int = 0) -> list[str]:
    """Documents of three lines of made-up words, no two alike."""
    rng = np.random.default_rng(seed)
    words = ["".join(rng.choice(list("aeioumnrst"), rng.integers(2, 6))) for _ in range(60)]
    return [f"{number} " + "\n".join(" ".join(rng.choice(words, 8)) + "." for _ in range(3)) for number in range(count)]


@pytest.fixture(scope="session")
def documents() -> list[str]:
    return make_documents(200)


@pytest.fixture(scope="session")
def corpus_file(documents, tmp_path_factory) -> pathlib.Path:
    """The documents in a plain text file, blank lines between them."""
    path = tmp_path_factory.mktemp("text") / "corpus.txt"
    path.write_text("\n\n".join(documents))
    return path


@pytest.fixture
def data_config(corpus_file, tmp_path) -> DataConfig:
    """The file as a corpus, with a cache of the test's own."""
    return DataConfig(corpus=str(corpus_file), cache_dir=str(tmp_path / "cache"),
                      tokenizer=TokenizerConfig(vocab_size=360, sentinels=8))


@pytest.fixture(scope="session")
def tokenizer(corpus_file, tmp_path_factory) -> Tokenizer:
    from arch_zoo.data.corpora import open_corpus

    config = DataConfig(corpus=str(corpus_file), cache_dir=str(tmp_path_factory.mktemp("cache")),
                        tokenizer=TokenizerConfig(vocab_size=360, sentinels=8))
    return train_or_load_tokenizer(config, open_corpus(config))


@pytest.fixture
def real_text() -> pathlib.Path:
    """The folder of real texts that may lie beside the repository."""
    folder = pathlib.Path(__file__).parents[3] / "shared" / "data" / "text"
    if not folder.is_dir():
        pytest.skip("no shared/data/text beside the repository")
    return folder
