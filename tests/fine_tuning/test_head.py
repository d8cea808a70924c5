"""A head on pooled states: symmetric in similarity, blind to the order of choices, and learns what can be learnt."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from arch_zoo.data.labelled.task import Example, Kind
from arch_zoo.errors import UserError
from arch_zoo.examples import Window
from arch_zoo.fine_tuning.answers.head import Head
from arch_zoo.fine_tuning.transfer import starting_weights
from arch_zoo.layers.visibility import Visibility
from arch_zoo.objectives import Undefined
from arch_zoo.objectives.base import Seeds
from arch_zoo.objectives.causal_lm import CausalLM
from arch_zoo.registry import ARCHITECTURES
from tests.fine_tuning.made import CONFIG, NAMES, TOKENIZER, ask, learn, model_of, sealed, task_of, texts

KINDS = list(Kind)
LONG = CONFIG.replace(length=16)
BY_HEART = LONG.replace(epochs=60, warmup_share=0.1, learning_rate=2e-2)


@functools.cache
def asked(name, kind):
    """(task, question, parameters): what is compiled for a question serves all tests."""
    task = task_of(kind)
    return task, *ask(name, task, LONG)


def random_head(question) -> dict:
    """A head that tells things apart, unlike one that has learnt nothing."""
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=np.shape(value)).astype(np.float32) for name, value in question.head().items()}


def scores(question, parameters, examples) -> np.ndarray:
    inputs, _ = question.prepare(examples).batch(np.arange(len(examples)))
    return np.asarray(scorer(question)(parameters, random_head(question), inputs))


@functools.cache
def scorer(question):
    """Compiled once for all that it is asked."""
    return jax.jit(question.scores)


# --- kinds of tasks ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", NAMES)
def test_similarity_does_not_depend_on_the_order_of_the_sentences_and_a_pair_does(name):
    for kind, same in ((Kind.SIMILARITY, True), (Kind.PAIR, False)):
        task, question, parameters = asked(name, kind)
        turned = [dataclasses.replace(example, texts=example.texts[::-1]) for example in task.dev]
        difference = np.abs(scores(question, parameters, task.dev) - scores(question, parameters, turned)).max()
        assert difference < 1e-5 if same else difference > 1e-3, difference


@pytest.mark.parametrize("name", NAMES)
def test_choices_in_another_order_have_the_same_scores_in_that_order(name):
    task, question, parameters = asked(name, Kind.CHOICE)
    turned = [dataclasses.replace(example, choices=example.choices[::-1]) for example in task.dev]
    before, after = scores(question, parameters, task.dev), scores(question, parameters, turned)
    for example, first, second in zip(task.dev, before, after, strict=True):
        count = len(example.choices)
        np.testing.assert_allclose(first[:count], second[:count][::-1], atol=1e-4)
        assert np.ptp(first[:count]) > 1e-3 and (first[count:] < -1e30).all()
    assert {len(example.choices) for example in task.dev} == {2, 3}


def test_a_choice_that_is_not_there_is_never_taken_and_has_no_share_in_the_loss():
    task, question, parameters = asked("decoder_only", Kind.CHOICE)
    predicted, _ = question.predict(parameters, random_head(question), task.dev)
    assert all(choice < len(example.choices) for choice, example in zip(predicted, task.dev, strict=True))
    two = [example for example in task.dev if len(example.choices) == 2]
    loss = jax.jit(functools.partial(question.loss, train=False))
    batch = question.prepare(two).batch(np.arange(len(two)))
    assert float(loss(parameters, question.head(), batch)) == pytest.approx(np.log(2))


@functools.cache
def learnt_by_heart(kind):
    """(task, question, what was learnt), from eight examples; the held-out answers are sealed."""
    task = sealed(task_of(kind, 8))
    question, _, learnt = learn("encoder_only", task, BY_HEART)
    return task, question, learnt


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_can_be_learnt(kind):
    """That a model generalises is not a matter of this code."""
    task, question, learnt = learnt_by_heart(kind)
    predicted, _ = question.predict(learnt["model"], learnt["head"], task.train)
    assert predicted == [example.answer for example in task.train]


def test_values_are_learnt_in_their_own_unit():
    task = task_of(Kind.SIMILARITY, 8, numbers=True)
    question, parameters, learnt = learn("encoder_only", task, LONG.replace(epochs=60, learning_rate=2e-2))
    found, _ = question.predict(learnt["model"], learnt["head"], task.train)
    np.testing.assert_allclose(found, [example.answer for example in task.train], atol=0.15)
    untrained, _ = question.predict(parameters, question.head(), task.train)
    np.testing.assert_allclose(untrained, np.mean([example.answer for example in task.train]), atol=1e-6)


# --- readings ----------------------------------------------------------------------------------------------------

# Every visibility with one pool, every pool with one visibility: which is which shows in these five.
CROSS = [("bidirectional", "first"), ("bidirectional", "last"), ("bidirectional", "mean"), ("causal", "last"),
         ("prefix", "last")]


@pytest.mark.parametrize("name", NAMES)
def test_every_reading_that_is_declared_is_another_function(name):
    task = task_of(Kind.SENTENCE)
    streams = ("encoder", "both") if name == "encoder_decoder" else ("own",)
    questions = {}
    for stream in streams:
        if stream != "both":
            with pytest.raises(UserError, match="answer.pool=first: under causal visibility the first token"):
                ask(name, task, LONG, Head(visibility="causal", pool="first", streams=stream))
        for visibility, pool in CROSS:
            answer = Head(visibility=visibility, pool=pool, streams=stream)
            question, parameters = ask(name, task, LONG, answer)
            questions[stream, visibility, pool] = question
            assert pool in question.how and visibility in question.how or question.how == \
                answer.reading(ARCHITECTURES.get(name)()).words
    inputs, _ = question.prepare(task.dev[:4]).batch(np.arange(4))
    # One program, for readings of the same states to share them.
    found = jax.device_get(jax.jit(lambda p, i: {
        reading: q.vectors(p, {}, i, train=False) for reading, q in questions.items()})(parameters, inputs))
    keys = list(found)
    for i, first in enumerate(keys):
        for second in keys[:i]:
            assert np.abs(found[first] - found[second]).max() > 1e-4, (first, second)


def test_own_is_what_the_architecture_declares():
    for name in NAMES:
        architecture = ARCHITECTURES.get(name)()
        assert Head().reading(architecture) == architecture.own_reading
    assert Head(streams="encoder").reading(ARCHITECTURES.get("encoder_decoder")()).method == "encode"
    with pytest.raises(UserError, match="answer.streams=encoder: decoder_only has one stack; leave it own"):
        Head(streams="encoder").reading(ARCHITECTURES.get("decoder_only")())


@pytest.mark.parametrize("kind", KINDS)
def test_padding_and_company_do_not_count(kind):
    task, question, parameters = asked("decoder_only", kind)
    together = scores(question, parameters, task.dev)
    for number, example in enumerate(task.dev):
        alone = scores(question, parameters, [example] * len(task.dev))
        np.testing.assert_allclose(alone, [together[number]] * len(task.dev), rtol=1e-4, atol=1e-4)


def test_kinds_of_tokens_tell_the_texts_of_a_pair_apart():
    task = task_of(Kind.PAIR)
    question, parameters = ask("encoder_only", task, LONG, model__token_types=2)
    inputs, _ = question.prepare(task.dev[:2]).batch(np.arange(2))
    assert inputs.batch.stream.types.max() == 1
    question, _ = ask("encoder_only", task, LONG)
    assert question.prepare(task.dev[:2]).batch(np.arange(2))[0].batch.stream.types.max() == 0


# --- GPT-1's inputs and its auxiliary loss -----------------------------------------------------------------------

def test_new_tokens_are_rows_of_the_embedding_that_learn():
    task = task_of(Kind.SIMILARITY)
    config = LONG.replace(new_tokens=True)
    question, before, learnt = learn("decoder_only", task, config)
    old, new = before["embedding"]["token_embedding"], learnt["model"]["embedding"]["token_embedding"]
    assert len(new) == len(old) + 3
    inputs, _ = question.prepare(task.dev[:2]).batch(np.arange(2))
    tokens = np.asarray(inputs.batch.stream.tokens)
    assert (tokens[:, 0] == 64).all() and ((tokens == 65).sum(axis=1) == 1).all() and ((tokens == 66).sum(1) == 1).all()
    start = starting_weights(question.model, before, config.transfer, question.stacks, 0)
    first = start["embedding"]["token_embedding"]
    np.testing.assert_array_equal(first[:64], old)
    assert np.abs(new[64:] - first[64:]).min() > 0
    assert 0.005 < first[64:].std() < 0.06  # drawn as the model's own were


@pytest.mark.parametrize("new_tokens", [False, True])
def test_the_auxiliary_loss_is_that_of_causal_lm_on_the_same_text(new_tokens):
    task = task_of(Kind.SENTENCE)
    config = LONG.replace(length=20, new_tokens=new_tokens, auxiliary=0.5)
    examples = [Example((text,), label) for length in (4, 9) for text, label in texts(2, length, length, length + 1)]
    question, parameters = ask("decoder_only", task, config)
    weights = starting_weights(question.model, parameters, config.transfer, question.stacks, 0)
    batch = question.prepare(examples).batch(np.arange(4))
    both = float(jax.jit(lambda w, b: question.loss(w, question.head(), b, train=False))(weights, batch))
    marks = [64, 66] if new_tokens else [2, 3]
    total = count = 0.0
    alone = jax.jit(lambda w, b: CausalLM().loss(question.model, w, b, Visibility.CAUSAL, train=False))
    for example in examples:  # each text as a window of its own
        ids = np.array([[marks[0], *TOKENIZER.encode(example.texts[0]), marks[1]]])
        window = Window(ids, np.ones_like(ids), *[np.zeros(1, np.int64)] * 3)
        row = CausalLM().prepare(window, TOKENIZER.vocabulary, Seeds(0))
        batch = model_of("decoder_only")[0].model.architecture.layout(row, np.arange(1), 2)
        loss, weight = alone(weights, batch)
        total, count = total + float(loss), count + float(weight)
    # A head that has learnt nothing takes its three labels to be equally likely.
    assert both - np.log(3) == pytest.approx(0.5 * total / count, rel=1e-4)


@pytest.mark.parametrize(("name", "message"), [
    ("encoder_only", "auxiliary=0.5: encoder_only has no causal language-model loss: each target stands in the input"),
    ("encoder_decoder", "auxiliary=0.5: encoder_decoder has no causal language-model loss: its examples have one"),
])
def test_a_model_without_a_causal_loss_is_refused_one(name, message):
    with pytest.raises(UserError, match=message):
        ask(name, task_of(Kind.SENTENCE), LONG.replace(auxiliary=0.5))


# --- what is not read --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", KINDS)
def test_held_out_answers_are_read_neither_in_training_nor_in_answering(kind):
    task, question, learnt = learnt_by_heart(kind)
    predicted, _ = question.predict(learnt["model"], learnt["head"], task.dev)
    assert len(predicted) == len(task.dev)
    with pytest.raises((AssertionError, TypeError)):  # the negative control
        learn("encoder_only", dataclasses.replace(task, train=task.dev), BY_HEART)


def test_texts_longer_than_learned_positions_reach_are_undefined():
    with pytest.raises(Undefined, match="stream of 16 tokens is longer than model.max_len=9"):
        ask("decoder_only", task_of(Kind.SENTENCE), LONG, model__position="learned", model__max_len=9, data__length=8)
