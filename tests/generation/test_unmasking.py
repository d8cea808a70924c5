"""Masked models fill in gaps: in the order of their sureness, never with a special token, and right once they know."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from arch_zoo.examples import Window
from arch_zoo.generation.sampling import Sampling
from arch_zoo.generation.unmasking import Filler, Unmasking
from arch_zoo.objectives.base import Seeds, Undefined
from arch_zoo.objectives.rows import Shape, collate
from arch_zoo.training.optimizers import make_optimizer
from arch_zoo.training.state import initialise
from arch_zoo.training.step import make_train_step
from tests.evaluation.toy_text import noisy_parameters
from tests.toy import ORDINARY, SIZE, tiny_config, toy_model, toy_vocabulary

VOCABULARY = toy_vocabulary()
BOS, EOS, MASK = VOCABULARY.bos_id, VOCABULARY.eos_id, VOCABULARY.mask_id
LENGTH = 15


def text_from(first: int) -> list[int]:
    """Tokens that count up, as far as there are any: each one says where all the others stand."""
    return [ORDINARY + (first + i) % (SIZE - ORDINARY) for i in range(LENGTH - 2)]


def config_of(objective: str):
    return tiny_config(model__architecture="encoder_only", model__position="learned", objective=objective,
                       objective__rate=0.3, model__width=32, data__length=LENGTH, batch_size=16, steps=300,
                       model__max_len=24, model__logits_bias=True)


_compiled: dict = {}


def filler_of(objective: str, parameters) -> Filler:
    """Of a model one program serves all weights and objectives."""
    config = config_of(objective)
    filler = Filler(config.objective, config.model.architecture, toy_model(config), parameters, VOCABULARY, 3)
    filler._guess = _compiled.setdefault(filler.model, filler._guess)
    return filler


def window_of(firsts: np.ndarray) -> Window:
    tokens = np.array([[BOS, *text_from(first), EOS, BOS] for first in firsts], np.int32)
    index = firsts.astype(np.int64)
    segment_ids = np.ones_like(tokens)
    segment_ids[:, -1] = 2
    return Window(tokens=tokens, segment_ids=segment_ids, index=index, place=index, visit=np.zeros_like(index),
                  elsewhere=None)


@functools.cache
def trained(objective: str) -> Filler:
    """A model that has learnt to count from one of three numbers."""
    config = config_of(objective)
    model, optimizer = toy_model(config), make_optimizer(config.optimizer, config.steps)
    visibility, rows = config.model.architecture.visibility, np.arange(config.batch_size)
    batches = []
    for step in range(25):
        window = dataclasses.replace(window_of(rows % 3), index=step * 100 + rows)
        example = config.objective.prepare(window, VOCABULARY, Seeds(0))
        batches.append(config.model.architecture.layout(example, rows, BOS))
    batches = jax.tree.map(lambda *parts: np.stack(parts), *batches)
    step = make_train_step(config.objective, model, visibility, optimizer, seed=0, accumulate=1)

    @jax.jit
    def learn(batches):
        state = initialise(model, optimizer, jax.tree.map(lambda x: x[0], batches), visibility, 0)

        def epoch(state, _):
            return jax.lax.scan(lambda s, b: (step(s, b)[0], None), state, batches)[0], None

        return jax.lax.scan(epoch, state, length=12)[0].parameters

    return filler_of(objective, learn(batches))


@functools.cache
def noisy(objective: str = "masked_lm") -> Filler:
    return filler_of(objective, noisy_parameters(config_of(objective)))


def with_gaps(text: list[int], places: list[int]) -> list[int]:
    return [MASK if i in places else token for i, token in enumerate(text)]


GAPS = [[4], [0, 7], [5, 6, 7], [12], [1, 3, 8, 10, 11]]


@pytest.mark.parametrize("objective", ["masked_lm", "masked_next_token"])
@pytest.mark.parametrize("passes", [0, 1, 2])
def test_what_was_learnt_is_filled_in(objective, passes):
    texts = [text_from(first % 3) for first in range(len(GAPS))]
    found = trained(objective).fill([with_gaps(*pair) for pair in zip(texts, GAPS, strict=True)], Unmasking(passes))
    assert found == texts


def test_an_untrained_model_fills_in_something_else():
    """The negative control."""
    texts = [text_from(first % 3) for first in range(len(GAPS))]
    assert noisy().fill([with_gaps(*pair) for pair in zip(texts, GAPS, strict=True)]) != texts


# --- the order, against a loop over one text ---------------------------------------------------------------------

@functools.partial(jax.jit, static_argnums=(0, 1))
def whole_model(model, visibility, parameters, batch):
    return model.apply({"params": parameters}, batch, visibility, train=False)


def slowly_filled(objective: str, text: list[int], passes: int) -> list[int]:
    """One text, the whole model for each pass; where a model reads one place early, the logits stand one place early.
    """
    filler, text, early = noisy(objective), list(text), objective == "masked_next_token"
    passes = min(passes or text.count(MASK), text.count(MASK))
    for number in range(passes):
        whole = np.array([[BOS, *text, EOS]])
        row, = filler.objective.scoring_rows(whole, whole, whole == MASK)
        batch = filler.architecture.layout(collate([row], Shape(0, 20, 20), 1), np.zeros(1, int), BOS)
        logits = np.array(whole_model(filler.model, filler.architecture.visibility, filler.parameters, batch))[0]
        logits[:, VOCABULARY.is_special] = -np.inf
        probabilities = np.asarray(jax.nn.softmax(logits, axis=1))
        gaps = [i for i, token in enumerate(text) if token == MASK]
        sure = {i: probabilities[1 + i - early].max() for i in gaps}
        for i in sorted(gaps, key=lambda i: -sure[i])[:-(-len(gaps) // (passes - number))]:
            text[i] = int(probabilities[1 + i - early].argmax())
    return text


@pytest.mark.parametrize("objective", ["masked_lm", "masked_next_token"])
@pytest.mark.parametrize("passes", [0, 2, 9])
def test_the_surest_come_first_and_are_seen_by_the_others(objective, passes):
    texts = [with_gaps(text_from(n), places) for n, places in enumerate(GAPS)]
    wanted = [slowly_filled(objective, text, passes) for text in texts]
    assert noisy(objective).fill(texts, Unmasking(passes)) == wanted


def test_passes_bite():
    texts = [with_gaps(text_from(n), list(range(2, 10))) for n in range(3)]
    assert noisy().fill(texts, Unmasking(1)) != noisy().fill(texts, Unmasking(0))


# --- what a gap can hold -----------------------------------------------------------------------------------------

def test_special_tokens_are_never_filled_in():
    filler = noisy()
    bias = np.where(VOCABULARY.is_special, 50.0, 0.0).astype(np.float32)
    parameters = filler.parameters | {"head": filler.parameters["head"] | {"logits_bias": bias}}
    pushed = filler_of("masked_lm", parameters)
    texts = [with_gaps(text_from(n), places) for n, places in enumerate(GAPS)]
    for unmasking, sampling in ((None, None), (Unmasking(1), Sampling(temperature=1.0))):
        found = pushed.fill(texts, unmasking, sampling)
        assert not any(VOCABULARY.is_special[token] for text in found for token in text)


def test_draws_belong_to_their_text_and_seed():
    text, other = with_gaps(text_from(1), [2, 5, 9]), with_gaps(text_from(0)[:4], [1])
    warm = Sampling(temperature=3.0, seed=4)
    samples = noisy().fill([text] * 6, None, warm)
    assert len(set(map(tuple, samples))) > 4
    assert noisy().fill([text] * 6, None, warm) == samples
    assert noisy().fill([text, other, text], None, warm)[2] == samples[2]
    once = noisy().fill([text] * 6, Unmasking(1), warm)
    assert noisy().fill([text] * 6, Unmasking(1), warm.replace(seed=5)) != once


def test_company_changes_nothing_and_padding_is_no_token():
    """The repetition penalty asks what was there; a short text is padded with the id 0 in long company."""
    text, long = with_gaps(text_from(1)[:4], [2]), with_gaps(text_from(0), [1, 5])
    for sampling in (None, Sampling(repetition_penalty=3.0)):
        assert noisy().fill([text, long], None, sampling)[0] == noisy().fill([text], None, sampling)[0]
    assert noisy().fill([text_from(0)]) == [text_from(0)]
    assert noisy().fill([]) == []


def test_a_text_too_long_for_the_model_is_undefined():
    with pytest.raises(Undefined, match="stream of 32 tokens is longer than model.max_len=24"):
        noisy().fill([[MASK] * 30])
