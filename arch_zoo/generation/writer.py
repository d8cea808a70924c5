"""Writes on behind prompts, token by token, by sampling."""

import dataclasses
import functools
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from arch_zoo.data.tokenizers import Vocabulary
from arch_zoo.generation.prompts import longest, prompt_batch
from arch_zoo.generation.sampling import Sampling
from arch_zoo.layers.cache import Cache
from arch_zoo.layers.stack import unstacked
from arch_zoo.models.architecture import Architecture, Batch, Stream
from arch_zoo.objectives.base import Objective, Undefined
from arch_zoo.objectives.rows import longest_stream, require_length

_STEPS = 16  # tokens that are written before the program looks up


@struct.dataclass
class Writing:
    """Rows that are being written: b rows, room for n tokens."""

    cache: Cache
    logits_bv: jax.Array    # of the next token
    position_b: jax.Array   # where it will stand in its segment
    tokens_bn: jax.Array    # what has been written, padding after it
    seen_bv: jax.Array      # bool: tokens of the prompt's stream, or written
    done_b: jax.Array       # bool
    row_ids_b: jax.Array    # what draws are keyed by
    step: jax.Array         # int []: tokens written


@dataclasses.dataclass
class Writer:
    """A trained model that writes. What it is given and gives are token ids; neither batch size nor padding matter."""

    objective: Objective
    architecture: Architecture
    model: nn.Module
    parameters: Any
    vocabulary: Vocabulary
    rows: int = 16  # written at a time

    def __post_init__(self):
        self.ends = self.objective.ends(self.vocabulary)
        self.parameters_by_block = unstacked(self.parameters)
        self._begin = jax.jit(self._begun, static_argnames="room")
        self._advance = jax.jit(self._advanced, static_argnames=("sampling", "steps"), donate_argnames="writing")

    def write(self, contexts: Sequence[Sequence[int]], max_tokens: int, sampling: Sampling | None = None,
              stop_ids: Collection[int] = (),
              finished: Callable[[int, list[int]], bool] | None = None) -> list[list[int]]:
        """What comes after each context: at most so many tokens, up to one that ends the text or is among `stop_ids`,
        which is left out.

        `finished` may end a row earlier: every few tokens it is shown the context's number and what has been written
        behind it. Undefined where the objective cannot write or a stream would be too long for the model.
        """
        written: list[list[int]] = [[] for _ in contexts]
        order = sorted(range(len(contexts)), key=lambda i: len(contexts[i]))
        for start in range(0, len(order), self.rows):
            group = order[start:start + self.rows]
            for tokens in self._stream([contexts[i] for i in group], group, max_tokens, sampling or Sampling(),
                                       stop_ids, finished, _STEPS):
                for i, row in zip(group, tokens, strict=True):
                    written[i] = row
        return written

    def stream(self, context: Sequence[int], max_tokens: int, sampling: Sampling | None = None,
               stop_ids: Collection[int] = ()) -> Iterator[list[int]]:
        """What has been written so far, after every token."""
        for tokens in self._stream([context], [0], max_tokens, sampling or Sampling(), stop_ids, None, 1):
            yield tokens[0]

    def fitted(self, context: Sequence[int], max_tokens: int) -> Sequence[int]:
        """The end of a context behind which there is room for so many tokens; Undefined where there never is."""
        limit = longest_stream(self.model)
        if limit is None:
            return context
        if max_tokens >= limit:
            raise Undefined(f"{max_tokens} tokens to be written leave no room for a prompt in the {limit} that the "
                            f"model has positions for")
        while True:
            batch = prompt_batch(self.objective, self.architecture, self.vocabulary, [context])
            excess = _longest(batch, max_tokens) - limit
            if excess <= 0 or not context:
                return context
            context = context[excess:]

    def begin(self, contexts: Sequence[Sequence[int]], max_tokens: int, fill_to: int) -> Writing:
        """Rows whose prompts have been read; the first is repeated up to `fill_to` rows."""
        batch = prompt_batch(self.objective, self.architecture, self.vocabulary, contexts)
        require_length(self.model, _longest(batch, max_tokens))
        rows = np.r_[np.arange(len(contexts)), np.zeros(fill_to - len(contexts), int)]
        return self._begin(self.parameters_by_block, jax.tree.map(lambda x: x[rows], batch), room=max_tokens)

    def _stream(self, contexts, row_ids, max_tokens, sampling, stop_ids, finished, steps):
        writing = self.begin(contexts, max_tokens, self.rows if len(contexts) > 1 else 1)
        filled = len(writing.done_b) - len(contexts)
        real_b = np.arange(len(writing.done_b)) < len(contexts)
        writing = writing.replace(row_ids_b=jnp.asarray([*row_ids, *[0] * filled]), done_b=jnp.asarray(~real_b))
        stops = jnp.asarray(sorted({*self.ends, *stop_ids}))
        while True:
            writing = self._advance(self.parameters_by_block, writing, stops, sampling=sampling, steps=steps)
            count = int(writing.step)
            tokens = [self._until_stop(row[:count], stops) for row in np.asarray(writing.tokens_bn)[real_b]]
            done = np.asarray(writing.done_b).copy()
            if finished is not None:
                done[real_b] |= [finished(i, row) for i, row in zip(row_ids, tokens, strict=True)]
                writing = writing.replace(done_b=jnp.asarray(done))
            yield tokens
            if done.all() or count >= max_tokens:
                return

    @staticmethod
    def _until_stop(row: np.ndarray, stops: jax.Array) -> list[int]:
        ends = np.flatnonzero(np.isin(row, np.asarray(stops)))
        return row[:ends[0] if len(ends) else None].tolist()

    # --- pure functions of the parameters ------------------------------------------------------------------------

    def _begun(self, parameters: Any, batch: Batch, room: int) -> Writing:
        apply = functools.partial(self.model.apply, {"params": parameters})
        rows, length = batch.stream.tokens.shape
        real_bt = batch.stream.segment_ids != 0
        cache = apply(batch, length + room, method="begin")
        hidden_btd, cache = apply(batch.stream, cache, self.architecture.visibility, method="extend")
        logits_bv = apply(hidden_btd[:, -1], method="logits")
        index_b1 = jnp.arange(rows)[:, None]
        seen_bv = jnp.zeros(logits_bv.shape, bool).at[index_b1, batch.stream.tokens].max(real_bt)
        return Writing(cache, logits_bv, real_bt.sum(axis=1), jnp.full((rows, room), self.vocabulary.pad_id), seen_bv,
                       jnp.zeros(rows, bool), jnp.arange(rows), jnp.zeros((), jnp.int32))

    def _advanced(self, parameters: Any, writing: Writing, stops: jax.Array, *, sampling: Sampling,
                  steps: int) -> Writing:
        """At most so many tokens more, while a row is not done and there is room."""
        end = jnp.minimum(writing.step + steps, writing.tokens_bn.shape[1])

        def one(w: Writing) -> Writing:
            token_b = sampling.choose(w.logits_bv, w.seen_bv, w.row_ids_b, w.step)
            token_b = jnp.where(w.done_b, self.vocabulary.pad_id, token_b)
            tokens_bn = jax.lax.dynamic_update_slice(w.tokens_bn, token_b[:, None], (0, w.step))
            seen_bv = w.seen_bv.at[jnp.arange(len(token_b)), token_b].set(True)
            cache, logits_bv = read_token(self.model, parameters, self.architecture, w.cache, token_b, w.position_b)
            return Writing(cache, logits_bv, w.position_b + 1, tokens_bn, seen_bv,
                           w.done_b | jnp.isin(token_b, stops), w.row_ids_b, w.step + 1)

        return jax.lax.while_loop(lambda w: (w.step < end) & ~w.done_b.all(), one, writing)


def _longest(batch: Batch, max_tokens: int) -> int:
    """The tokens of the longest stream, once so many have been written behind the prompts."""
    return max(longest(batch.source), longest(batch.stream) + max_tokens)


def read_token(model: nn.Module, parameters: Any, architecture: Architecture, cache: Cache, token_b: jax.Array,
               position_b: jax.Array) -> tuple[Cache, jax.Array]:
    """(cache, logits [b, v] of the next token) after one token more in each row."""
    apply, token_b1 = functools.partial(model.apply, {"params": parameters}), token_b[:, None]
    nothing = jnp.zeros_like(token_b1)
    stream = Stream(tokens=token_b1, segment_ids=nothing + 1, positions=position_b[:, None],
                    prefix=nothing.astype(bool), types=nothing, origin=nothing - 1)
    hidden_b1d, cache = apply(stream, cache, architecture.visibility, method="extend")
    return cache, apply(hidden_b1d[:, 0], method="logits")
