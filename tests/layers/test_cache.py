"""Reading a stream piece by piece with a cache gives what reading it at once gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arch_zoo.config import ModelConfig
from arch_zoo.layers.cache import empty_cache
from arch_zoo.layers.stack import unstacked
from arch_zoo.models.abstract import abstract_parameters
from arch_zoo.models.architecture import Stream, make_batch, make_stream
from arch_zoo.registry import POSITIONS
from arch_zoo.settings import override
from arch_zoo.tensor_files import flatten_tree, nest

ROWS, LENGTH, PROMPT, SIZE = 3, 14, 6, 29
# In pairs: a mistake of either shows beside the other, too.
SWITCHES = {
    "grouped, post": {"kv_heads": 2, "placement": "post"},
    "multi_query, parallel": {"kv_heads": 1, "placement": "parallel"},
    "windows, qk_norm": {"windows": "0,4", "qk_norm": True},
    "window, first_norm": {"windows": "3", "first_norm": False},
    "shared_blocks, embedding_dim": {"share_blocks": True, "embedding_dim": 8},
    "looped, token_types": {"scan": True, "token_types": 2, "embedding_norm": True}}


def model_config(**changes) -> ModelConfig:
    small = {"width": 16, "depth": 2, "heads": 4, "max_len": 32}
    return override(ModelConfig(), small | changes)


def left_padded(length: int, padding: list[int], prompt: int) -> Stream:
    """Random tokens, so many of each row's first ones padding, the rest of the first `prompt` the prefix."""
    rng = np.random.default_rng(0)
    index = np.arange(length)[None]
    real = index >= np.array(padding)[:, None]
    tokens = rng.integers(1, SIZE, (len(padding), length))
    return make_stream(tokens, real.astype(np.int32), np.full_like(tokens, -1), real & (index < prompt))


def read_both_ways(config: ModelConfig, pieces: tuple[int, ...], prepare=lambda parameters: parameters):
    """(logits of the whole stream at once, logits piece by piece), each [b, t, v], where tokens are real."""
    architecture = config.architecture
    stream = left_padded(LENGTH, [0, 2, 5], PROMPT)
    source = left_padded(7, [0, 3, 1], 0)
    nothing = np.zeros((ROWS, LENGTH))
    batch = make_batch(stream, source if architecture.stacks == 2 else None, nothing, nothing, nothing, np.arange(ROWS),
                       LENGTH)
    model, visibility = architecture.build(config, SIZE, "float32"), architecture.visibility
    parameters = random_parameters(config)
    whole = jax.jit(lambda p: model.apply({"params": p}, batch, visibility, train=False))(parameters)

    @jax.jit  # compiled for each length of a piece, not for each piece
    def extend(parameters, piece, cache):
        hidden, cache = model.apply({"params": parameters}, piece, cache, visibility, method="extend")
        return model.apply({"params": parameters}, hidden, method="logits"), cache

    prepared, start, found = prepare(parameters), 0, []
    cache = jax.jit(lambda p: model.apply({"params": p}, batch, LENGTH + 3, method="begin"))(prepared)
    for size in pieces:
        piece = jax.tree.map(lambda x, start=start, size=size: x[:, start:start + size], stream)
        logits, cache = extend(prepared, piece, cache)
        found.append(logits)
        start += size
    real = stream.segment_ids != 0
    return np.asarray(whole)[real], np.concatenate(found, axis=1)[real]


def random_parameters(config: ModelConfig):
    """Far from any initial ones; gains near 1."""
    rng = np.random.default_rng(0)
    flat = flatten_tree(abstract_parameters(config, SIZE))
    return nest({path: (0.3 * rng.standard_normal(leaf.shape) + path.endswith("scale")).astype(np.float32)
                 for path, leaf in flat.items()})


ONE_BY_ONE = (PROMPT, *[1] * (LENGTH - PROMPT))


# Two stacks have a memory, too. A prefix decoder reads its prefix as a whole and goes on as a decoder does, whatever
# the scheme: one of each hook.
@pytest.mark.parametrize(("architecture", "position"), [
    ("decoder_only", "rotary"), *(("prefix_decoder", position) for position in ("rotary", "learned", "t5_bias")),
    *(("encoder_decoder", position) for position in POSITIONS.names())])
def test_cached_is_uncached_for_every_position_scheme(architecture, position):
    whole, pieces = read_both_ways(model_config(architecture=architecture, position=position), ONE_BY_ONE)
    np.testing.assert_allclose(pieces, whole, atol=2e-5)


# With a memory, which has what there is to attention; in one stack those that a prefix could be a matter of.
@pytest.mark.parametrize(("architecture", "switches"), [
    *(("encoder_decoder", switches) for switches in SWITCHES),
    *(("prefix_decoder", switches) for switches in ("windows, qk_norm", "window, first_norm"))])
def test_cached_is_uncached_for_every_switch(architecture, switches):
    config = model_config(architecture=architecture, position="rotary", **SWITCHES[switches])
    whole, pieces = read_both_ways(config, ONE_BY_ONE)
    np.testing.assert_allclose(pieces, whole, atol=2e-5)


def test_shared_stacks_keep_their_caches_apart():
    whole, pieces = read_both_ways(model_config(architecture="encoder_decoder", share_stacks=True), ONE_BY_ONE)
    np.testing.assert_allclose(pieces, whole, atol=2e-5)


@pytest.mark.parametrize("pieces", [(LENGTH,), (3, 8, 3)])
def test_how_a_stream_is_cut_does_not_matter(pieces):
    whole, found = read_both_ways(model_config(position="alibi", windows="0,4"), pieces)
    np.testing.assert_allclose(found, whole, atol=2e-5)


@pytest.mark.parametrize("changes", [{"kv_heads": 2, "first_norm": False}, {"share_blocks": True}], ids=str)
def test_unstacked_parameters_are_the_same_model(changes):
    config = model_config(architecture="encoder_decoder", **changes)
    whole, pieces = read_both_ways(config, ONE_BY_ONE, unstacked)
    np.testing.assert_allclose(pieces, whole, atol=2e-5)


def test_a_prefix_read_in_two_pieces_is_another_text():
    """A negative control: its first half has not seen the second, so the comparison can fail."""
    whole, pieces = read_both_ways(model_config(architecture="prefix_decoder"), (3, 3, *[1] * (LENGTH - PROMPT)))
    assert np.abs(pieces - whole).max() > 1e-2


def test_an_empty_cache_is_as_large_as_its_heads_say():
    cache = empty_cache(model_config(kv_heads=1, head_dim=6), 3, 2, 10, jnp.dtype("bfloat16"))
    arrays = jax.tree.leaves(cache.blocks)
    assert len(arrays) == 2 * 3 and all(a.shape == (2, 10, 1, 6) and a.dtype == jnp.bfloat16 for a in arrays)
