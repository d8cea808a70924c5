"""The interface of an architecture, and the batch that its model reads."""

import dataclasses
from typing import ClassVar

import flax.linen as nn
import jax
import numpy as np
from flax import struct

from arch_zoo.config import ModelConfig
from arch_zoo.examples import InPlace, Lengths, SourceTarget
from arch_zoo.layers.visibility import Visibility
from arch_zoo.settings import Settings


@struct.dataclass
class Stream:
    """Tokens with where they stand. Arrays are [b, t]."""

    tokens: jax.Array
    segment_ids: jax.Array  # 0 = padding
    positions: jax.Array    # from 0 within a segment
    prefix: jax.Array       # bool: may be seen from anywhere in its segment, where visibility is PREFIX
    types: jax.Array        # which kind of token, where the model tells kinds apart (model.token_types)
    origin: jax.Array       # index in the window of text, −1 for tokens an objective put there


@struct.dataclass
class Batch:
    """What a model reads and what it is to predict."""

    stream: Stream           # the stream that predicts
    source: Stream | None    # what an encoder reads
    loss_positions: jax.Array | None  # int [b, n]: the positions of `stream` that are projected; None: all
    targets: jax.Array       # int [b, n]
    target_origin: jax.Array  # int [b, n]
    loss_weights: jax.Array  # float [b, n]
    example_ids: jax.Array   # int [b], numbers within the global batch: dropout is keyed by them
    sentence_target: jax.Array  # int [b]: the class of the whole row, −1 where it has none
    # Each row of a stream is one segment and then padding: known to the program, not only in the data.
    one_segment: bool = struct.field(pytree_node=False, default=False)


@dataclasses.dataclass(frozen=True)
class Reading:
    """How one vector is read off a model for a whole text, as a classifier needs it."""

    method: str               # of the model: "hidden", or "encode" for the encoder of two stacks alone
    visibility: Visibility
    pool: str                 # "mean" over the tokens, the "first" or the "last" token's state
    words: str                # for the report's table
    stacks: tuple[str, ...] = ("stack",)  # the stacks of blocks that it reads through, from the bottom


BIDIRECTIONAL_MEAN = Reading("hidden", Visibility.BIDIRECTIONAL, "mean", "bidirectional, mean over tokens")

VISIBILITY_BY_ROW = "it says token by token what is visible from everywhere; use prefix_decoder"


@dataclasses.dataclass(frozen=True)
class Architecture(Settings):
    """How a source → target example becomes streams; which objectives have a meaning; which model reads them."""

    visibility: ClassVar[Visibility]
    stacks: ClassVar[int] = 1  # 2: an encoder and a decoder that reads it
    shared_reading: ClassVar["Reading"]
    own_reading: ClassVar["Reading"]

    def refusal(self, objective) -> str | None:
        """Why this architecture cannot be trained with the objective, or None."""
        raise NotImplementedError

    def model_refusal(self, config: ModelConfig) -> str | None:
        """Why this architecture cannot have a model with these switches, or None."""

    def longest_stream(self, lengths: Lengths) -> int:
        """Length of the longest stream that examples of these lengths make."""
        raise NotImplementedError

    def layout(self, example: InPlace | SourceTarget, example_ids: np.ndarray, bos_id: int) -> Batch:
        """The example as this architecture's streams (NumPy arrays)."""
        raise NotImplementedError

    def forward_flops(self, config: ModelConfig, vocab_size: int, lengths: Lengths, loss_positions: int) -> int:
        """Closed formula for the matrix products of one example's forward pass."""
        raise NotImplementedError

    def hidden_flops(self, config: ModelConfig, lengths: Lengths) -> int:
        """What of `forward_flops` is spent on what attention may not see, by the architecture's visibility."""
        return 0

    def build(self, config: ModelConfig, vocab_size: int, dtype: str) -> nn.Module:
        """The Linen module; its `__call__(batch, visibility, train=)` gives logits at the loss positions."""
        raise NotImplementedError


def positions_within_segments(segment_ids: np.ndarray) -> np.ndarray:
    """int [b, t]: how many earlier tokens of the row belong to the same segment. A segment need not be contiguous."""
    order = np.argsort(segment_ids, axis=1, kind="stable")
    sorted_ids = np.take_along_axis(segment_ids, order, axis=1)
    index = np.broadcast_to(np.arange(segment_ids.shape[1]), segment_ids.shape)
    starts = np.concatenate([np.ones_like(sorted_ids[:, :1], bool), sorted_ids[:, 1:] != sorted_ids[:, :-1]], axis=1)
    rank = index - np.maximum.accumulate(np.where(starts, index, 0), axis=1)
    positions = np.empty(segment_ids.shape, np.int32)
    np.put_along_axis(positions, order, rank.astype(np.int32), axis=1)
    return positions


def make_stream(tokens: np.ndarray, segment_ids: np.ndarray, origin: np.ndarray, prefix: np.ndarray | None = None,
                types: np.ndarray | None = None) -> Stream:
    """A stream with its positions worked out from its segments. Types are all 0 unless given."""
    return Stream(tokens=tokens.astype(np.int32), segment_ids=segment_ids.astype(np.int32),
                  positions=positions_within_segments(segment_ids),
                  prefix=np.zeros(tokens.shape, bool) if prefix is None else prefix,
                  types=np.zeros(tokens.shape, np.int32) if types is None else types.astype(np.int32),
                  origin=origin.astype(np.int32))


def make_batch(stream: Stream, source: Stream | None, targets: np.ndarray, target_origin: np.ndarray,
               loss_weights: np.ndarray, example_ids: np.ndarray, capacity: int,
               sentence_target: np.ndarray | None = None) -> Batch:
    """The batch; where fewer than all positions can carry loss, only `capacity` of a row are kept, none dropped."""
    positions = None
    if capacity < targets.shape[1]:
        carries = loss_weights != 0
        if carries.sum(axis=1).max(initial=0) > capacity:
            raise ValueError(f"a row carries loss at more than {capacity} positions")
        positions = np.argsort(~carries, axis=1, kind="stable")[:, :capacity].astype(np.int32)
        targets, target_origin, loss_weights = (np.take_along_axis(a, positions, axis=1)
                                                for a in (targets, target_origin, loss_weights))
    return Batch(stream=stream, source=source, loss_positions=positions, targets=targets.astype(np.int32),
                 target_origin=target_origin.astype(np.int32), loss_weights=loss_weights.astype(np.float32),
                 example_ids=np.asarray(example_ids, np.int32),
                 sentence_target=np.asarray(np.full(len(targets), -1) if sentence_target is None else sentence_target,
                                            np.int32))


def in_place_batch(example: InPlace, example_ids: np.ndarray) -> Batch:
    """An in-place example is one stream as it stands."""
    stream = make_stream(example.tokens, example.segment_ids, example.origin, example.prefix, example.types)
    return make_batch(stream, None, example.targets, example.target_origin, example.loss_weights, example_ids,
                      example.capacity, example.sentence_target)


def decoder_inputs(example: SourceTarget, bos_id: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(tokens, segment ids, origin, loss weights), each [b, t]: the target moved one to the right behind a BOS.

    The BOS belongs to the first target's segment. A target whose predecessor belongs to another segment carries no
    loss: it would be predicted from a document it has nothing to do with.
    """
    def shifted(a, first):
        return np.concatenate([np.broadcast_to(first, (len(a), 1)).astype(a.dtype), a[:, :-1]], axis=1)

    segment_ids = shifted(example.target_segment_ids, example.target_segment_ids[:, :1])
    weights = example.loss_weights * (segment_ids == example.target_segment_ids)
    return shifted(example.target, bos_id), segment_ids, shifted(example.target_origin, -1), weights
