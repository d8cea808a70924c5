"""Answers in words: the likelihoods are the scorer's, the words the allowed ones, and models that write none refuse."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from arch_zoo.data.labelled.task import Example, Kind
from arch_zoo.errors import UserError
from arch_zoo.evaluation.likelihood import Scorer
from arch_zoo.fine_tuning.answers.words import Words
from arch_zoo.objectives import Undefined
from arch_zoo.settings import FieldError
from tests.evaluation.toy_text import spell
from tests.fine_tuning.made import CONFIG, TOKENIZER, ask, learn, model_of, sealed, task_of

WRITERS = ["decoder_only", "prefix_decoder", "encoder_decoder"]
WORDS = Words(template="{text} {pair}", words=("w22", "w23 w24"))
THREE = WORDS.replace(words=("w22", "w23 w24", "w25"))
LONG = CONFIG.replace(length=20)


def answer_for(kind: Kind) -> Words:
    return {Kind.SENTENCE: THREE, Kind.CHOICE: Words(template="{text}")}.get(kind, WORDS)


@pytest.mark.parametrize("name", WRITERS)
def test_likelihoods_are_the_scorers_and_the_likeliest_word_is_the_answer(name):
    task = task_of(Kind.PAIR)
    question, parameters = ask(name, task, LONG, WORDS)
    config, model, _ = model_of(name)
    scorer = Scorer(config.model.architecture, model, parameters, TOKENIZER.vocabulary)
    items = [config.objective.conditional(TOKENIZER.encode(" ".join(example.texts)), [*word, 3], TOKENIZER.vocabulary)
             for example in task.dev for word in ([22], [23, 24])]
    expected = scorer.scores(items).reshape(-1, 2)
    np.testing.assert_allclose(question.likelihoods(parameters, task.dev), expected, rtol=1e-5)
    assert question.predict(parameters, {}, task.dev) == (expected.argmax(axis=1).tolist(), 0)


@pytest.mark.parametrize("name", WRITERS)
def test_the_loss_is_of_the_words_of_the_answers_alone(name):
    task = task_of(Kind.PAIR)
    question, parameters = ask(name, task, LONG, WORDS)
    likelihoods = question.likelihoods(parameters, task.train)
    batch = question.prepare(task.train).batch(np.arange(8))
    tokens = sum(3 if example.answer else 2 for example in task.train[:8])  # with the EOS
    assert batch.loss_weights.sum() == tokens
    right = sum(likelihoods[i][task.train[i].answer] for i in range(8))
    loss = jax.jit(functools.partial(question.loss, train=False))
    assert float(loss(parameters, {}, batch)) == pytest.approx(-right / tokens, rel=1e-4)


BY_HEART = LONG.replace(epochs=120, warmup_share=0.2)


@functools.cache
def learnt_by_heart(name, kind):
    """(task, question, what was there before, what was learnt), from eight examples; held-out answers are sealed."""
    task = sealed(task_of(kind, 8))
    return task, *learn(name, task, BY_HEART, answer_for(kind))


@pytest.mark.parametrize(("name", "kind"), [("decoder_only", Kind.SIMILARITY), ("decoder_only", Kind.CHOICE),
                                            ("prefix_decoder", Kind.SENTENCE), ("encoder_decoder", Kind.PAIR)])
def test_each_kind_can_be_learnt_in_words(name, kind):
    task, question, before, learnt = learnt_by_heart(name, kind)
    right = [example.answer for example in task.train]
    assert question.predict(learnt["model"], learnt["head"], task.train)[0] == right
    assert question.predict(before, {}, task.train)[0] != right or kind is Kind.CHOICE


def test_both_orders_of_a_similarity_count():
    task = task_of(Kind.SIMILARITY)
    question, parameters = ask("decoder_only", task, LONG, WORDS)
    pair, _ = ask("decoder_only", dataclasses.replace(task, kind=Kind.PAIR), LONG, WORDS)
    turned = [dataclasses.replace(example, texts=example.texts[::-1]) for example in task.dev]
    both = np.add(pair.likelihoods(parameters, task.dev), pair.likelihoods(parameters, turned))
    np.testing.assert_allclose(question.likelihoods(parameters, task.dev), both, rtol=1e-4)


def test_choices_in_another_order_have_the_same_likelihoods():
    task = task_of(Kind.CHOICE)
    question, parameters = ask("decoder_only", task, LONG, Words(template="{text}"))
    turned = [dataclasses.replace(example, choices=example.choices[::-1]) for example in task.dev]
    for first, second in zip(question.likelihoods(parameters, task.dev), question.likelihoods(parameters, turned),
                             strict=True):
        np.testing.assert_allclose(first, second[::-1], rtol=1e-4)


def test_values_are_written_to_the_nearest_fifth():
    class Numbers(type(TOKENIZER)):
        def encode(self, text):
            return [int(word[1:]) if word[0] == "w" else 22 + round(5 * float(word)) for word in text.split()]

    from tests.fine_tuning import made
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made, "TOKENIZER", Numbers())
        task = task_of(Kind.SIMILARITY, 8, numbers=True)
        question, parameters = ask("decoder_only", task, LONG, Words(template="{text} {pair}"))
    assert {len(found) for found in question.likelihoods(parameters, task.dev)} == {6}
    assert set(question.predict(parameters, {}, task.dev)[0]) <= {2.0, 2.2, 2.4, 2.6, 2.8, 3.0}
    value = dataclasses.replace(task.train[0], answer=2.47)
    assert question.rows(value, question._word_of(value))[0].targets[0, -2] == 22 + 12


def test_prompts_are_t5s_unless_given():
    pair, sentence = task_of(Kind.PAIR), task_of(Kind.SENTENCE)

    def prompt(task, texts, **options):
        answer = Words(words=("w22", "w23", "w24")[:len(task.labels)], **options)
        return ask("decoder_only", task, LONG, answer)[0].prompt(texts)

    assert prompt(pair, ("w30", "w31")) == "toy sentence1: w30 sentence2: w31"
    assert prompt(sentence, ("w30",)) == "toy sentence: w30"
    assert prompt(pair, ("w30", "w31"), template="{pair}? {text} {task}") == "w31? w30 toy"


def test_what_is_too_long_is_cut_and_counted():
    task = task_of(Kind.SENTENCE)
    long = Example((spell(range(22, 62)),), 0)
    question, _ = ask("decoder_only", task, LONG, THREE)
    assert question.prepare([task.train[0], long]).cut == 1
    assert question.rows(long, 0)[0].tokens.tolist() == [[2, *range(22, 42), 22]]
    choice = dataclasses.replace(long, choices=("w22", "w23"))
    question, _ = ask("decoder_only", task_of(Kind.CHOICE), LONG, Words(template="{text}"))
    assert question.rows(choice, 1)[0].tokens.tolist() == [[2, *range(42, 62), 23]]  # goes on with the text's end


def test_held_out_answers_are_not_read():
    task, question, _, learnt = learnt_by_heart("prefix_decoder", Kind.SENTENCE)
    assert len(question.predict(learnt["model"], {}, task.dev)[0]) == len(task.dev)
    with pytest.raises((AssertionError, TypeError)):  # the negative control
        learn("prefix_decoder", dataclasses.replace(task, train=task.dev), BY_HEART, answer_for(Kind.SENTENCE))


@pytest.mark.parametrize(("name", "kind", "answer", "config", "message"), [
    ("encoder_only", Kind.PAIR, WORDS, LONG, "encoder_only with objective=masked_lm writes no words: filling in from "
                                             "both sides defines no left-to-right likelihood; use answer=head"),
    ("decoder_only", Kind.PAIR, THREE, LONG, "answer.words: 3 words for the 2 labels of toy: other, same"),
    ("decoder_only", Kind.PAIR, WORDS.replace(words=("w22", "w22")), LONG, "each label needs a word of its own"),
    ("decoder_only", Kind.PAIR, WORDS, LONG.replace(new_tokens=True), "new_tokens is for answer=head"),
    ("decoder_only", Kind.PAIR, WORDS, LONG.replace(auxiliary=0.5), "auxiliary is for answer=head"),
    ("decoder_only", Kind.PAIR, WORDS, LONG.replace(weights="probe"), "weights=probe: trains a head alone, and answer"),
])
def test_what_cannot_be_answered_in_words_is_refused(name, kind, answer, config, message):
    with pytest.raises(UserError, match=message):
        ask(name, task_of(kind), config, answer)


def test_templates_are_checked():
    with pytest.raises(FieldError, match="'{txt}' may have {task}, {text} and {pair} only"):
        Words(template="{txt}")
    with pytest.raises(FieldError, match="'hello' has no {text}"):
        Words(template="hello")


def test_prompts_too_long_for_the_model_are_undefined():
    with pytest.raises(Undefined, match="longer than model.max_len=9"):
        ask("decoder_only", task_of(Kind.PAIR), LONG, WORDS, model__position="learned", model__max_len=9,
            data__length=8)
