"""Layers transferred: the first k blocks are the run's, the others are not; scratch shares nothing."""

import jax
import numpy as np
import pytest

from arch_zoo.data.labelled.task import Kind
from arch_zoo.errors import UserError
from arch_zoo.fine_tuning.layers import layer_numbers
from arch_zoo.fine_tuning.transfer import starting_weights
from arch_zoo.tensor_files import flatten_tree
from tests.fine_tuning.made import CONFIG, learn, model_of, task_of

STACKS = {"decoder_only": ("stack",), "encoder_decoder": ("encoder", "decoder")}


def layers_that_are_the_same(name, transfer, seed=0) -> list[int]:
    _, model, parameters = model_of(name)
    found = starting_weights(model, parameters, transfer, STACKS[name], seed)
    numbers, top = layer_numbers(parameters, STACKS[name])
    same = {layer: [] for layer in range(top + 1)}
    for path, number in flatten_tree(numbers).items():
        equal = np.asarray(flatten_tree(found)[path] == flatten_tree(parameters)[path])
        for layer in np.unique(number):
            same[int(layer)].append(equal[np.ravel(number) == layer].all() if np.ndim(number) else equal.all())
    assert all(len(set(each)) == 1 for each in same.values()), "a layer is taken whole or not at all"
    return [layer for layer, each in same.items() if each[0]]


@pytest.mark.parametrize(("name", "blocks", "some"), [("decoder_only", 3, (0, 2)), ("encoder_decoder", 6, (0, 3, 4))])
def test_the_first_blocks_are_the_runs_and_the_others_are_drawn_anew(name, blocks, some):
    for transfer in (*some, blocks):
        assert layers_that_are_the_same(name, transfer) == list(range(transfer + 1))
    assert layers_that_are_the_same(name, "all") == list(range(blocks + 1))
    assert layers_that_are_the_same(name, "scratch") == []


def test_what_is_drawn_is_a_function_of_the_seed():
    _, model, parameters = model_of("decoder_only")
    first, again, other = (starting_weights(model, parameters, "scratch", ("stack",), seed) for seed in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    kernel = "stack/blocks/attention/query/kernel"
    assert np.abs(flatten_tree(first)[kernel] - flatten_tree(other)[kernel]).max() > 0.01


def test_added_rows_go_behind_those_of_the_run_in_every_table():
    _, model, parameters = model_of("decoder_only", model__tied_embeddings=False, model__logits_bias=True)
    found = starting_weights(model.clone(vocab_size=67), parameters, "all", ("stack",), 0)
    for path, leaf in flatten_tree(found).items():
        old = flatten_tree(parameters)[path]
        np.testing.assert_array_equal(leaf[:len(old)] if leaf.shape != old.shape else leaf, old)
    grown = {path for path, leaf in flatten_tree(found).items() if leaf.shape != flatten_tree(parameters)[path].shape}
    assert grown == {"embedding/token_embedding", "head/output_embedding", "head/logits_bias"}


def test_more_blocks_than_there_are_end_in_one_line():
    with pytest.raises(UserError, match="transfer=4: the model is read through 3 blocks; give 0 to 3, all or scratch"):
        layers_that_are_the_same("decoder_only", 4)


def test_training_begins_with_what_is_transferred():
    task, config = task_of(Kind.SENTENCE), CONFIG.replace(learning_rate=0.0)
    _, before, learnt = learn("decoder_only", task, config.replace(transfer=1))
    kernel = "stack/blocks/attention/query/kernel"
    same = flatten_tree(learnt["model"])[kernel] == flatten_tree(before)[kernel]
    assert same[0].all() and not same[1:].any()
