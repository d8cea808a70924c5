"""Classification in studies: every weight learns, a learnable task is learnt, and nothing but the text counts."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from arch_zoo.config import FineTuningConfig
from arch_zoo.data.labelled.task import Labelled
from arch_zoo.fine_tuning import learning
from arch_zoo.fine_tuning.answers.head import HeadQuestion
from arch_zoo.fine_tuning.answers.question import Asked
from arch_zoo.fine_tuning.inputs import text_batch
from arch_zoo.fine_tuning.layers import hidden_states, pooled
from arch_zoo.fine_tuning.learning import Learner, fine_tune, model_for
from arch_zoo.fine_tuning.weights.probe import Probe
from arch_zoo.layers.visibility import Visibility
from arch_zoo.objectives import Undefined
from arch_zoo.objectives.causal_lm import CausalLM
from arch_zoo.registry import ARCHITECTURES
from tests.evaluation.toy_text import ToyTokenizer, noisy_parameters, spell
from tests.fine_tuning.made import Watched, sentences, texts
from tests.toy import ORDINARY, plain_pairs, tiny_config, toy_model

NAMES = ARCHITECTURES.names()
OBJECTIVE_OF = dict(reversed(plain_pairs()))
TOKENIZER = ToyTokenizer()
CONFIG = FineTuningConfig(examples=192, test_examples=96, epochs=6, batch_size=16, length=10, learning_rate=2e-2)


def config_of(architecture, **changes):
    return tiny_config(**{"model__architecture": architecture, "objective": OBJECTIVE_OF[architecture],
                          "model__position": "rotary", "model__scan": True, **changes})


TASK = sentences(texts(192, 0), texts(96, 1), ("low", "middle", "high"))


def shuffled(task: Labelled) -> Labelled:
    answers = np.random.default_rng(0).permutation([example.answer for example in task.train]).tolist()
    return dataclasses.replace(task, train=[dataclasses.replace(example, answer=answer) for example, answer
                                            in zip(task.train, answers, strict=True)])


def train_classifier(model, parameters, reading, task, tokenizer, config, seed):
    """The weights that a study's classifier has learnt."""
    question = HeadQuestion(Asked(CausalLM(), model_for(model, config), tokenizer), task, reading, config)
    return Learner(question, task.train, config).learn(parameters, seed)


@pytest.fixture(scope="module")
def models():
    """{architecture: (architecture, model, parameters)}"""
    configs = {name: config_of(name) for name in NAMES}
    return {name: (config.model.architecture, toy_model(config), noisy_parameters(config, 0.05))
            for name, config in configs.items()}


def run(models, name, reading="own_reading", task=TASK, config=CONFIG, seed=0, function=fine_tune):
    architecture, model, parameters = models[name]
    return function(model, parameters, getattr(architecture, reading), task, TOKENIZER, config, seed)


# --- learning ----------------------------------------------------------------------------------------------------

READINGS = [(name, reading) for name in NAMES for reading in ("own_reading", "shared_reading")
            if (name, reading) != ("encoder_only", "shared_reading")]  # which is its own


@pytest.fixture(scope="module")
def learnt(models):
    """Of (architecture, reading): (what is answered rightly, the weights after each step)."""
    @functools.cache
    def of(name, reading="own_reading"):
        learners = []

        class Noted(Watched):
            def __init__(self, *arguments):
                super().__init__(*arguments)
                learners.append(self)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(learning, "Learner", Noted)
            right = run(models, name, reading)
        return right, learners[0].states

    return of


@pytest.mark.parametrize(("name", "reading"), [*((name, "own_reading") for name in NAMES),
                                               ("encoder_decoder", "shared_reading")])
def test_a_learnable_task_is_learnt(learnt, name, reading):
    right, _ = learnt(name, reading)
    assert right.shape == (96,) and right.dtype == bool
    assert right.mean() > 0.8


@pytest.mark.parametrize("name", ["decoder_only", "encoder_decoder"])
def test_shuffled_labels_are_not_learnt(models, name):
    assert run(models, name, task=shuffled(TASK)).mean() < 0.55  # chance is a third


@pytest.mark.parametrize("name", NAMES)
def test_no_weight_is_frozen(models, learnt, name):
    """In one epoch weights move by more than their decay."""
    states = learnt(name)[1]
    before, after = jax.device_get((models[name][2], states[CONFIG.examples // CONFIG.batch_size - 1]))
    assert np.abs(after["head"]["kernel"]).min() > 0 and np.abs(after["head"]["bias"]).min() > 0
    for path, moved in jax.tree_util.tree_leaves_with_path(jax.tree.map(lambda a, b: np.abs(a - b), before,
                                                                        after["model"])):
        where = jax.tree_util.keystr(path)
        if "token_embedding" in where:
            moved = moved[ORDINARY:]  # ids that no text has only decay
        if "['cross_attention']['key']['bias']" not in where:  # adds the same to all logits, so it has no gradient
            assert np.median(moved) > 2e-3, where


def test_a_learning_rate_of_zero_moves_nothing(models):
    state = run(models, "decoder_only", config=CONFIG.replace(epochs=1, learning_rate=0.0), function=train_classifier)
    jax.tree.map(np.testing.assert_array_equal, state["model"], models["decoder_only"][2])


FIELDS = {"examples": 100, "epochs": 2, "batch_size": 32, "length": 7, "learning_rate": 1e-3}


def test_every_field_bites(models):
    """On a head alone, of which less is compiled."""
    config = CONFIG.replace(epochs=1, weights=Probe())
    base = run(models, "decoder_only", config=config, function=train_classifier)["head"]["kernel"]
    for field, value in FIELDS.items():
        changed = run(models, "decoder_only", config=config.replace(**{field: value}), function=train_classifier)
        assert np.abs(changed["head"]["kernel"] - base).max() > 1e-6, field
    idle = run(models, "decoder_only", config=config.replace(test_examples=10), function=train_classifier)
    np.testing.assert_array_equal(idle["head"]["kernel"], base)  # and it bites in the next test
    others = {"schedule", "warmup_share", "weights", "transfer", "new_tokens", "auxiliary"}  # have tests of their own
    assert {*FIELDS, "test_examples", *others} == {field.name for field in dataclasses.fields(FineTuningConfig)}


def test_fewer_examples_than_a_batch_are_repeated(models):
    config = CONFIG.replace(examples=5, epochs=1, test_examples=3, weights=Probe())
    assert run(models, "decoder_only", config=config).shape == (3,)


def test_texts_longer_than_learned_positions_reach_are_undefined():
    config = config_of("decoder_only", model__position="learned", model__max_len=9, data__length=8)
    reading = config.model.architecture.own_reading
    with pytest.raises(Undefined, match="stream of 10 tokens is longer than model.max_len=9"):
        fine_tune(toy_model(config), noisy_parameters(config), reading, TASK, TOKENIZER, CONFIG, 0)


# --- readings ----------------------------------------------------------------------------------------------------

def test_texts_are_cut_to_the_length_between_their_ends():
    batch = text_batch([spell([30, 31]), spell(range(30, 50))], TOKENIZER, 6)
    assert batch.stream.tokens.tolist() == [[2, 30, 31, 3, 0, 0], [2, 30, 31, 32, 33, 3]]
    assert batch.stream.segment_ids.tolist() == [[1, 1, 1, 1, 0, 0], [1] * 6]
    assert batch.stream.prefix.tolist() == [[True] * 3 + [False] * 3, [True] * 5 + [False]]
    assert batch.source is batch.stream


@functools.partial(jax.jit, static_argnums=(0, 1))
def jitted(model, reading, parameters, batch):
    return pooled(hidden_states(model, parameters, batch, reading, train=False), batch, reading.pool)


def vectors(models, name, reading, strings, length) -> np.ndarray:
    architecture, model, parameters = models[name]
    return np.asarray(jitted(model, getattr(architecture, reading), parameters, text_batch(strings, TOKENIZER, length)))


@pytest.mark.parametrize(("name", "reading"), READINGS)
def test_padding_and_company_do_not_count(models, name, reading):
    strings = [example.texts[0] for example in TASK.dev[:4]]
    wide = vectors(models, name, reading, strings, 24)
    np.testing.assert_allclose(vectors(models, name, reading, strings, 16), wide, atol=1e-5)
    np.testing.assert_allclose(vectors(models, name, reading, strings[::-1], 16)[::-1], wide, atol=1e-5)
    shorter = [" ".join(string.split()[:3]) for string in strings]  # the negative control: what is cut off does count
    assert np.abs(vectors(models, name, reading, shorter, 16) - wide).max() > 1e-2


def test_the_shared_reading_is_the_same_function_of_the_same_weights_in_all(models):
    """An encoder-decoder's encoder with the others' weights gives the others' vectors."""
    strings = [example.texts[0] for example in TASK.dev[:4]]
    single, twin = models["decoder_only"][2], models["encoder_decoder"][2]
    weights = {name: single for name in NAMES}
    weights["encoder_decoder"] = twin | {"embedding": single["embedding"], "encoder": single["stack"]} | \
        ({"encoder_entry": single["entry"]} if "entry" in single else {})
    same = {name: (*models[name][:2], weights[name]) for name in NAMES}
    first, *others = (vectors(same, name, "shared_reading", strings, 16) for name in NAMES)
    for other in others:
        np.testing.assert_allclose(other, first, atol=1e-5)
    own = [vectors(same, name, "own_reading", strings, 16) for name in NAMES]
    assert all(np.abs(own[i] - own[j]).max() > 1e-2 for i in range(len(NAMES)) for j in range(i))


def test_readings_are_declared_in_words():
    for name in NAMES:
        architecture = ARCHITECTURES.get(name)()
        shared, own = architecture.shared_reading, architecture.own_reading
        assert (shared.visibility, shared.pool) == (Visibility.BIDIRECTIONAL, "mean")
        assert "bidirectional" in shared.words and "mean" in shared.words
        assert own.pool in own.words
        assert (own == shared) == (own.words == shared.words) == (name == "encoder_only")
    assert len({ARCHITECTURES.get(name)().own_reading.words for name in NAMES}) == len(NAMES)
