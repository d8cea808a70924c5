"""Bits per byte of held-out suffixes, given the same prefixes: the same bytes for every arm."""

import math

import numpy as np

from arch_zoo.data.prepare import Store
from arch_zoo.data.splits import Corpus
from arch_zoo.data.token_store import PairStore, TokenStore
from arch_zoo.data.tokenizers import Tokenizer
from arch_zoo.evaluation.likelihood import Scorer
from arch_zoo.objectives.base import Objective, Undefined


def suffix_windows(store: Store | tuple[Store, ...], length: int, count: int) -> list[tuple[list[int], list[int]]]:
    """(prefix, suffix) halves of windows that lie inside a document, spread evenly over the store; `count` at most.

    Of a store of pairs, (source, target) of those of which neither is longer than `length`. Of several stores, as many
    of each.
    """
    if isinstance(store, tuple):
        shares = [(i + 1) * count // len(store) - i * count // len(store) for i in range(len(store))]
        return [one for part, share in zip(store, shares, strict=True) for one in suffix_windows(part, length, share)]
    if isinstance(store, PairStore):
        return _short_pairs(store, length, count)
    # Without the document's first token, which is BOS where there is one, and its EOS.
    starts = [np.arange(begin, end - length + 1, length) for begin, end in
              zip(store.offsets[:-1] + 1, store.offsets[1:] - 1, strict=True)]
    starts = np.concatenate(starts) if starts else np.zeros(0, int)
    chosen = starts[np.linspace(0, len(starts) - 1, min(count, len(starts))).astype(int)] if len(starts) else starts
    windows = [np.asarray(store.tokens[start:start + length]).tolist() for start in chosen]
    return [(window[:length // 2], window[length // 2:]) for window in windows]


def _short_pairs(store: PairStore, length: int, count: int) -> list[tuple[list[int], list[int]]]:
    longest = np.maximum(np.diff(store.source.offsets), np.diff(store.target.offsets))
    fitting = np.flatnonzero(longest <= length)
    chosen = fitting[np.linspace(0, len(fitting) - 1, min(count, len(fitting))).astype(int)] if len(fitting) else []

    def text(side: TokenStore, pair: int) -> list[int]:
        return np.asarray(side.tokens[side.offsets[pair]:side.offsets[pair + 1] - 1]).tolist()  # without its EOS

    return [(text(store.source, pair), text(store.target, pair)) for pair in chosen]


def bits_per_byte(scorer: Scorer, objective: Objective, tokenizer: Tokenizer,
                  windows: list[tuple[list[int], list[int]]]) -> float:
    """−log2 p(suffixes | prefixes) over the number of the suffixes' UTF-8 bytes.

    Raises Undefined, with the reason, for an objective that has no left-to-right likelihood, and for a tokenizer that
    changes the text: how many bytes the suffixes had is then not known from their tokens.
    """
    sizes = _suffix_bytes(tokenizer, windows)
    items = [objective.conditional(prefix, suffix, tokenizer.vocabulary) for prefix, suffix in windows]
    return float(-scorer.scores(items).sum() / math.log(2) / sum(sizes))


def optimum_bits_per_byte(corpus: Corpus | None, tokenizer: Tokenizer,
                          windows: list[tuple[list[int], list[int]]]) -> float:
    """What `bits_per_byte` of the same windows is by the distribution that the corpus is drawn from.

    Over many windows no model is better. Raises Undefined, with the reason, where that distribution is not known, and
    where `bits_per_byte` does.
    """
    if not hasattr(corpus, "optimum"):
        raise Undefined("only of synthetic corpora is it known how well their text can be predicted")
    sizes, nats = _suffix_bytes(tokenizer, windows), 0.0
    for (prefix, suffix), size in zip(windows, sizes, strict=True):
        text = tokenizer.decode([*prefix, *suffix]).encode()
        nats += corpus.optimum(text[:-size].decode(), text[-size:].decode())
    return nats / math.log(2) / sum(sizes)


def _suffix_bytes(tokenizer: Tokenizer, windows: list[tuple[list[int], list[int]]]) -> list[int]:
    if not tokenizer.lossless:
        raise Undefined("the tokenizer does not give text back exactly, so the bytes behind its tokens are not known")
    return [int(tokenizer.vocabulary.byte_lengths[suffix].sum()) for _, suffix in windows]
