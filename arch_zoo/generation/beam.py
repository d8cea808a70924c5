"""Beam search: the most probable continuations, as far as keeping a few at a time finds them."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from arch_zoo.generation.writer import Writer, Writing, read_token
from arch_zoo.layers.cache import Cache
from arch_zoo.settings import Settings, setting

_NEVER = -1e9  # the score of what is not there
_LEAST = _NEVER / 2  # below all others


@dataclasses.dataclass(frozen=True)
class BeamSearch(Settings):
    """How many hypotheses are kept, and how their lengths weigh."""

    beam: int = setting(4, "hypotheses kept at each step; 1: greedy, it stops at the first end", low=1)
    length_penalty: float = setting(0.6, "α; 0: the log-probability alone, which favours short texts", low=0.0)
    normalise: Literal["google", "length"] = setting("google", "log-probability over ((5 + n) / 6)^α (Wu et al. 2016, "
                                                               "equation 14), or over n^α; n counts the end")

    def normaliser(self, length: jax.Array | int) -> jax.Array:
        """What the log-probability of so many tokens is divided by."""
        base = (5.0 + length) / 6.0 if self.normalise == "google" else jnp.asarray(length, jnp.float32)
        return base ** self.length_penalty


@dataclasses.dataclass(frozen=True)
class Hypothesis:
    """A continuation without the token that ends it, its score, and whether it ended by itself."""

    tokens: list[int]
    score: float
    ended: bool


@struct.dataclass
class _Beams:
    """k hypotheses that go on, best first, and the k best that have ended, of each of b prompts, of up to n tokens."""

    cache: Cache            # of b · k rows
    logits_bkv: jax.Array
    position_b: jax.Array
    scores_bk: jax.Array    # log-probabilities
    tokens_bkn: jax.Array
    ended_scores_bk: jax.Array  # normalised
    ended_tokens_bkn: jax.Array
    step: jax.Array


class BeamSearcher:
    """Beam search by a writer. A search ends when no hypothesis that goes on can still, at any length up to the most
    that is asked for, beat the worst of those that have ended; that of a single hypothesis when it has ended. What has
    not ended at that length takes its place among the others by the score it has.
    """

    def __init__(self, writer: Writer, config: BeamSearch):
        self.writer, self.config = writer, config
        self._run = jax.jit(functools.partial(_run, writer, config))

    def search(self, contexts: Sequence[Sequence[int]], max_tokens: int,
               progress: Callable[[int], None] = lambda done: None) -> list[list[Hypothesis]]:
        """The best hypotheses behind each context, best first. `progress` is told how many contexts are done."""
        found: list[list[Hypothesis]] = [[] for _ in contexts]
        order = sorted(range(len(contexts)), key=lambda i: len(contexts[i]))
        prompts = max(1, self.writer.rows // self.config.beam) if len(order) > 1 else 1
        for start in range(0, len(order), prompts):
            group = order[start:start + prompts]
            begun = self.writer.begin([contexts[i] for i in group], max_tokens, prompts)
            scores_bk, tokens_bkn = map(np.asarray, self._run(self.writer.parameters_by_block, begun))
            for i, scores, tokens in zip(group, scores_bk, tokens_bkn, strict=False):
                found[i] = [_hypothesis(row, score, self.writer.ends) for row, score in
                            zip(tokens, scores, strict=True) if score > _LEAST]
            progress(start + len(group))
        return found


def _hypothesis(row: np.ndarray, score: float, ends: Sequence[int]) -> Hypothesis:
    found = np.flatnonzero(np.isin(row, ends))
    return Hypothesis(row[:found[0] if len(found) else None].tolist(), float(score), bool(len(found)))


def _run(writer: Writer, config: BeamSearch, parameters: Any, begun: Writing) -> tuple[jax.Array, jax.Array]:
    """(scores [b, k], tokens [b, k, n]) of the best, best first."""
    k, (b, n) = config.beam, begun.tokens_bn.shape
    alone_k = jnp.where(jnp.arange(k) == 0, 0.0, _NEVER)  # in the beginning all are the same
    rows = jax.tree.map(lambda x: jnp.repeat(x, k, axis=0) if x.ndim else x, begun.cache)
    nothing_bkn = jnp.full((b, k, n), writer.vocabulary.pad_id)
    beams = _Beams(rows, jnp.repeat(begun.logits_bv[:, None], k, axis=1), begun.position_b,
                   jnp.broadcast_to(alone_k, (b, k)), nothing_bkn, jnp.full((b, k), _NEVER), nothing_bkn, begun.step)

    def goes_on(s: _Beams) -> jax.Array:
        return (s.step < n) & _open(config, s).any()

    end = jax.lax.while_loop(goes_on, functools.partial(_step, writer, config, parameters), beams)
    return end.ended_scores_bk, end.ended_tokens_bkn


def _open(config: BeamSearch, s: _Beams) -> jax.Array:
    """bool [b]: whether what is written from here on can still take a place among the ended."""
    worst_b = s.ended_scores_bk.min(axis=1)
    if config.beam == 1:
        return worst_b < _LEAST
    # Lengths only make the normaliser grow, and log-probabilities are below 0.
    return s.scores_bk[:, 0] / config.normaliser(s.tokens_bkn.shape[2]) > worst_b


def _step(writer: Writer, config: BeamSearch, parameters: Any, s: _Beams) -> _Beams:
    b, k, n = s.tokens_bkn.shape
    v = s.logits_bkv.shape[2]
    totals_bkv = s.scores_bk[:, :, None] + jax.nn.log_softmax(s.logits_bkv, axis=2)
    # So many that k of them go on, each hypothesis having as many ends as there are.
    scores_bc, flat_bc = jax.lax.top_k(totals_bkv.reshape(b, k * v), k * (1 + len(writer.ends)))
    parent_bc, token_bc = flat_bc // v, flat_bc % v
    tokens_bcn = jax.lax.dynamic_update_slice(jnp.take_along_axis(s.tokens_bkn, parent_bc[:, :, None], axis=1),
                                              token_bc[:, :, None], (0, 0, s.step))
    ends_bc = jnp.isin(token_bc, jnp.asarray(writer.ends)) | (s.step + 1 == n)

    # Those that end, if they are among the k best of all, take their place among the ended.
    joins_bc = ends_bc & (jnp.arange(scores_bc.shape[1]) < k) & (scores_bc > _LEAST) & _open(config, s)[:, None]
    new_bc = jnp.where(joins_bc, scores_bc / config.normaliser(s.step + 1), _NEVER)
    ended_scores_bk, which_bk = jax.lax.top_k(jnp.concatenate([s.ended_scores_bk, new_bc], axis=1), k)
    both_bmn = jnp.concatenate([s.ended_tokens_bkn, tokens_bcn], axis=1)
    ended_tokens_bkn = jnp.take_along_axis(both_bmn, which_bk[:, :, None], axis=1)

    # The k best of the others go on.
    scores_bk, which_bk = jax.lax.top_k(jnp.where(ends_bc, _NEVER, scores_bc), k)
    pick = functools.partial(jnp.take_along_axis, indices=which_bk, axis=1)
    parent_bk, token_bk = pick(parent_bc), pick(token_bc)
    rows = (jnp.arange(b)[:, None] * k + parent_bk).reshape(-1)
    cache, logits = read_token(writer.model, parameters, writer.architecture, _chosen(s.cache, rows),
                               token_bk.reshape(-1), jnp.repeat(s.position_b, k))
    return _Beams(cache, logits.reshape(b, k, v), s.position_b + 1, scores_bk,
                  jnp.take_along_axis(tokens_bcn, which_bk[:, :, None], axis=1), ended_scores_bk, ended_tokens_bkn,
                  s.step + 1)


def _chosen(cache: Cache, rows: jax.Array) -> Cache:
    """The rows' caches in another order. Beams of a prompt differ in what was written, not in what the encoder read."""
    own = [{**past, "attention": jax.tree.map(lambda x: x[rows], past["attention"])} for past in cache.blocks]
    return cache.replace(blocks=tuple(own))
