"""What an objective makes of a window of text: an example, still free of any architecture.

All arrays are NumPy, one row an example. `*_origin` tells for each token at which index of the window it stood, −1 for
tokens that the objective put there; inspection shows it and the leakage tests follow gradients back through it.
"""

import dataclasses
import enum
from collections.abc import Callable
from typing import TypeVar

import numpy as np

Rows = TypeVar("Rows")


class Form(enum.Enum):
    """The two shapes of an example."""

    IN_PLACE = "in place"
    SOURCE_TARGET = "source to target"


@dataclasses.dataclass(frozen=True)
class Lengths:
    """Lengths of the streams that an objective makes; an in-place example has no source."""

    source: int
    target: int


@dataclasses.dataclass
class InPlace:
    """Each position of one stream predicts something: the next token, or the token that was corrupted there.

    `capacity` bounds the positions of a row that carry loss, so that only those are projected onto the vocabulary.
    `prefix` is there where who sees whom differs from row to row: what may be seen from anywhere in its segment. All
    of a row makes it bidirectional, none of it causal.
    """

    tokens: np.ndarray         # int [b, t]
    targets: np.ndarray        # int [b, t]
    loss_weights: np.ndarray   # float [b, t], 0 where a position carries no loss
    segment_ids: np.ndarray    # int [b, t], 0 = padding
    origin: np.ndarray         # int [b, t], of tokens
    target_origin: np.ndarray  # int [b, t]
    capacity: int
    types: np.ndarray | None = None            # int [b, t], kinds of tokens; None: all 0
    sentence_target: np.ndarray | None = None  # int [b], the class of the whole row, −1 where it has none
    prefix: np.ndarray | None = None  # bool [b, t]
    part: np.ndarray | None = None    # int [b], which objective of several made the row


@dataclasses.dataclass
class SourceTarget:
    """A target stream to be written from left to right, given a source stream."""

    source: np.ndarray              # int [b, s]
    source_segment_ids: np.ndarray  # int [b, s]
    source_origin: np.ndarray       # int [b, s]
    target: np.ndarray              # int [b, t]
    target_segment_ids: np.ndarray  # int [b, t]
    target_origin: np.ndarray       # int [b, t]
    loss_weights: np.ndarray        # float [b, t]
    part: np.ndarray | None = None  # int [b], which objective of several made the row


@dataclasses.dataclass
class Window:
    """Consecutive tokens of the corpus, with one more than asked for so that each has a next one."""

    tokens: np.ndarray       # int [b, length + 1]
    segment_ids: np.ndarray  # int [b, length + 1]; documents are numbered from 1
    index: np.ndarray        # int [b], the example's number in the whole run: all randomness is keyed by it
    place: np.ndarray        # int [b], which window of the corpus this is
    visit: np.ndarray        # int [b], how often this window has been visited before
    # (place int [b], uniform [b]) -> (tokens, segment_ids), each [b, length + 1]: for each row another window, chosen
    # by the draw from those that share no document with it; all padding where there is none
    elsewhere: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]] | None = None
    progress: np.ndarray | None = None  # float [b], share of the training done before it; None: none

    def __post_init__(self):
        if self.progress is None:
            self.progress = np.zeros(len(self.index))

    def rows(self, which: np.ndarray) -> "Window":
        """Some rows of the batch."""
        return rows_of(self, which)


@dataclasses.dataclass
class Pairs:
    """Pairs of texts, several in a row: pair k of a row is segment k, from 1, of both streams.

    Each pair of a row but the first has a free place in the target before it, for the symbol that opens a stream; `pad`
    stands there.
    """

    source: np.ndarray              # int [b, s]
    source_segment_ids: np.ndarray  # int [b, s], 0 = padding
    target: np.ndarray              # int [b, t]
    target_segment_ids: np.ndarray  # int [b, t]
    index: np.ndarray               # the rest as in Window
    place: np.ndarray
    visit: np.ndarray
    progress: np.ndarray | None = None

    @property
    def tokens(self) -> np.ndarray:
        """int [b, s + t]: all of it, in the order in which `origin` counts."""
        return np.concatenate([self.source, self.target], axis=1)

    def rows(self, which: np.ndarray) -> "Pairs":
        """Some rows of the batch."""
        return rows_of(self, which)


def rows_of(batch: Rows, which: np.ndarray) -> Rows:
    """Some rows of a window or an example: of each array that it has, the entries that `which` picks."""
    arrays = {field.name: value for field in dataclasses.fields(batch)
              if isinstance(value := getattr(batch, field.name), np.ndarray)}
    return dataclasses.replace(batch, **{name: array[which] for name, array in arrays.items()})


class Draws:
    """Random numbers for a batch: row i depends on (seed, keys[i], stream) alone, not on the rest of the batch."""

    def __init__(self, seed: int, keys: np.ndarray):
        self._seed, self._keys = seed, keys

    def uniform(self, n: int, stream: int = 0) -> np.ndarray:
        """float32 [b, n] in [0, 1); other streams are independent of this one."""
        return np.stack([self._row(key, stream).random(n, dtype=np.float32) for key in self._keys])

    def rows(self, which: np.ndarray) -> "Draws":
        """The same draws for some rows of the batch."""
        return Draws(self._seed, self._keys[which])

    def _row(self, key: int, stream: int) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(key=[self._seed, key], counter=[0, 0, 0, stream]))
