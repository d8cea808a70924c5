"""What learns and what does not: every layer at its own rate, in its own time, or not at all."""

import functools

import jax
import numpy as np
import pytest

from arch_zoo.config import FineTuningConfig
from arch_zoo.data.labelled.task import Kind
from arch_zoo.errors import UserError
from arch_zoo.fine_tuning.answers.head import Head
from arch_zoo.fine_tuning.layers import layer_numbers
from arch_zoo.fine_tuning.learning import Learner, rate_by_step
from arch_zoo.fine_tuning.weights import lora
from arch_zoo.fine_tuning.weights.every import All
from arch_zoo.fine_tuning.weights.lora import Lora
from arch_zoo.fine_tuning.weights.probe import Probe
from arch_zoo.settings import FieldError
from arch_zoo.tensor_files import flatten_tree
from tests.fine_tuning.made import CONFIG, NAMES, Watched, ask, learn, model_of, task_of

TASK = task_of(Kind.SENTENCE, 16)
SHORT = CONFIG.replace(batch_size=8, warmup_share=0.0)  # two steps an epoch


@functools.cache
def learnt_plainly(name):
    """(learner, its question, what was there before, what was learnt), without options."""
    question, before = ask(name, TASK, SHORT)
    learner = Learner(question, TASK.train, SHORT)
    return learner, question, before, learner.learn(before, 0)


def moved_by_layer(before, after, stacks) -> dict[int, float]:
    """{layer: largest change of a weight}; tied or unread weights, which nothing moves but decay, do not count."""
    numbers, top = layer_numbers(before, stacks)
    largest = dict.fromkeys(range(top + 1), 0.0)
    for old, new, number in zip(*map(jax.tree.leaves, (before, after, numbers)), strict=True):
        change = np.abs(np.asarray(new) - np.asarray(old))
        for layer in range(top + 1):
            largest[layer] = max(largest[layer], float(np.where(number == layer, change, 0).max()))
    return largest


# --- layers ------------------------------------------------------------------------------------------------------

def test_layers_are_numbered_from_the_bottom_through_all_stacks():
    _, _, parameters = model_of("encoder_decoder")
    numbers, top = layer_numbers(parameters, ("encoder", "decoder"))
    flat = flatten_tree(numbers)
    assert top == 6
    assert flat["embedding/token_embedding"] == 0 and flat["encoder/final_norm/scale"] == 3
    assert np.ravel(flat["encoder/blocks/attention/query/kernel"]).tolist() == [1, 2, 3]
    assert np.ravel(flat["decoder/blocks/attention/query/kernel"]).tolist() == [4, 5, 6]
    alone = flatten_tree(layer_numbers(parameters, ("encoder",))[0])
    assert np.ravel(alone["encoder/blocks/attention/query/kernel"]).tolist() == [1, 2, 3]


def test_a_first_block_of_its_own_is_the_first_layer():
    _, _, parameters = model_of("encoder_only", model__first_norm=False, model__embedding_norm=True)
    numbers, top = layer_numbers(parameters, ("stack",))
    flat = flatten_tree(numbers)
    assert top == 3 and flat["stack/first_block/attention/query/kernel"] == 1
    assert np.ravel(flat["stack/blocks/attention/query/kernel"]).tolist() == [2, 3]


def test_shared_stacks_are_one():
    _, _, parameters = model_of("encoder_decoder", model__share_stacks=True)
    assert layer_numbers(parameters, ("encoder", "decoder"))[1] == layer_numbers(parameters, ("encoder",))[1] == 3


# --- all weights -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["decoder_only", "encoder_decoder"])
def test_each_layer_learns_more_slowly_than_the_one_above_by_the_divisor(name):
    """AdamW's first steps are as long as its rate, whatever the gradients; a new head gives none in the very first."""
    question, before, learnt = learn(name, TASK, SHORT.replace(weights=All(divisor=2.6)))
    moved = moved_by_layer(before, learnt["model"], question.stacks)
    _, _, _, plain = learnt_plainly(name)  # the negative control
    alike = moved_by_layer(before, plain["model"], question.stacks)
    for layer in range(1, max(moved)):
        assert moved[layer + 1] / moved[layer] == pytest.approx(2.6, rel=0.05)
        assert alike[layer + 1] / alike[layer] == pytest.approx(1.0, rel=0.05)
    assert alike[max(moved)] / moved[max(moved)] == pytest.approx(2.6, rel=0.05)  # and the last than the head


@pytest.mark.parametrize(("name", "epochs"), [("decoder_only", 5), ("encoder_decoder", 3)])
def test_gradual_unfreezing_moves_one_layer_more_in_each_epoch_until_all_have_moved(name, epochs):
    config = SHORT.replace(epochs=epochs, weights=All(gradual=True))
    question, before = ask(name, TASK, config)
    learner = Watched(question, TASK.train, config)
    learner.learn(before, 0)
    for epoch, state in enumerate(learner.states[1::2], 1):
        moved = moved_by_layer(before, state["model"], question.stacks)
        top = max(moved)
        assert [layer for layer, change in moved.items() if change] == list(range(top + 2 - epoch, top + 1))
        assert np.abs(state["head"]["kernel"]).max() > 0
    assert epoch == epochs and (all(moved.values()) or name == "encoder_decoder")


def test_slanted_triangles_are_those_of_the_paper():
    """Howard & Ruder 2018, equation 3, with T = 100, cut_frac = 0.1 and ratio = 32."""
    config = FineTuningConfig(schedule="slanted_triangular", learning_rate=0.01)
    rate = rate_by_step(config, 100)
    for t in range(100):
        p = t / 10 if t < 10 else 1 - (t - 10) / (10 * (1 / 0.1 - 1))
        assert float(rate(t)) == pytest.approx(0.01 * (1 + p * 31) / 32, rel=1e-4)


def test_schedules_and_their_warm_up_differ():
    configs = [FineTuningConfig(), FineTuningConfig(schedule="linear"), FineTuningConfig(warmup_share=0.5)]
    rates = [[float(rate_by_step(config, 20)(t)) for t in range(20)] for config in configs]
    assert rates[0] != rates[1] and rates[0] != rates[2]
    assert all(max(found) == pytest.approx(1e-3) for found in rates)


# --- probes ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("name", "layers"), [*((name, "all") for name in NAMES), ("encoder_decoder", "last")])
def test_a_probe_changes_no_weight_of_the_model(name, layers):
    question, before, learnt = learn(name, TASK, SHORT.replace(weights=Probe(layers=layers)))
    jax.tree.map(np.testing.assert_array_equal, learnt["model"], before)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(learnt["head"]))
    assert ("mixture" in learnt["head"]) == (layers == "all")


@pytest.mark.parametrize(("name", "streams", "states"), [("decoder_only", "own", 4), ("encoder_decoder", "encoder", 4),
                                                         ("encoder_decoder", "both", 3)])
def test_a_mixture_of_one_layer_reads_that_layers_states(name, streams, states):
    """Of the last: a model without a final norm, normalised without weights, by an oracle of its own."""
    depth = {"model__depth": 2, "model__encoder_depth": 3} if states == 3 else {}
    config = SHORT.replace(weights=Probe(layers="all"))
    answer = Head(streams=streams)
    question, parameters = ask(name, TASK, config, answer, model__placement="post", **depth)
    plain, _ = ask(name, TASK, SHORT, answer.replace(pool="last"), model__placement="post", **depth)
    last, _ = ask(name, TASK, config, answer.replace(pool="last"), model__placement="post", **depth)
    inputs, _ = question.prepare(TASK.train[:4]).batch(np.arange(4))
    head = question.head()
    assert head["mixture"].shape == (states,)
    mixed = jax.jit(functools.partial(last.vectors, train=False))
    first, found = (mixed(parameters, head | {"mixture": np.where(np.arange(states) == layer, 0.0, -1e9)}, inputs)[:, 0]
                    for layer in (0, states - 1))
    expected = np.asarray(jax.jit(functools.partial(plain.vectors, train=False))(parameters, {}, inputs)[:, 0])
    expected = (expected - expected.mean(-1, keepdims=True)) / expected.std(-1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.abs(first - expected).max() > 0.1


def test_states_of_layers_do_not_depend_on_how_the_stack_runs():
    config = SHORT.replace(weights=Probe(layers="all"))
    found = []
    for scan in (False, True):
        question, parameters = ask("decoder_only", TASK, config, model__scan=scan, model__remat=scan)
        inputs, _ = question.prepare(TASK.train[:4]).batch(np.arange(4))
        found.append(jax.jit(lambda p, i, q=question: q.vectors(p, q.head(), i, train=False))(parameters, inputs))
    np.testing.assert_allclose(*found, atol=1e-5)


# --- LoRA --------------------------------------------------------------------------------------------------------

SOME = Lora(rank=2, projections=("query", "down"))
EVERYWHERE = Lora(rank=2, alpha=3.0, projections=("query", "key", "value", "out", "up", "down"))


@functools.cache
def learnt_with_adapters(name):
    """(question, what was there before, what was learnt)"""
    return learn(name, TASK, SHORT.replace(weights=SOME))


@pytest.mark.parametrize("name", NAMES)
def test_lora_changes_nothing_at_first_and_then_only_its_projections(name):
    _, _, parameters = model_of(name)
    learning, kept = SOME.parted(parameters, jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, SOME.joined(learning, kept), parameters)
    _, before, learnt = learnt_with_adapters(name)
    before = flatten_tree(before)
    changed = {path.split("/")[-2] for path, leaf in flatten_tree(learnt["model"]).items()
               if not np.array_equal(leaf, before[path])}
    assert changed == {"query", "down"}


@pytest.mark.parametrize("name", ["decoder_only", "encoder_decoder"])
def test_the_merged_kernel_does_what_kernel_and_adapter_do_apart(name):
    """x (W + s a b) = x W + s (x a) b for each projection of each block, by einsums of its own."""
    _, _, parameters = model_of(name)
    learning, kept = EVERYWHERE.parted(parameters, jax.random.key(0))
    rng = np.random.default_rng(0)
    learning = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), learning)
    merged, flat = flatten_tree(jax.jit(EVERYWHERE.joined)(learning, kept)), flatten_tree(parameters)
    assert {path.split("/")[-2] for path in learning} == set(EVERYWHERE.projections)
    for path, adapter in learning.items():
        blocks, kernel = len(flat[path]), np.asarray(flat[path])
        inputs, outputs = adapter["a"].shape[1], adapter["b"].shape[2]
        x = rng.normal(size=(blocks, 5, inputs)).astype(np.float32)
        apart = x @ kernel.reshape(blocks, inputs, outputs) + 1.5 * ((x @ adapter["a"]) @ adapter["b"])
        np.testing.assert_allclose(x @ np.asarray(merged[path]).reshape(blocks, inputs, outputs), apart, rtol=1e-3,
                                   atol=1e-3)
        assert np.abs(np.asarray(merged[path]) - kernel).max() > 0.1


def test_what_was_learnt_with_adapters_is_a_plain_model():
    """The scores in training, with adapters, are those of the weights that come out of it."""
    question, before, learnt = learnt_with_adapters("decoder_only")
    inputs, _ = question.prepare(TASK.train[:4]).batch(np.arange(4))
    plain, _ = ask("decoder_only", TASK)
    scores, plain_scores = jax.jit(question.scores), jax.jit(plain.scores)
    expected = plain_scores(learnt["model"], learnt["head"], inputs)
    np.testing.assert_array_equal(scores(learnt["model"], learnt["head"], inputs), expected)
    assert np.abs(scores(before, learnt["head"], inputs) - expected).max() > 1e-4


def test_rank_and_alpha_bite():
    sizes, results = [], []
    for weights in (Lora(rank=2), Lora(rank=4), Lora(rank=2, alpha=1.0)):
        learning, kept = weights.parted(model_of("decoder_only")[2], jax.random.key(0))
        sizes.append(sum(leaf.size for leaf in jax.tree.leaves(learning)))
        ones = jax.tree.map(lambda leaf: np.ones(leaf.shape, np.float32), learning)
        results.append(flatten_tree(jax.jit(weights.joined)(ones, kept))["stack/blocks/attention/query/kernel"])
    assert sizes[0] * 2 == sizes[1] and sizes[0] == sizes[2]
    assert np.abs(results[0] - results[2]).max() > 1e-5


def test_a_projection_that_is_not_there_is_named():
    with pytest.raises(FieldError, match="unknown projection 'quer'; known: query, key"):
        Lora(projections=("quer",))
    with pytest.raises(UserError, match=r"weights.projections: the model has no 'gate'; it has down, key, out"):
        learn("decoder_only", TASK, SHORT.replace(weights=Lora(projections=("gate",))))
    assert lora.projection_of("stack/blocks/attention/query/kernel") == "query"


# --- the loop ----------------------------------------------------------------------------------------------------

def test_options_that_would_do_nothing_are_refused():
    with pytest.raises(FieldError, match="new_tokens: would stay as they are drawn: weights=lora"):
        CONFIG.replace(new_tokens=True, weights="lora")
    with pytest.raises(FieldError, match="auxiliary: has no effect on a head, and weights=probe"):
        CONFIG.replace(auxiliary=0.5, weights="probe")


def test_one_compiled_step_serves_all_seeds_and_lengths_of_a_bucket():
    learner, _, parameters, first = learnt_plainly("decoder_only")
    again, other = (learner.learn(parameters, seed) for seed in (0, 1))
    assert learner._step._cache_size() <= 3
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert all((a != b).any() for a, b in zip(*map(jax.tree.leaves, map(jax.device_get, (first, other))), strict=True))


def test_a_loss_that_is_no_number_ends_the_training():
    learner, _, parameters, _ = learnt_plainly("decoder_only")
    with pytest.raises(UserError, match="seed 0: the loss is nan after 2 steps; lower learning_rate"):
        learner.learn(jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), parameters), 0)
