"""Log-probabilities of texts under any model, by the route its objective gives."""

import collections
import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from arch_zoo.data.tokenizers import Vocabulary
from arch_zoo.examples import SourceTarget
from arch_zoo.layers.cross_entropy import cross_entropy
from arch_zoo.layers.visibility import Visibility
from arch_zoo.models.architecture import Architecture, Batch
from arch_zoo.objectives.rows import Row, Shape, collate, lengths_of, padded, require_length

_IN_FLIGHT = 2  # batches that are computed while the next one is put together


class Scores(NamedTuple):
    """For each item: the summed log-probability of its weighted targets, and whether each was the likeliest token."""

    nats: np.ndarray    # float64 [items]
    greedy: np.ndarray  # bool [items]


@dataclasses.dataclass
class Scorer:
    """A trained model that gives summed log-probabilities (nats) of the weighted targets of examples.

    Rows of like lengths share a batch, padded to one of a few lengths; neither changes a score. Items are taken as they
    come and kept no longer than until their rows fill a batch, so that there may be any number of them.
    """

    architecture: Architecture
    model: nn.Module
    parameters: Any
    vocabulary: Vocabulary
    tokens_per_batch: int = 4096

    def scores(self, items: Iterable[Sequence[Row]]) -> np.ndarray:
        """float64 [items]: for each item the sum over its rows. Undefined where a row is too long for the model."""
        return self.scored(items).nats

    def scored(self, items: Iterable[Sequence[Row]], greedy: bool = False) -> Scores:
        """As `scores`; with `greedy` also whether greedy decoding would have written all the weighted targets."""
        waiting: dict[Shape, list[tuple[int, Row]]] = collections.defaultdict(list)
        sums = _Sums()
        for number, item in enumerate(items):
            sums.begin()
            for row in item:
                shape = self._shape(row)
                waiting[shape].append((number, row))
                if len(waiting[shape]) == self._rows_per_batch(shape):
                    self._score_batch(waiting.pop(shape), shape, greedy, sums)
        for shape, rows in waiting.items():
            self._score_batch(rows, shape, greedy, sums)
        return sums.scores()

    def _shape(self, row: Row) -> Shape:
        lengths = lengths_of(row)
        require_length(self.model, self.architecture.longest_stream(lengths))
        if isinstance(row, SourceTarget):
            return Shape(padded(lengths.source), padded(lengths.target), 0)
        stream, count = padded(lengths.target), np.count_nonzero(row.loss_weights)
        return Shape(0, stream, min(stream, 1 << max(0, int(count) - 1).bit_length()))

    def _rows_per_batch(self, shape: Shape) -> int:
        return max(8, self.tokens_per_batch // (shape.source + shape.stream))

    def _score_batch(self, rows: list[tuple[int, Row]], shape: Shape, greedy: bool, sums: "_Sums") -> None:
        size = self._rows_per_batch(shape)
        example = collate([row for _, row in rows], shape, size)
        batch = self.architecture.layout(example, np.arange(size), self.vocabulary.start_id)
        sums.expect([number for number, _ in rows],
                    _score(self.model, self.architecture.visibility, greedy, self.parameters, batch))


# Of the module, so that all scorers of a model share its programs: models are equal where all their fields are.
@functools.partial(jax.jit, static_argnames=("model", "visibility", "greedy"))
def _score(model: nn.Module, visibility: Visibility, greedy: bool, parameters: Any,
           batch: Batch) -> tuple[jax.Array, jax.Array]:
    logits = model.apply({"params": parameters}, batch, visibility, train=False)
    nats = -jnp.sum(cross_entropy(logits, batch.targets) * batch.loss_weights, axis=1)
    if not greedy:
        return nats, jnp.zeros(nats.shape, bool)
    likeliest = jnp.argmax(logits, axis=-1) == batch.targets
    return nats, jnp.all(likeliest | (batch.loss_weights == 0), axis=1)


class _Sums:
    """Adds rows up to items. What was computed is fetched late: the machine works while the next batch is made."""

    def __init__(self):
        self._nats, self._greedy, self._pending = [], [], collections.deque()

    def begin(self) -> None:
        self._nats.append(0.0)
        self._greedy.append(True)

    def expect(self, owners: list[int], scores: tuple[jax.Array, jax.Array]) -> None:
        self._pending.append((owners, scores))
        while len(self._pending) > _IN_FLIGHT:
            self._fetch()

    def _fetch(self) -> None:
        owners, (nats, greedy) = self._pending.popleft()
        for owner, value, likeliest in zip(owners, np.asarray(nats).tolist(), np.asarray(greedy).tolist(),
                                           strict=False):  # the batch is filled up with rows of nobody
            self._nats[owner] += value
            self._greedy[owner] &= likeliest

    def scores(self) -> Scores:
        while self._pending:
            self._fetch()
        return Scores(np.array(self._nats, np.float64), np.array(self._greedy, bool))
