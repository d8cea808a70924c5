"""Where text comes from: `open_corpus` turns `data.corpus` into a Corpus, whatever kind it is."""

from typing import TYPE_CHECKING

from arch_zoo.data.local_text import LocalText
from arch_zoo.data.mixing import MixedCorpus
from arch_zoo.data.parallel import ParallelText
from arch_zoo.data.python_docs import PythonDocs
from arch_zoo.data.splits import Corpus
from arch_zoo.data.synthetic.sources import PAIRS, TEXT, SyntheticPairs, SyntheticText
from arch_zoo.data.tfds_text import TfdsPairs, TfdsText

if TYPE_CHECKING:  # importing it loads every model and objective
    from arch_zoo.config import DataConfig


def open_corpus(config: "DataConfig") -> Corpus:
    """The corpus that `config.corpus` names, or the mixture; UserError where there is none, or it cannot be read."""
    if config.mixed_with:
        alone = config.replace(mixed_with=(), corpus_weights=())
        return MixedCorpus([open_corpus(alone.replace(corpus=name)) for name in (config.corpus, *config.mixed_with)])
    if config.corpus == PythonDocs.name:
        return PythonDocs(config.cache_dir)
    if config.corpus.startswith(TEXT):
        return SyntheticText(config.corpus)
    if config.corpus.startswith(PAIRS):
        return SyntheticPairs(config.corpus)
    if config.corpus.startswith("tfds:"):
        return TfdsText(config)
    if config.corpus.startswith("parallel:tfds:"):
        return TfdsPairs(config)
    if config.parallel:
        return ParallelText(config)
    return LocalText(config)
