"""Scores equal a slow computation written out for each objective, whatever they are batched and padded with."""

import copy
import functools

import jax
import numpy as np
import pytest

from arch_zoo.evaluation.likelihood import Scorer
from arch_zoo.layers.visibility import Visibility
from arch_zoo.models.architecture import make_batch, make_stream
from arch_zoo.objectives import Undefined
from tests.evaluation.toy_text import noisy_parameters
from tests.toy import ORDINARY, SIZE, plain_pairs, tiny_config, toy_model, toy_vocabulary

PAIRS = plain_pairs()
IDS = ["-".join(pair) for pair in PAIRS]
BOS, EOS, MASK = 2, 3, 4
FIRST, SECOND = 5, 6  # sentinels
VOCABULARY = toy_vocabulary()


def sentences(lengths=((2, 6), (0, 8), (2, 6), (40, 6))) -> list[tuple[list[int], list[int]]]:
    """(context, continuation) of random words of two tokens, the first a multiple of 3; three are as long."""
    rng = np.random.default_rng(0)

    def text(n):
        begin, follow = 3 * rng.integers(ORDINARY // 3, SIZE // 3, n), rng.integers(0, 2, n)
        return np.where(np.arange(n) % 2, begin + 1 + follow, begin).tolist()

    return [(text(context), text(continuation)) for context, continuation in lengths]


def config_of(architecture, objective, **changes):
    """Two blocks, for in one a prefix that sees itself and one that does not look the same to what follows."""
    return tiny_config(**{"model__position": "rotary", "model__scan": True, "model__tied_embeddings": False,
                          "data__length": 16, "model__architecture": architecture, "objective": objective, **changes})


@functools.cache
def trained(architecture, objective):
    """(config, model, parameters), as if trained."""
    config = config_of(architecture, objective)
    return config, toy_model(config), noisy_parameters(config)


@functools.cache
def scorer_of(architecture, objective) -> Scorer:
    config, model, parameters = trained(architecture, objective)
    return Scorer(config.model.architecture, model, parameters, VOCABULARY)


def items_of(objective, route, pairs):
    return [getattr(objective, route)(context, continuation, VOCABULARY) for context, continuation in pairs]


# --- the slow computation: one unpadded sequence at a time, written without the objectives ------------------------

@functools.cache
def all_logits(architecture, objective):
    config, model, parameters = trained(architecture, objective)
    return jax.jit(lambda batch: model.apply({"params": parameters}, batch, config.model.architecture.visibility,
                                             train=False)[0])


def log_probability(architecture, objective, stream, wanted, prefix=0, source=None) -> float:
    """log p of the tokens `wanted` = {position: token} from a stream; its first `prefix` tokens are its prefix."""
    def streams(ids):
        tokens = np.array([ids])
        return make_stream(tokens, np.ones_like(tokens), tokens, np.arange(len(ids))[None] < prefix)

    here = streams(stream)
    batch = make_batch(here, None if source is None else streams(source), here.tokens, here.tokens,
                       np.ones(here.tokens.shape), np.zeros(1), len(stream))
    log_p = jax.nn.log_softmax(np.asarray(all_logits(architecture, objective)(batch), np.float64), axis=-1)
    return float(sum(log_p[position, token] for position, token in wanted.items()))


def written_after(architecture, objective, source, target, scored) -> float:
    """log p of the `scored` positions of a target that is written after a source."""
    shifted = [BOS, *target[:-1]]
    if architecture == "encoder_decoder":
        return log_probability(architecture, objective, shifted, {i: target[i] for i in scored}, source=source)
    n = len(source)
    return log_probability(architecture, objective, [*source, *shifted], {n + i: target[i] for i in scored}, prefix=n)


def slow_causal_lm(architecture, context, continuation, objective="causal_lm"):
    stream = [BOS, *context, *continuation]
    first = 1 + len(context)
    return log_probability(architecture, objective, stream[:-1],
                           {i - 1: stream[i] for i in range(first, len(stream))})


def slow_prefix_lm(architecture, context, continuation):
    return written_after(architecture, "prefix_lm", [BOS, *context], continuation, range(len(continuation)))


def slow_masked_lm(architecture, context, continuation, objective="masked_lm", early=0):
    whole, total = [BOS, *context, *continuation, EOS], 0.0
    for i in range(1 + len(context), len(whole) - 1):
        total += log_probability(architecture, objective, [*whole[:i], MASK, *whole[i + 1:]], {i - early: whole[i]})
    return total


def slow_span_corruption(architecture, context, continuation):
    total, start = 0.0, 0
    while start < len(continuation):
        end = start + 1
        while end < len(continuation) and continuation[end] % 3 != 0:  # every third piece begins a word
            end += 1
        source = [BOS, *context, *continuation[:start], FIRST, *continuation[end:], EOS]
        target = [FIRST, *continuation[start:end], SECOND]
        total += written_after(architecture, "span_corruption", source, target, range(1, 1 + end - start))
        start = end
    return total


SLOW = {"causal_lm": slow_causal_lm, "prefix_lm": slow_prefix_lm, "masked_lm": slow_masked_lm,
        "masked_diffusion": functools.partial(slow_masked_lm, objective="masked_diffusion"),
        "masked_next_token": functools.partial(slow_masked_lm, objective="masked_next_token", early=1),
        "multi_token": functools.partial(slow_causal_lm, objective="multi_token"),
        "span_corruption": slow_span_corruption}


@pytest.mark.parametrize(("architecture", "objective"), PAIRS, ids=IDS)
def test_scores_are_those_of_each_sequence_alone(architecture, objective):
    pairs = sentences()[:3]
    config = trained(architecture, objective)[0]
    scores = scorer_of(architecture, objective).scores(items_of(config.objective, "plausibility", pairs))
    slow = [SLOW[objective](architecture, *pair) for pair in pairs]
    np.testing.assert_allclose(scores, slow, rtol=2e-5)
    assert np.abs(np.diff(slow)).min() > 0.01  # sentences are told apart
    other = [SLOW[objective](architecture, context[::-1], continuation) for context, continuation in pairs[:1]]
    assert abs(other[0] - scores[0]) > 1e-3  # and the context counts


@pytest.mark.parametrize("architecture", ["decoder_only", "prefix_decoder", "encoder_decoder"])
def test_span_corruption_writes_a_continuation_as_the_span_missing_at_the_end(architecture):
    pairs = sentences()[:1]
    config = trained(architecture, "span_corruption")[0]
    score = scorer_of(architecture, "span_corruption").scores(items_of(config.objective, "conditional", pairs))[0]
    context, continuation = pairs[0]
    slow = written_after(architecture, "span_corruption", [BOS, *context, FIRST], [FIRST, *continuation],
                         range(1, 1 + len(continuation)))
    assert score == pytest.approx(slow, rel=2e-5)


@pytest.mark.parametrize(("architecture", "objective"), [("decoder_only", "causal_lm"),
                                                         ("encoder_decoder", "prefix_lm")])
def test_greedy_is_told_of_all_tokens(architecture, objective):
    """A text written greedily token by token is greedy; with another token anywhere in it, it is not."""
    config, _, _ = trained(architecture, objective)
    scorer, context, text = scorer_of(architecture, objective), [30, 31, 33], []
    for _ in range(3):
        alternatives = [[*text, token] for token in range(SIZE)]
        found = scorer.scored(items_of(config.objective, "conditional", [(context, a) for a in alternatives]), True)
        assert found.greedy.sum() == 1 and found.greedy.argmax() == found.nats.argmax()
        text = alternatives[int(found.greedy.argmax())]
    for place in range(3):
        other = [*text[:place], (text[place] + 1) % SIZE, *text[place + 1:]]
        assert not scorer.scored(items_of(config.objective, "conditional", [(context, other)]), True).greedy[0]


@pytest.mark.parametrize("objective", ["masked_lm", "masked_next_token"])
def test_within_words_later_tokens_of_the_word_are_masked_too(objective):
    """Words have two tokens here, the second of which is seen as in the original; the first is not."""
    early = objective == "masked_next_token"
    config, pairs = trained("encoder_only", objective)[0], sentences()[:2]
    assert "later ones of its word" in config.objective.within_words_route
    scores = scorer_of("encoder_only", objective).scores(items_of(config.objective, "plausibility_within_words", pairs))
    slow = []
    for context, continuation in pairs:
        whole, total = [BOS, *context, *continuation, EOS], 0.0
        for i in range(1 + len(context), len(whole) - 1):
            begins = (i - 1 - len(context)) % 2 == 0
            seen = [*whole[:i], MASK, *([MASK] if begins else []), *whole[i + 1 + begins:]]
            total += log_probability("encoder_only", objective, seen, {i - early: whole[i]})
        slow.append(total)
    np.testing.assert_allclose(scores, slow, rtol=2e-5)
    original = scorer_of("encoder_only", objective).scores(items_of(config.objective, "plausibility", pairs))
    assert np.abs(original - scores).min() > 1e-3


def test_an_objective_that_writes_words_has_one_form():
    objective = trained("encoder_decoder", "span_corruption")[0].objective
    first, second = (items_of(objective, route, sentences()[:1])[0]
                     for route in ("plausibility", "plausibility_within_words"))
    assert [row.target.tolist() for row in first] == [row.target.tolist() for row in second]
    assert objective.within_words_route == objective.plausibility_route


def test_no_item_no_score_and_no_row_no_probability():
    scorer = scorer_of("decoder_only", "causal_lm")
    assert scorer.scores([]).shape == (0,)
    assert scorer.scores([[]]).tolist() == [0.0]


@pytest.mark.parametrize(("architecture", "objective"), PAIRS, ids=IDS)
def test_a_head_of_zeros_gives_each_token_one_in_the_vocabulary(architecture, objective):
    config, _, parameters = trained(architecture, objective)
    scorer, pairs = copy.copy(scorer_of(architecture, objective)), sentences()[:3]
    scorer.parameters = parameters | {"head": jax.tree.map(np.zeros_like, parameters["head"])}
    scores = scorer.scores(items_of(config.objective, "plausibility", pairs))
    np.testing.assert_allclose(scores, [-len(continuation) * np.log(SIZE) for _, continuation in pairs], rtol=1e-6)


def test_a_masked_lm_has_no_left_to_right_likelihood():
    config = trained("encoder_only", "masked_lm")[0]
    with pytest.raises(Undefined, match="no left-to-right likelihood"):
        config.objective.conditional([30], [31], VOCABULARY)


@pytest.mark.parametrize(("architecture", "objective", "longest"), [
    ("decoder_only", "causal_lm", 46), ("prefix_decoder", "prefix_lm", 47), ("encoder_decoder", "prefix_lm", 40),
    ("encoder_only", "masked_lm", 48)])
def test_what_learned_positions_cannot_tell_apart_is_undefined(architecture, objective, longest):
    """A context of 39 and a continuation of 7 are one stream in a decoder, and two shorter ones in two stacks."""
    pair = (list(range(21, 60)), list(range(21, 28)))
    enough, less = (config_of(architecture, objective, model__position="learned", model__max_len=longest - short)
                    for short in (0, 1))
    items = items_of(enough.objective, "plausibility", [pair])
    architecture, parameters = enough.model.architecture, noisy_parameters(enough)
    assert np.isfinite(Scorer(architecture, toy_model(enough), parameters, VOCABULARY).scores(items)).all()
    with pytest.raises(Undefined, match=f"stream of {longest} tokens is longer than model.max_len={longest - 1}"):
        Scorer(architecture, toy_model(less), parameters, VOCABULARY).scores(items)


def test_another_visibility_would_be_seen():
    """The negative control of the slow computation: read causally, a prefix decoder gives other scores."""
    config, model, parameters = trained("prefix_decoder", "prefix_lm")
    items = items_of(config.objective, "plausibility", sentences()[:1])
    right = scorer_of("prefix_decoder", "prefix_lm").scores(items)
    causal = Scorer(config_of("decoder_only", "prefix_lm").model.architecture, model, parameters, VOCABULARY)
    assert config.model.architecture.visibility is Visibility.PREFIX
    assert np.abs(causal.scores(items) - right).min() > 1e-2
