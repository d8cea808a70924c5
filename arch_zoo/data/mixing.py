"""Several corpora in one training: their texts for one tokenizer, and their windows by weight."""

import dataclasses
import functools
import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence

import numpy as np

from arch_zoo.data.pipeline import PackedPairs, Windows
from arch_zoo.data.splits import Corpus
from arch_zoo.examples import Pairs, Window

_BLOCK = 1024  # examples in a block, times the number of corpora


class MixedCorpus:
    """Corpora one after another: what one tokenizer for all is trained on."""

    def __init__(self, corpora: Sequence[Corpus]):
        self.corpora = tuple(corpora)
        self.name = ", ".join(corpus.name for corpus in corpora)
        self.fingerprint = hashlib.sha256(json.dumps([corpus.fingerprint for corpus in corpora]).encode()).hexdigest()

    def documents(self, split: str) -> Iterator[str]:
        """See Corpus."""
        return itertools.chain.from_iterable(corpus.documents(split) for corpus in self.corpora)

    def pairs(self, split: str) -> Iterator[tuple[str, str]]:
        """See CarvedPairs: of a mixture of such."""
        return itertools.chain.from_iterable(corpus.pairs(split) for corpus in self.corpora)


class MixedWindows:
    """The windows of several corpora by weight, each corpus with an order and visits of its own.

    Of each block of examples every corpus has its share, rounded so that no error adds up, in an order that is a
    function of (seed, block). So the number of an example says, without a look at any other, from which corpus it is
    and how many of that corpus came before it.
    """

    def __init__(self, parts: Sequence[Windows | PackedPairs], weights: Sequence[float], seed: int | None):
        """Without weights every window is as frequent as every other. `seed` None is for evaluation."""
        self._parts, self._seed = parts, seed
        self._counts = np.array([part.count for part in parts])
        self._before_part = np.cumsum(self._counts) - self._counts
        shares = np.array(weights or self._counts, float)
        self._shares, self._size = shares / shares.sum(), _BLOCK * len(parts)
        self._block = functools.lru_cache(maxsize=4)(self._make_block)

    def at(self, index: np.ndarray) -> Window | Pairs:
        """The windows of the examples with these numbers; `place` counts through the corpora."""
        which, number = np.empty((2, len(index)), np.int64)
        block, offset = np.divmod(index, self._size)
        for one in np.unique(block):
            here = block == one
            which[here], number[here] = (column[offset[here]] for column in self._block(int(one)))
        found = [(which == part, self._parts[part].at(number[which == part])) for part in np.unique(which)]
        columns = {}
        for field in dataclasses.fields(found[0][1]):
            arrays = [(rows, getattr(window, field.name)) for rows, window in found]
            if isinstance(arrays[0][1], np.ndarray):
                columns[field.name] = np.empty((len(index), *arrays[0][1].shape[1:]), arrays[0][1].dtype)
                for rows, array in arrays:
                    columns[field.name][rows] = array
        columns |= {"index": index, "place": columns["place"] + self._before_part[which]}
        if isinstance(found[0][1], Window):
            columns["elsewhere"] = self.elsewhere
        return dataclasses.replace(found[0][1], **columns)

    def elsewhere(self, place: np.ndarray, uniform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See Windows: of the corpus that the window at each place is of."""
        which = np.searchsorted(self._before_part, place, side="right") - 1
        found = [(which == part, self._parts[part].elsewhere(place[which == part] - self._before_part[part],
                                                             uniform[which == part])) for part in np.unique(which)]
        tokens, segment_ids = (np.empty((len(place), found[0][1][0].shape[1]), np.int32) for _ in range(2))
        for rows, (texts, segments) in found:
            tokens[rows], segment_ids[rows] = texts, segments
        return tokens, segment_ids

    def has_elsewhere(self) -> bool:
        """See Windows: in each of the corpora."""
        return all(part.has_elsewhere() for part in self._parts)

    @property
    def store_path(self) -> str:
        return ", ".join(str(part.store_path) for part in self._parts)

    @functools.cached_property
    def count(self) -> int:
        """How many examples there are before the windows of one of the corpora begin anew."""
        for block in itertools.count():
            which, number = self._block(block)
            anew = number >= self._counts[which]
            if anew.any():
                break
        return block * self._size + int(anew.argmax())

    def _make_block(self, block: int) -> tuple[np.ndarray, np.ndarray]:
        """(corpus, number within the corpus) of each example of a block."""
        begin, end = self._before(block), self._before(block + 1)
        which = np.repeat(np.arange(len(self._parts)), end - begin)
        which = np.random.default_rng([self._seed or 0, block, 1]).permutation(which)
        number = np.empty_like(which)
        for part in range(len(self._parts)):
            number[which == part] = begin[part] + np.arange(end[part] - begin[part])
        return which, number

    def _before(self, block: int) -> np.ndarray:
        """int [corpora]: the examples of each before the block; the most frequent one has what rounding leaves."""
        before = np.floor(self._shares * block * self._size).astype(np.int64)
        most = self._shares.argmax()
        before[most] += block * self._size - before.sum()
        return before
