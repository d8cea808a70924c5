"""From `config.data` to tokens that can be trained on: everything that takes time is done once and kept."""

import dataclasses
import functools
import hashlib
import pathlib
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

from absl import logging

from arch_zoo.data.corpora import open_corpus
from arch_zoo.data.mixing import MixedCorpus
from arch_zoo.data.python_docs import SPLITS
from arch_zoo.data.splits import CarvedPairs, Corpus
from arch_zoo.data.token_store import (
    DamagedStore,
    PairStore,
    TokenStore,
    discard,
    open_store,
    write_pair_store,
    write_store,
)
from arch_zoo.data.tokenizers import Tokenizer, open_tokenizer, train_or_load_tokenizer
from arch_zoo.data.tokenizers.files import MODEL_FILE, sha256_of_files, tokenizer_files
from arch_zoo.errors import UserError
from arch_zoo.files import atomic_directory, cache_directory
from arch_zoo.registry import did_you_mean

if TYPE_CHECKING:  # importing it loads every model and objective
    from arch_zoo.config import DataConfig

_STORE = "tokens:"
Store = TokenStore | PairStore


@dataclasses.dataclass(frozen=True, eq=False)
class Data:
    """A corpus ready for training. `home` is the directory that corpus="tokens:HOME" would open.

    Of a mixture each split has a store for each corpus, in their order, and `home` is the first one's.
    """

    corpus: Corpus | None  # None for corpus="tokens:DIR", which has no text any more
    tokenizer: Tokenizer
    stores: dict[str, Store | tuple[Store, ...]]  # by split: "train", "validation", "test"
    corpus_fingerprint: str
    home: pathlib.Path


def prepare_data(config: "DataConfig", require: Callable[[Tokenizer], object] = lambda tokenizer: None) -> Data:
    """Open the corpus, train its tokenizer and encode it, or find all that in the cache.

    With corpus="tokens:DIR" the tokenizer is the one that made the tokens. `require` is called with the tokenizer
    before anything is encoded, and may refuse it. UserError where the corpus, the tokenizer or a store cannot be used.
    """
    if config.corpus.startswith(_STORE):
        data = _open_tokens(config)
        _set_start(data.tokenizer, config)
        require(data.tokenizer)
        return data
    corpus = open_corpus(config)
    tokenizer = train_or_load_tokenizer(config, corpus)
    _set_start(tokenizer, config)
    require(tokenizer)
    corpora = corpus.corpora if isinstance(corpus, MixedCorpus) else (corpus,)
    homes, opened = zip(*(_tokens_of(part, tokenizer, config) for part in corpora), strict=True)
    stores = opened[0] if len(corpora) == 1 else {split: tuple(one[split] for one in opened) for split in SPLITS}
    return Data(corpus, tokenizer, stores, corpus.fingerprint, homes[0])


def _tokens_of(corpus: Corpus, tokenizer: Tokenizer, config: "DataConfig") -> tuple[pathlib.Path, dict[str, Store]]:
    """(directory, stores by split) of a corpus: found in the cache, mended there, or made."""
    key = hashlib.sha256(f"{corpus.fingerprint} {tokenizer.sha256}".encode()).hexdigest()[:16]
    home = cache_directory(config.cache_dir) / "tokens" / key
    try:
        return home, _open_or_write(home, corpus, tokenizer)
    except DamagedStore as damage:
        logging.warning("%s; encoding %s again", damage, corpus.name)
        discard(home)
        return home, _open_or_write(home, corpus, tokenizer)


def _set_start(tokenizer: Tokenizer, config: "DataConfig") -> None:
    start = config.tokenizer.decoder_start_id
    if start is not None and start >= tokenizer.vocabulary.size:
        raise UserError(f"data.tokenizer.decoder_start_id={start} is not an id of {tokenizer.model_path}, which has "
                        f"{tokenizer.vocabulary.size}")
    tokenizer.vocabulary = dataclasses.replace(tokenizer.vocabulary, decoder_start_id=start)


def _open_or_write(home: pathlib.Path, corpus: Corpus, tokenizer: Tokenizer) -> dict[str, Store]:
    if not home.exists():
        with atomic_directory(home) as temporary:
            for name, path in tokenizer.files.items():
                shutil.copyfile(path, temporary / name)
            for split in SPLITS:
                if isinstance(corpus, CarvedPairs):
                    write_pair_store(temporary / split, functools.partial(corpus.pairs, split), tokenizer,
                                     corpus.fingerprint)
                else:
                    write_store(temporary / split, corpus.documents(split), tokenizer, corpus.fingerprint)
    stores = _open_stores(home)
    for store in stores.values():
        if (store.tokenizer_sha256, store.corpus_fingerprint) != (tokenizer.sha256, corpus.fingerprint):
            raise DamagedStore(f"{store.path}: says that it was made of another text or by another tokenizer")
    return stores


def _open_stores(home: pathlib.Path) -> dict[str, Store]:
    files = tokenizer_files(home)
    if lacking := [name for name in (next(iter(files), MODEL_FILE), *SPLITS) if not (home / name).exists()]:
        raise DamagedStore(f"{home}: has no {lacking[0]}; a directory of tokens holds {MODEL_FILE}, or the files of "
                           f"another tokenizer, and the stores {', '.join(SPLITS)}")
    stores = {split: open_store(home / split) for split in SPLITS}
    made_by = sha256_of_files(files)
    if any(store.tokenizer_sha256 != made_by for store in stores.values()):
        raise DamagedStore(f"{home}/{', '.join(files)}: is not the tokenizer that made these tokens")
    return stores


def _open_tokens(config: "DataConfig") -> Data:
    home = pathlib.Path(config.corpus.removeprefix(_STORE)).expanduser()
    if not home.is_dir():
        siblings = [str(path) for path in home.parent.glob("*") if path.is_dir()]
        raise UserError(f"data.corpus={config.corpus}: no such directory.{did_you_mean(str(home), siblings)}")
    stores = _open_stores(home)
    return Data(None, open_tokenizer(home), stores, stores["train"].corpus_fingerprint, home)
