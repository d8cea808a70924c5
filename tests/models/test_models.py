"""Architectures: same weights at a seed, same blocks, projection at loss positions, packing."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arch_zoo.layers.cross_entropy import cross_entropy
from arch_zoo.layers.visibility import Visibility
from arch_zoo.models.architecture import make_batch, make_stream, positions_within_segments
from arch_zoo.registry import ARCHITECTURES, POSITIONS
from tests.toy import SIZE, abstract_parameters, plain_pairs, tiny_config, toy_batch, toy_model

OBJECTIVE_OF = dict(reversed(plain_pairs()))


def config_of(architecture, **changes):
    return tiny_config(model__architecture=architecture, objective=OBJECTIVE_OF[architecture], model__scan=True,
                       **changes)


def initial(config, seed=0, batch=None):
    batch = toy_batch(config) if batch is None else batch
    return initialisation(toy_model(config), config.model.architecture.visibility)(jax.random.key(seed), batch)


@functools.cache
def initialisation(model, visibility):
    return jax.jit(lambda key, batch: model.init(key, batch, visibility, train=False)["params"])


def shapes(config):
    leaves = jax.tree_util.tree_leaves_with_path(abstract_parameters(config))
    return {jax.tree_util.keystr(path): leaf.shape for path, leaf in leaves}


# --- parameters --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("position", ["learned", "t5_bias"])
def test_single_streams_start_from_bitwise_the_same_weights(position):
    options = {"model__position": position, "model__tied_embeddings": False, "model__head_transform": True}
    encoder, decoder, prefix = (initial(config_of(name, **options))
                                for name in ("encoder_only", "decoder_only", "prefix_decoder"))
    jax.tree.map(np.testing.assert_array_equal, encoder, decoder)
    jax.tree.map(np.testing.assert_array_equal, prefix, decoder)
    other = initial(config_of("encoder_only", **options), seed=1)
    kernels = [(a, b) for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(encoder), jax.tree.leaves(other),
                                              strict=True) if path[-1].key.endswith(("kernel", "embedding"))]
    assert len(kernels) > 8 and all((a != b).any() for a, b in kernels)


@pytest.mark.parametrize(("position", "placement"), list(zip(
    POSITIONS.names(), itertools.cycle(["pre", "post", "parallel", "parallel_norms"]), strict=False)))
def test_a_decoder_with_memory_is_a_decoder_plus_cross_attention(position, placement):
    options = {"model__placement": placement, "model__position": position, "model__qk_norm": True, "model__kv_heads": 1}
    alone, both = (shapes(config_of(name, **options)) for name in ("decoder_only", "encoder_decoder"))
    parts = {part: {path.replace(f"['{part}']", "", 1): shape for path, shape in tree.items()
                    if path.startswith(f"['{part}']")}
             for tree, part in ((alone, "stack"), (both, "encoder"), (both, "decoder"), (alone, "entry"),
                                (both, "encoder_entry"), (both, "decoder_entry"))}
    assert parts["encoder_entry"] == parts["decoder_entry"] == parts["entry"]
    without = {path: shape for path, shape in parts["decoder"].items() if "cross_attention" not in path}
    assert without == parts["stack"] == parts["encoder"]
    assert len(parts["decoder"]) > len(without)
    assert {path for path in both if path.startswith(("['embedding']", "['head']"))} == \
           {path for path in alone if path.startswith(("['embedding']", "['head']"))}


@pytest.mark.parametrize("architecture", ARCHITECTURES.names())
def test_untying_adds_one_table(architecture):
    tied, untied = (shapes(config_of(architecture, model__tied_embeddings=choice)) for choice in (True, False))
    assert untied == tied | {"['head']['output_embedding']": (SIZE, 16)}


def test_a_tied_table_is_the_output_projection():
    config = tiny_config(objective="causal_lm", model__depth=1, model__scan=True)
    batch, model = toy_batch(config), toy_model(config)
    parameters = initial(config)

    @jax.jit
    def logits(table):
        changed = parameters | {"embedding": parameters["embedding"] | {"token_embedding": table}}
        return model.apply({"params": changed}, batch, Visibility.CAUSAL, train=False)

    table = parameters["embedding"]["token_embedding"]
    unused = 4  # no token of the batch has the id of the mask, so its row is an output alone
    difference = logits(table.at[unused, 0].add(1.0)) - logits(table)
    assert np.abs(difference[..., unused]).min() > 0
    assert np.abs(np.delete(difference, unused, axis=-1)).max() < 1e-6


# --- outputs -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("architecture", "objective"), [("encoder_only", "masked_lm"), ("decoder_only", "prefix_lm"),
                                                         ("prefix_decoder", "span_corruption")])
def test_logits_at_loss_positions_are_those_of_all_positions(architecture, objective):
    config = tiny_config(model__architecture=architecture, objective=objective, model__scan=True)
    batch, model, visibility = toy_batch(config), toy_model(config), config.model.architecture.visibility
    parameters = initial(config, batch=batch)
    some, every = (jax.jit(lambda b: model.apply({"params": parameters}, b, visibility, train=False))(b)
                   for b in (batch, batch.replace(loss_positions=None)))
    assert some.shape[1] == batch.loss_positions.shape[1] < every.shape[1] == batch.stream.tokens.shape[1]
    np.testing.assert_allclose(some, np.take_along_axis(every, batch.loss_positions[:, :, None], axis=1), atol=1e-5)
    assert np.abs(some - every[:, :some.shape[1]]).max() > 1e-3


def test_every_loss_position_is_kept():
    tokens = np.arange(12).reshape(2, 6)
    weights = np.array([[0, 1, 0, 0, 1, 0], [0, 0, 0, 0, 0, 1.0]])
    stream = make_stream(tokens, np.ones_like(tokens), tokens)
    batch = make_batch(stream, None, tokens, tokens, weights, np.arange(2), 2)
    assert batch.targets[0].tolist() == [1, 4] and batch.targets[1, batch.loss_weights[1] > 0].tolist() == [11]
    assert batch.loss_weights.sum() == weights.sum()
    with pytest.raises(ValueError, match="more than 1 positions"):
        make_batch(stream, None, tokens, tokens, weights, np.arange(2), 1)


def test_positions_count_within_segments_even_in_pieces():
    assert positions_within_segments(np.array([[1, 1, 2, 2, 1, 2, 0, 0]])).tolist() == [[0, 1, 0, 1, 2, 2, 0, 1]]


FIRST, SECOND = [30, 31, 40, 22, 50], [33, 60, 41, 42, 43, 24]


def two_documents(architecture, joined=False):
    """Rows: both documents, the first, the second. `joined` makes the two one segment."""
    def stream(first, second, prefix):
        n = len(first) + len(second)
        rows, segments = np.zeros((3, n), int), np.zeros((3, n), int)
        for row, parts in enumerate([[(first, 1), (second, 1 if joined else 2)], [(first, 1)], [(second, 1)]]):
            rows[row, :sum(len(p) for p, _ in parts)] = [t for p, _ in parts for t in p]
            segments[row, :sum(len(p) for p, _ in parts)] = [s for p, s in parts for _ in p]
        return make_stream(rows, segments, np.full_like(rows, -1), positions_within_segments(segments) < prefix)

    source = stream([51, 52, 53], [54, 55], 0) if architecture == "encoder_decoder" else None
    targets = stream(FIRST[1:] + [3], SECOND[1:] + [3], 0).tokens
    return make_batch(stream(FIRST, SECOND, 2), source, targets, targets, targets > 0, np.arange(3), targets.shape[1])


@pytest.mark.parametrize("architecture", ARCHITECTURES.names())
def test_documents_have_the_same_losses_packed_as_alone(architecture):
    config = config_of(architecture)
    model, visibility = toy_model(config), config.model.architecture.visibility
    batch = two_documents(architecture)
    parameters = jax.tree.map(lambda p: 5 * p, initial(config, batch=batch))

    @jax.jit
    def losses(batch):
        return cross_entropy(model.apply({"params": parameters}, batch, visibility, train=False), batch.targets)

    both, first, second = losses(jax.tree.map(jnp.asarray, batch))
    n = len(FIRST)
    np.testing.assert_allclose(both[:n], first[:n], atol=5e-5)
    np.testing.assert_allclose(both[n:], second[:len(SECOND)], atol=5e-5)
    mixed = losses(jax.tree.map(jnp.asarray, two_documents(architecture, joined=True)))[0]
    assert np.abs(mixed[n:] - second[:len(SECOND)]).max() > 1e-2
