"""batch_at(step): corpus, objective and architecture put together."""

import dataclasses

import numpy as np
from absl import logging

from arch_zoo.config import RunConfig
from arch_zoo.data.mixing import MixedWindows
from arch_zoo.data.pipeline import PackedPairs, Windows, batch_indices
from arch_zoo.data.prepare import Data
from arch_zoo.data.token_store import PairStore, TokenStore
from arch_zoo.data.tokenizers import Vocabulary
from arch_zoo.errors import UserError
from arch_zoo.examples import InPlace, Pairs, SourceTarget, Window
from arch_zoo.models.architecture import Batch
from arch_zoo.objectives.base import Seeds

AnyWindows = Windows | PackedPairs | MixedWindows
Rows = slice | np.ndarray  # which rows of a batch
ALL = slice(None)


@dataclasses.dataclass(frozen=True)
class Batches:
    """The batches of a run on one split; `batch_at` is a pure function of the step."""

    config: RunConfig
    data: Data
    windows: AnyWindows
    corruption_seed: int

    def __post_init__(self):
        if self.config.objective.reads_elsewhere and not self.windows.has_elsewhere():
            raise UserError(f"objective={self.config.objective.name} takes texts from other documents, and all windows "
                            f"of {self.windows.store_path} share one; use a corpus of more or shorter documents")

    def batch_at(self, step: int, rows: Rows = ALL) -> Batch:
        """The batch of a step, counted from 0, as NumPy arrays; or some of its rows, which depend on no others."""
        return self._batch(self.windows_at(step, rows), rows)

    def windows_at(self, step: int, rows: Rows = ALL) -> Window | Pairs:
        """The text of that batch, with the share of the training that is done when the step begins."""
        window = self.windows.at(batch_indices(step, self.config.batch_size)[rows])
        return dataclasses.replace(window, progress=np.full(len(window.index), step / max(self.config.steps, 1)))

    def evaluation_count(self) -> int:
        """How many batches an evaluation has."""
        return min(self.config.evaluate_batches, -(-self.windows.count // self.config.batch_size))

    def evaluation_batch_at(self, step: int, rows: Rows = ALL) -> Batch:
        """Like `batch_at`, for one pass: rows beyond the last window carry no loss.

        A schedule is in its last phase: held-out losses are all of what training is to end with, whatever the step.
        """
        index = batch_indices(step, self.config.batch_size)[rows]
        window = self.windows.at(index % self.windows.count)
        batch = self._batch(dataclasses.replace(window, progress=np.ones(len(index))), rows)
        new = index < self.windows.count
        return batch.replace(loss_weights=batch.loss_weights * new[:, None],
                             sentence_target=np.where(new, batch.sentence_target, -1))

    def _batch(self, window: Window | Pairs, rows: Rows) -> Batch:
        vocabulary = self.data.tokenizer.vocabulary
        example = self.config.objective.prepare(window, vocabulary, Seeds(self.corruption_seed))
        return laid_out(self.config, example, np.arange(self.config.batch_size)[rows], vocabulary)


def training_batches(config: RunConfig, data: Data) -> Batches:
    """Windows of the training split, or of as much of it as `data.unique_tokens` says, shuffled and corrupted by the
    run's seed."""
    return Batches(config, data, _windows(config, data, "train", config.seed, config.data.unique_tokens), config.seed)


def evaluation_batches(config: RunConfig, data: Data, split: str = "validation") -> Batches:
    """Windows of a held-out split in the corpus's order, corrupted in the same way whatever the seed or the step."""
    return Batches(config, data, _windows(config, data, split, seed=None), corruption_seed=0)


def _windows(config: RunConfig, data: Data, split: str, seed: int | None, unique: int | None = None) -> AnyWindows:
    """The split as the objective reads it, of one corpus or of several."""
    stores = data.stores[split]
    if not isinstance(stores, tuple):
        return _windows_of(config, stores, seed, unique)
    return MixedWindows([_windows_of(config, store, seed) for store in stores], config.data.corpus_weights, seed)


def _windows_of(config: RunConfig, store: TokenStore | PairStore, seed: int | None,
                unique: int | None = None) -> Windows | PackedPairs:
    """UserError where the store holds something else than the objective reads."""
    objective = config.objective
    if isinstance(store, PairStore) != objective.reads_pairs:
        needed, there = ("pairs of texts", "running text")[::1 if objective.reads_pairs else -1]
        raise UserError(f"objective={objective.name} reads {needed}, and {store.path} holds {there}")
    if not objective.reads_pairs:
        return Windows(store, config.data.length, segments=config.data.segments, seed=seed, unique_tokens=unique)
    packed = PackedPairs(store, objective.lengths(config.data.length), seed=seed, unique_tokens=unique)
    if packed.cut:
        logging.info("%s: %d of %d pairs are too long for a row, their ends are cut off; data.length and "
                     "objective.target_length say how long it is", store.path, packed.cut, packed.pairs)
    return packed


def example_batch(config: RunConfig, vocabulary: Vocabulary, rows: int = 1) -> Batch:
    """A batch of the right shapes with made-up text."""
    nothing, token = np.zeros(rows, np.int64), np.flatnonzero(~vocabulary.is_special)[0]
    numbers = {"index": nothing, "place": nothing, "visit": nothing}

    def stream(length: int) -> np.ndarray:
        return np.full((rows, length), token, np.int32)

    if config.objective.reads_pairs:
        lengths = config.objective.lengths(config.data.length)
        source, target = stream(lengths.source), stream(lengths.target)
        window = Pairs(source, np.ones_like(source), target, np.ones_like(target), **numbers)
    else:
        tokens = stream(config.data.length + 1)
        window = Window(tokens, np.ones_like(tokens), **numbers)
    example = config.objective.prepare(window, vocabulary, Seeds(0))
    return laid_out(config, example, np.arange(rows), vocabulary)


def laid_out(config: RunConfig, example: InPlace | SourceTarget, ids: np.ndarray, vocabulary: Vocabulary) -> Batch:
    """Without boundaries between documents a row is one segment, which kernels can make use of."""
    batch = config.model.architecture.layout(example, ids, vocabulary.start_id)
    return batch.replace(one_segment=not config.data.segments and not config.objective.reads_pairs)
