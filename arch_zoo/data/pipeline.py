"""Batches as a function of the step: no iterator, hence no iterator state to lose."""

import functools
import pathlib
import queue
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from arch_zoo.data.token_store import PairStore, TokenStore
from arch_zoo.errors import UserError
from arch_zoo.examples import Lengths, Pairs, Window


class Windows:
    """The windows of a token store in a random order that is a function of (seed, epoch).

    Window i holds the tokens from i · length on, and one more. The last, shorter part of a store is left out.
    """

    def __init__(self, store: TokenStore, length: int, *, segments: bool, seed: int | None,
                 unique_tokens: int | None = None):
        """`seed` None keeps the order of the corpus (evaluation); `segments` False makes a window one segment;
        `unique_tokens`: there are only some of the windows, with so many tokens (see `chosen_windows`)."""
        self._total, self.store_path = (len(store) - 1) // length, store.path
        if self._total < 1:
            raise UserError(f"{store.path}: {len(store)} tokens do not fill one window of data.length={length}; "
                            f"use more text or a shorter length")
        self._places = chosen_windows(self._total, length, unique_tokens, store.path)
        self.count = self._total if self._places is None else len(self._places)
        self._store, self._length, self._segments = store, length, segments
        self._order = functools.lru_cache(maxsize=2)(lambda epoch: order_of_epoch(self.count, seed, epoch))

    def at(self, index: np.ndarray) -> Window:
        """The windows of the examples with these numbers; number `count` begins the second epoch."""
        number, visit = visited(index, self.count, self._order)
        place = self._place(number)
        tokens, segment_ids = self._read(place)
        return Window(tokens=tokens, segment_ids=segment_ids, index=index, place=place, visit=visit,
                      elsewhere=self.elsewhere)

    def elsewhere(self, place: np.ndarray, uniform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(tokens, segment ids) [b, length + 1] of windows chosen by uniform [b] from those that share no document with
        the windows at `place` [b]; segment ids are 0 where there is none.
        """
        before, behind = self._strangers(place)
        count = before + self.count - behind
        pick = np.minimum((uniform.astype(np.float64) * count).astype(np.int64), np.maximum(count - 1, 0))
        chosen = np.where(pick < before, pick, behind + pick - before)
        tokens, segment_ids = self._read(np.where(count > 0, self._place(chosen * (count > 0)), place))
        return tokens, segment_ids * (count > 0)[:, None]

    def has_elsewhere(self) -> bool:
        """Whether any two windows share no document: if any do, the first and the last do."""
        return bool(self._strangers(self._place(np.zeros(1, np.int64)))[1][0] < self.count)

    def _place(self, number: np.ndarray) -> np.ndarray:
        """Where in the store the windows stand that there are."""
        return number if self._places is None else self._places[number]

    def _strangers(self, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(before, behind), int [b]: of the windows that there are, those with the numbers 0 … before − 1 and
        behind … count − 1 share no document with these.
        """
        first, last = place * self._length, (place + 1) * self._length
        begin = self._store.offsets[np.searchsorted(self._store.offsets, first, side="right") - 1]
        end = self._store.offsets[np.searchsorted(self._store.offsets, last, side="right")]
        before, behind = np.maximum((begin - 1) // self._length, 0), np.minimum(-(-end // self._length), self._total)
        return (before, behind) if self._places is None else tuple(np.searchsorted(self._places, [before, behind]))

    def _read(self, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        positions = place[:, None] * self._length + np.arange(self._length + 1)
        tokens = np.asarray(self._store.tokens[positions], np.int32)
        if self._segments:
            document = np.searchsorted(self._store.offsets, positions.ravel(), side="right").reshape(positions.shape)
            segment_ids = (document - document[:, :1] + 1).astype(np.int32)
        else:
            segment_ids = np.ones_like(tokens)
        return tokens, segment_ids


class PackedPairs:
    """The pairs of a store, packed: as many consecutive ones in a row as fit, rows in an order as that of Windows.

    A pair that is too long for a row of its own is cut at the ends of its texts, which then have no EOS; `cut` counts
    them. In the target, each pair of a row but the first has a free place before it.
    """

    def __init__(self, store: PairStore, lengths: Lengths, *, seed: int | None, unique_tokens: int | None = None):
        """As for Windows; a row has the places of its source and of its target."""
        self._store, self._lengths = store, lengths
        whole = np.stack([np.diff(store.source.offsets), np.diff(store.target.offsets)])
        self.pairs, self.cut = whole.shape[1], int((whole > [[lengths.source], [lengths.target]]).any(axis=0).sum())
        self._sizes = np.minimum(whole, [[lengths.source], [lengths.target]])
        self._first = _packed(self._sizes, lengths)
        total = len(self._first) - 1
        self._places = chosen_windows(total, lengths.source + lengths.target, unique_tokens, store.path)
        self.count = total if self._places is None else len(self._places)
        self._order = functools.lru_cache(maxsize=2)(lambda epoch: order_of_epoch(self.count, seed, epoch))

    def at(self, index: np.ndarray) -> Pairs:
        """The rows of the examples with these numbers; number `count` begins the second epoch."""
        number, visit = visited(index, self.count, self._order)
        place = number if self._places is None else self._places[number]
        b, lengths = len(index), self._lengths
        source, target = np.zeros((b, lengths.source), np.int32), np.zeros((b, lengths.target), np.int32)
        source_segments, target_segments = np.zeros_like(source), np.zeros_like(target)
        for row, which in enumerate(place):
            at_source = at_target = 0
            for number, pair in enumerate(range(self._first[which], self._first[which + 1]), start=1):
                sizes = self._sizes[:, pair]
                end = at_source + sizes[0]
                source[row, at_source:end] = self._text(self._store.source, pair, sizes[0])
                source_segments[row, at_source:end], at_source = number, end
                opens = int(number > 1)
                end = at_target + opens + sizes[1]
                target[row, at_target + opens:end] = self._text(self._store.target, pair, sizes[1])
                target_segments[row, at_target:end], at_target = number, end
        return Pairs(source=source, source_segment_ids=source_segments, target=target,
                     target_segment_ids=target_segments, index=index, place=place, visit=visit)

    @staticmethod
    def _text(store: TokenStore, number: int, size: int) -> np.ndarray:
        start = store.offsets[number]
        return store.tokens[start:start + size]


def _packed(sizes: np.ndarray, lengths: Lengths) -> np.ndarray:
    """int [rows + 1]: the first pair of each row, and the number of pairs, from sizes [2, pairs] none of them too long.
    """
    ends = np.cumsum(np.pad(sizes + [[0], [1]], ((0, 0), (1, 0))), axis=1)  # with the free place in the target
    first = [0]
    while first[-1] < sizes.shape[1]:
        reached = ends[:, first[-1]] + [lengths.source, lengths.target + 1]
        first.append(min(int(np.searchsorted(side, most, side="right")) - 1
                         for side, most in zip(ends, reached, strict=True)))
    return np.array(first)


def chosen_windows(total: int, length: int, unique_tokens: int | None, path: pathlib.Path) -> np.ndarray | None:
    """int [windows]: the places, in order, of windows that together have at most so many tokens; None: all are there.

    They are the first ones of an order that is the same in every run: a corpus is often sorted, and its beginning
    would be text of another kind. Fewer tokens are a part of more. UserError where not even one window, or more than
    there are, would be needed.
    """
    if unique_tokens is None:
        return None
    if not 1 <= unique_tokens // length <= total:
        raise UserError(f"data.unique_tokens={unique_tokens}: {path} has {total * length} tokens in windows of "
                        f"{length}; give a number from {length} to {total * length}")
    return np.sort(order_of_epoch(total, 0, 0)[:unique_tokens // length])


def visited(index: np.ndarray, count: int, order: Callable[[int], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(place, visit): which of `count` windows each example is, and how often it was visited before."""
    visit, offset = np.divmod(index, count)
    place = np.empty_like(offset)
    for epoch in np.unique(visit):
        place[visit == epoch] = order(int(epoch))[offset[visit == epoch]]
    return place, visit


def order_of_epoch(count: int, seed: int | None, epoch: int) -> np.ndarray:
    """int [count]: the order of an epoch, that of the corpus without a seed."""
    return np.arange(count) if seed is None else np.random.default_rng([seed, epoch]).permutation(count)


def batch_indices(step: int, batch_size: int) -> np.ndarray:
    """int64 [batch_size]: the numbers, in the whole run, of the examples in the batch of `step` (from 0)."""
    return np.arange(step * batch_size, (step + 1) * batch_size, dtype=np.int64)


class Prefetcher:
    """Makes the next values in a thread while the current one is used. Values are functions of the step alone."""

    def __init__(self, make: Callable[[int], Any], first: int, end: int, ahead: int = 2):
        self._queue: queue.Queue = queue.Queue(maxsize=ahead)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._fill, args=(make, first, end), daemon=True)
        self._thread.start()

    def _fill(self, make, first, end) -> None:
        for step in range(first, end):
            try:
                item = (make(step), None)
            except BaseException as error:  # handed to the consumer, who raises it
                item = (None, error)
            while not self._stop.is_set():
                try:
                    self._queue.put(item, timeout=0.1)
                    break
                except queue.Full:
                    continue
            if self._stop.is_set() or item[1] is not None:
                return

    def next(self) -> Any:
        """The value of the next step; raises what making it raised."""
        value, error = self._queue.get()
        if error is not None:
            raise error
        return value

    def close(self) -> None:
        """Stop the thread; values not yet taken are dropped."""
        self._stop.set()
        self._thread.join()
