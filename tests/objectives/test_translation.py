"""Translation: source to target, each pair for itself, trained smoothed and measured unsmoothed."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from arch_zoo.data.prepare import prepare_data
from arch_zoo.errors import UserError
from arch_zoo.evaluation.bits_per_byte import bits_per_byte, suffix_windows
from arch_zoo.evaluation.likelihood import Scorer
from arch_zoo.examples import Pairs
from arch_zoo.objectives.base import Seeds, Undefined
from arch_zoo.objectives.translation import Translation
from arch_zoo.training.loop import train
from arch_zoo.training.setup import Setup
from tests.data.test_parallel_text import make_pairs, write_two
from tests.toy import (
    abstract_parameters,
    drawn,
    tiny_config,
    toy_batch,
    toy_losses,
    toy_model,
    toy_pairs,
    toy_vocabulary,
)

VOCABULARY = toy_vocabulary()
ARCHITECTURES = ("encoder_decoder", "prefix_decoder", "decoder_only")


def test_the_drawing_is_what_is_made():
    a, b, c, d, e, x, y, z = range(21, 29)
    pairs = Pairs(np.array([[a, b, c, d, e, 0]]), np.array([[1, 1, 1, 2, 2, 0]]), np.array([[x, y, 0, z, 0]]),
                  np.array([[1, 1, 2, 2, 0]]), *np.zeros((3, 1), int))
    example = Translation().prepare(pairs, VOCABULARY, Seeds(0))
    assert example.source.tolist() == [[a, b, c, d, e, 0]] and example.target.tolist() == [[x, y, 2, z, 0]]
    assert example.loss_weights.tolist() == [[1, 1, 0, 1, 0]]
    assert example.target_origin.tolist() == [[6, 7, -1, 9, -1]]


def drawn_parameters(config):
    return drawn(abstract_parameters(config), 0.3)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_pair_is_read_alike_wherever_it_stands_in_a_row(architecture):
    """Logits, and so the loss, of a pair do not depend on the pairs that it shares its row with."""
    config = tiny_config(objective="translation", model__architecture=architecture, model__position="rotary")
    architecture, model, parameters = config.model.architecture, toy_model(config), drawn_parameters(config)
    packed = toy_pairs(2, 24)
    read = jax.jit(lambda batch: model.apply({"params": parameters}, batch, architecture.visibility, train=False))
    losses = {}
    for name in ("packed", "alone"):
        rows = [packed] if name == "packed" else [only(packed, number) for number in (1, 2)]
        for number, row in enumerate(rows, start=1):
            example = config.objective.prepare(row, VOCABULARY, Seeds(0))
            batch = architecture.layout(example, np.arange(2), VOCABULARY.start_id)
            nats = optax.softmax_cross_entropy_with_integer_labels(read(batch), batch.targets) * batch.loss_weights
            losses[name, number] = np.asarray(nats.sum(axis=1))
    np.testing.assert_allclose(losses["packed", 1], losses["alone", 1] + losses["alone", 2], rtol=1e-5)


def only(pairs: Pairs, number: int) -> Pairs:
    """Each row with one of its pairs alone, at the start of both streams."""
    moved = {}
    for stream in ("source", "target"):
        tokens, segments = getattr(pairs, stream), getattr(pairs, f"{stream}_segment_ids")
        kept = segments == number
        if stream == "target" and number > 1:
            kept &= segments == np.roll(segments, 1, axis=1)  # without the free place
        n = kept.sum(axis=1)[0]
        moved[stream], moved[f"{stream}_segment_ids"] = np.zeros_like(tokens), np.zeros_like(tokens)
        moved[stream][:, :n] = tokens[kept].reshape(len(tokens), n)
        moved[f"{stream}_segment_ids"][:, :n] = 1
    return dataclasses.replace(pairs, **moved)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 0.5])
def test_the_smoothed_loss_is_optaxs_and_evaluation_is_without(label_smoothing):
    config = tiny_config(objective="translation", model__architecture="encoder_decoder", model__depth=1,
                         objective__label_smoothing=label_smoothing)
    model, batch, visibility = toy_model(config), toy_batch(config), config.model.architecture.visibility

    @jax.jit
    def read(parameters):
        losses = {train: config.objective.loss(model, parameters, batch, visibility, train=train)
                  for train in (True, False)}
        return losses, model.apply({"params": parameters}, batch, visibility, train=False)

    losses, logits = read(drawn_parameters(config))
    hot = jax.nn.one_hot(batch.targets, 64)
    for is_training, labels in ((True, optax.smooth_labels(hot, label_smoothing)), (False, hot)):
        total, weight = losses[is_training]
        expected = jnp.sum(optax.softmax_cross_entropy(logits, labels) * batch.loss_weights)
        assert float(total) == pytest.approx(float(expected), rel=1e-5) and weight == batch.loss_weights.sum()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_it_learns_in_every_architecture_with_targets_of_another_length(architecture):
    config = tiny_config(objective="translation", model__architecture=architecture, model__depth=1,
                         objective__target_length=12, objective__label_smoothing=0)
    assert toy_batch(config).targets.shape[1] == 12
    losses = toy_losses(config)
    assert losses[-1] < losses[0] - 0.3


def test_scores_are_those_of_the_target_given_the_source():
    row, = Translation().conditional([30, 31], [32, 33], VOCABULARY)
    assert row.source.tolist() == [[30, 31, 3]] and row.target.tolist() == [[32, 33]]
    assert row.loss_weights.tolist() == [[1, 1]]
    with pytest.raises(Undefined, match="single texts have none"):
        Translation().plausibility([30], [31], VOCABULARY)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on two files, trained: (config, data, lines of metrics)."""
    folder = tmp_path_factory.mktemp("translation")
    config = tiny_config(objective="translation", model__architecture="encoder_decoder", model__depth=1, steps=6,
                         data__corpus=write_two(folder, "pairs", make_pairs(400)), log_every=2, devices=1,
                         data__cache_dir=str(folder / "cache"), data__tokenizer__vocab_size=360, evaluate_every=6)
    data = prepare_data(config.data, config.require)
    train(config, data, folder / "run")
    return config, data, [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]


def test_a_run_logs_the_loss_without_smoothing_beside_the_one_it_trains_on(run):
    config, data, lines = run
    logged = [line for line in lines if "train/loss" in line]
    assert [line["step"] for line in logged] == [2, 4, 6] and all("train/loss_unsmoothed" in line for line in logged)
    setup = Setup.of(config.replace(objective=config.objective.replace(label_smoothing=0.0)), data)
    state = jax.jit(setup.initial_state)(setup.train.batch_at(0))
    smoothed, sums = jax.jit(Setup.of(config, data).train_step()), np.zeros(2)
    unsmoothed = jax.jit(lambda parameters, batch: setup.config.objective.loss(setup.model, parameters, batch,
                                                                               setup.visibility, train=False))
    for step in range(2):
        batch = setup.train.batch_at(step)
        sums += np.array(unsmoothed(state.parameters, batch))
        state, _ = smoothed(state, batch)
    assert logged[0]["train/loss_unsmoothed"] == pytest.approx(sums[0] / sums[1], rel=1e-4)
    assert logged[0]["train/loss_unsmoothed"] != logged[0]["train/loss"]
    assert lines[-1]["eval/loss"] == pytest.approx(lines[-1]["eval/loss_unsmoothed"], rel=1e-6)


def test_held_out_pairs_can_be_scored(run):
    config, data, _ = run
    pairs = suffix_windows(data.stores["test"], 32, 5)
    texts = [tuple(map(data.tokenizer.decode, pair)) for pair in pairs]
    assert len(pairs) == 5 and set(texts) <= set(data.corpus.pairs("test"))
    setup = Setup.of(config, data)
    parameters = jax.jit(setup.initial_state)(setup.train.batch_at(0)).parameters
    scorer = Scorer(config.model.architecture, setup.model, parameters, data.tokenizer.vocabulary)
    value = bits_per_byte(scorer, config.objective, data.tokenizer, pairs)
    tokens, size = sum(len(target) for _, target in pairs), sum(len(target.encode()) for _, target in texts)
    assert value == pytest.approx(tokens * np.log2(360) / size, rel=0.05)  # an untrained model guesses


def test_what_does_not_fit_together_is_said_in_one_line(run, tmp_path):
    config, data, _ = run
    for changes, message in [
            ({"objective": "translation", "data__corpus": "python_docs"}, "reads pairs of texts, and python_docs is"),
            ({"data__corpus": "parallel:a,b"}, "holds pairs of texts, and objective=causal_lm reads running text"),
            ({"objective": "translation", "data__segments": False}, "always hidden from each other; leave it True"),
            ({"objective": "translation", "model__architecture": "encoder_only"}, "it writes a target stream"),
            ({"objective": "mixture", "objective__parts": "prefix_lm,translation"},
             "objective.parts.1: translation has a loss of its own")]:
        with pytest.raises(UserError, match=message):
            tiny_config(**{"model__architecture": "prefix_decoder", "objective": "prefix_lm"} | changes
                        if "objective" in changes else changes)
    of_tokens = config.replace(data=config.data.replace(corpus=f"tokens:{data.home}"))
    assert Setup.of(of_tokens, prepare_data(of_tokens.data)).train.windows.count > 10
    running = of_tokens.replace(objective="prefix_lm")
    with pytest.raises(UserError, match="objective=prefix_lm reads running text, and .* holds pairs of texts"):
        Setup.of(running, data)
