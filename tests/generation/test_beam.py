"""Beam search: its scores are likelihoods, and where every hypothesis fits in, it finds the best of all texts."""

import functools
import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from arch_zoo.generation.beam import BeamSearch, BeamSearcher
from arch_zoo.generation.writer import Writer
from tests.generation.models import (
    CONTEXTS,
    EOS,
    VOCABULARY,
    config_of,
    likelihoods_by,
    parameters_of,
    writer_of,
    writer_with,
)
from tests.toy import ORDINARY, SIZE, toy_model

PAIRS = [("decoder_only", "causal_lm"), ("prefix_decoder", "prefix_lm"), ("encoder_decoder", "translation")]
IDS = ["-".join(pair) for pair in PAIRS]
TOKENS = 7
ENDS = dict(zip(PAIRS, (2.0, 2.0, 9.5), strict=True))  # biases with which some hypotheses end and some fill up
SEARCHES = [BeamSearch(beam=3, length_penalty=0.6), BeamSearch(beam=3, length_penalty=2.0, normalise="length")]


@functools.cache
def found_by(pair, search: BeamSearch):
    return BeamSearcher(writer_of(*pair, ENDS[pair], 18), search).search(CONTEXTS, TOKENS)


def log_probabilities(pair, hypotheses_of_contexts) -> list[list[float]]:
    """By the scorer, of what was written and the end of what ended."""
    writer = writer_of(*pair, ENDS[pair], 18)
    rows = [writer.objective.conditional(context, one.tokens + [EOS] * one.ended, VOCABULARY)
            for context, hypotheses in zip(CONTEXTS, hypotheses_of_contexts, strict=True) for one in hypotheses]
    scores = iter(likelihoods_by(writer).scores(rows))
    return [[next(scores) for _ in hypotheses] for hypotheses in hypotheses_of_contexts]


@pytest.mark.parametrize(("pair", "search"), [*((pair, SEARCHES[0]) for pair in PAIRS), (PAIRS[0], SEARCHES[1])],
                         ids=[*IDS, "by length"])
def test_scores_are_likelihoods_over_the_length(pair, search):
    found = found_by(pair, search)
    for hypotheses, likelihoods in zip(found, log_probabilities(pair, found), strict=True):
        assert len(hypotheses) == 3
        assert len({tuple(one.tokens) for one in hypotheses}) == 3
        for one, nats in zip(hypotheses, likelihoods, strict=True):
            assert one.ended == (len(one.tokens) < TOKENS) or len(one.tokens) == TOKENS - 1
            n = len(one.tokens) + one.ended
            norm = ((5 + n) / 6) ** 0.6 if search.normalise == "google" else n**2
            assert one.score == pytest.approx(nats / norm, rel=1e-4)
        assert [one.score for one in hypotheses] == sorted((one.score for one in hypotheses), reverse=True)
    assert {one.ended for hypotheses in found for one in hypotheses} == {True, False}


@pytest.mark.parametrize(("normalise", "penalty", "length", "wanted"), [
    ("google", 0.0, 9, 1.0), ("google", 1.0, 1, 1.0), ("google", 1.0, 7, 2.0), ("google", 0.6, 13, 3**0.6),
    ("length", 0.0, 9, 1.0), ("length", 1.0, 7, 7.0), ("length", 0.5, 9, 3.0)])
def test_the_penalty_is_the_papers(normalise, penalty, length, wanted):
    search = BeamSearch(length_penalty=penalty, normalise=normalise)
    assert float(search.normaliser(length)) == pytest.approx(wanted)
    assert float(search.normaliser(jnp.asarray(length))) == pytest.approx(wanted)


def test_the_penalty_decides_how_long_texts_are():
    def mean_length(search):
        return np.mean([len(hypotheses[0].tokens) for hypotheses in found_by(PAIRS[0], search)])

    assert mean_length(BeamSearch(beam=3, length_penalty=0.0)) < mean_length(SEARCHES[1])


# --- against all texts there are ---------------------------------------------------------------------------------

LETTERS = [30, 31]


def with_few_tokens(writer_config, parameters):
    """The parameters with all tokens but two and EOS out of the question."""
    bias = np.full(SIZE, -1e6, np.float32)
    bias[[*LETTERS, EOS]] = 0.0, 0.3, 0.3
    return parameters | {"head": parameters["head"] | {"logits_bias": bias}}


@pytest.mark.parametrize(("pair", "search"), [
    (PAIRS[0], BeamSearch(beam=16, length_penalty=1.0)),
    (PAIRS[2], BeamSearch(beam=16, length_penalty=1.0, normalise="length"))], ids=["google", "encoder_decoder-length"])
def test_with_as_many_beams_as_texts_it_finds_the_best_of_all(pair, search):
    """Up to three tokens of two letters: 1 + 2 + 4 texts that end and 8 that do not."""
    config = config_of(*pair)
    writer = writer_with(config, with_few_tokens(config, parameters_of(config, 0.0)), 64)
    scorer = likelihoods_by(writer)
    texts = [([*letters], n < 3) for n in range(4) for letters in itertools.product(LETTERS, repeat=n)]
    found = BeamSearcher(writer, search).search(CONTEXTS[:4], 3)
    for context, hypotheses in zip(CONTEXTS[:4], found, strict=True):
        nats = scorer.scores([writer.objective.conditional(context, text + [EOS] * ended, VOCABULARY)
                              for text, ended in texts])
        scores = {tuple(text): value / float(search.normaliser(len(text) + ended))
                  for (text, ended), value in zip(texts, nats, strict=True)}
        order = sorted(scores, key=scores.get, reverse=True)
        real = [one for one in hypotheses if set(one.tokens) <= set(LETTERS)]
        assert [tuple(one.tokens) for one in real] == order
        np.testing.assert_allclose([one.score for one in real], [scores[text] for text in order], rtol=1e-4)


def test_hypotheses_that_were_never_there_are_not_found():
    """Eight beams of a vocabulary that at first has fewer tokens than twice that."""
    config = config_of("decoder_only", "causal_lm")
    few = dict(parameters_of(config, 0.0))
    few["embedding"] = {"token_embedding": few["embedding"]["token_embedding"][:5]}
    few["head"] = {"output_embedding": few["head"]["output_embedding"][:5], "logits_bias": np.zeros(5, np.float32)}
    model = toy_model(config).clone(vocab_size=5)
    writer = Writer(config.objective, config.model.architecture, model, few, VOCABULARY)
    search = BeamSearch(beam=8, length_penalty=2.0, normalise="length")  # which lifts what was never there, too
    hypotheses = BeamSearcher(writer, search).search([[2, 4]], 2)[0]
    assert len({(*one.tokens, one.ended) for one in hypotheses}) == len(hypotheses) == 8
    assert all(one.score > -100 for one in hypotheses)


# --- greedy ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("pair", "penalty"), [(PAIRS[0], 0.0), (PAIRS[2], 2.0)], ids=["no penalty", "penalty"])
def test_one_beam_is_greedy(pair, penalty):
    found = found_by(pair, BeamSearch(beam=1, length_penalty=penalty))
    assert [hypotheses[0].tokens for hypotheses in found] == writer_of(*pair, ENDS[pair], 18).write(CONTEXTS, TOKENS)
    assert {hypotheses[0].ended for hypotheses in found} == {True, False}


def test_more_beams_find_likelier_texts():
    """Together; of a single context nobody can promise it."""
    best = [np.sum([hypotheses[0].score for hypotheses in found_by(PAIRS[0], BeamSearch(beam=k, length_penalty=0.0))])
            for k in (1, 3, 9)]
    assert best[0] < best[1] <= best[2]


# --- company -----------------------------------------------------------------------------------------------------

def test_company_and_batch_size_change_nothing():
    search = SEARCHES[0]
    together = found_by(PAIRS[0], search)
    done: list[int] = []
    small = BeamSearcher(writer_of(*PAIRS[0], 2.0, 6), search).search(CONTEXTS, TOKENS, done.append)
    assert done == [2, 4, 6]
    alone = BeamSearcher(writer_of(*PAIRS[0], 2.0, 18), search).search(CONTEXTS[:1], TOKENS)
    for one, other in zip([*small, *alone], [*together, together[0]], strict=True):
        assert [(h.tokens, h.ended) for h in one] == [(h.tokens, h.ended) for h in other]
        np.testing.assert_allclose([h.score for h in one], [h.score for h in other], rtol=1e-4)


def test_a_span_also_ends_at_its_sentinel():
    config = config_of("encoder_decoder", "span_corruption")
    writer = writer_with(config, parameters_of(config, 8.0, VOCABULARY.sentinel_ids[1]), 18)
    found = BeamSearcher(writer, SEARCHES[0]).search(CONTEXTS, TOKENS)
    assert any(h.ended for hypotheses in found for h in hypotheses)
    assert all(VOCABULARY.sentinel_ids[1] not in h.tokens for hypotheses in found for h in hypotheses)
    scorer = likelihoods_by(writer)
    for context, hypotheses in zip(CONTEXTS, found, strict=True):
        one, n = hypotheses[0], len(hypotheses[0].tokens) + hypotheses[0].ended
        ends = writer.ends if one.ended else (ORDINARY,)
        nats = scorer.scores([writer.objective.conditional(context, one.tokens + [end] * one.ended, VOCABULARY)
                              for end in ends])
        assert np.isclose(nats / ((5 + n) / 6) ** 0.6, one.score, rtol=1e-4).any()
