"""Each position scheme against a few lines written from its paper, and the rules that all schemes keep."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arch_zoo.config import ModelConfig
from arch_zoo.layers.positions.alibi import Alibi, slopes
from arch_zoo.layers.positions.learned import Learned
from arch_zoo.layers.positions.rotary import Rotary
from arch_zoo.layers.positions.sinusoidal import Sinusoidal
from arch_zoo.layers.positions.t5_bias import T5Bias, bucket
from arch_zoo.layers.positions.transformer_xl import TransformerXL
from arch_zoo.layers.stack import Stack
from arch_zoo.layers.visibility import Visibility
from arch_zoo.registry import POSITIONS
from tests.helpers import stream_batch
from tests.toy import abstract_parameters, drawn, tiny_config, toy_model

HOOKS = {"alibi": {"bias"}, "learned": {"embed"}, "none": set(), "rotary": {"rotate"}, "sinusoidal": {"embed"},
         "t5_bias": {"bias"}, "transformer_xl": {"relate"}}
RANGE = jnp.arange(6)[None]
DISTANCE = RANGE[:, :, None] - RANGE[:, None, :]


def normal_param(name, initializer, shape):
    """What a module would give a scheme that asks for a table."""
    return jax.random.normal(jax.random.key(0), shape)


# --- against the papers ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("width", [6, 7])
def test_sinusoidal(width):
    expected = np.array([[math.sin(p / 10_000 ** (i / width)) if i % 2 == 0 else
                          math.cos(p / 10_000 ** ((i - 1) / width)) for i in range(width)] for p in range(6)])
    table = Sinusoidal().embed(normal_param, RANGE, width, 6)
    np.testing.assert_allclose(table[0], expected, atol=1e-6)


def test_sinusoids_in_halves_are_the_same_numbers_in_another_order():
    halves, turns = (Sinusoidal(order=order).embed(normal_param, RANGE, 6, 6) for order in ("halves", "interleaved"))
    np.testing.assert_array_equal(halves, turns[..., [0, 2, 4, 1, 3, 5]])


def test_learned_positions_begin_behind_the_offset():
    made = Learned(offset=2).embed(lambda name, initializer, shape: jnp.arange(shape[0])[:, None], RANGE, 8, 6)
    assert made[0, :, 0].tolist() == [2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("groups", [2, 1])
def test_transformer_xl_is_the_papers_formula(groups):
    """Terms b, c and d of equation 4 of section 3.3, one entry at a time; term a is attention's own."""
    width, heads, size = 6, 2, 4
    rng = np.random.default_rng(0)
    made = {"relative_kernel": rng.normal(size=(width, heads, size)), "content_bias": rng.normal(size=(heads, size)),
            "distance_bias": rng.normal(size=(heads, size))}
    q, k = rng.normal(size=(1, 6, heads, size)), rng.normal(size=(1, 6, groups, size))
    positions = jnp.array([[0, 1, 2, 0, 1, 3]])  # two documents, and a gap
    scheme = TransformerXL()
    actual = scheme.relate(lambda name, initializer, shape: jnp.asarray(made[name]).reshape(shape), jnp.asarray(q),
                           jnp.asarray(k), positions[:, :, None] - positions[:, None, :], width)
    for h in range(heads):
        for i in range(6):
            for j in range(6):
                distance = int(positions[0, i] - positions[0, j])
                angles = [distance / 10_000 ** (n / width) for n in (0, 2, 4)]
                r = np.array([*map(math.sin, angles), *map(math.cos, angles)]) @ made["relative_kernel"][:, h]
                key = k[0, j, h * groups // heads]
                expected = q[0, i, h] @ r + made["content_bias"][h] @ key + made["distance_bias"][h] @ r
                assert actual[0, h, i, j] == pytest.approx(expected, abs=1e-4)


STRETCHES = {"linear": Rotary(stretch="linear", factor=4.0),
             "llama3": Rotary(stretch="llama3", factor=4.0, original_len=32, slow=1.0, fast=4.0),
             "yarn": Rotary(stretch="yarn", factor=4.0, original_len=32, slow=1.0, fast=32.0)}


@pytest.mark.parametrize("name", STRETCHES)
def test_a_stretched_rotary_turns_no_faster_and_at_least_a_factors_share(name):
    plain, scheme = Rotary().frequencies(10_000.0, 64), STRETCHES[name]
    ratio = plain / scheme.frequencies(10_000.0, 64)
    assert (ratio >= 1 - 1e-9).all() and (ratio <= 4 + 1e-9).all()
    assert ratio[-1] == pytest.approx(4.0)
    assert ratio[0] == pytest.approx(4.0 if name == "linear" else 1.0)
    assert (np.diff(ratio) >= -1e-9).all()
    if name != "linear":
        assert ((ratio > 1.01) & (ratio < 3.99)).any()  # a passage, not a step


def test_rotary_has_another_base_where_there_is_a_window():
    x = jax.random.normal(jax.random.key(0), (1, 6, 2, 8))
    scheme = Rotary(local_theta=100.0)
    np.testing.assert_array_equal(scheme.rotate(x, RANGE, True), Rotary(theta=100.0).rotate(x, RANGE))
    np.testing.assert_array_equal(scheme.rotate(x, RANGE, jnp.array(False)), Rotary().rotate(x, RANGE))


def test_rotary_turns_pairs_as_complex_numbers():
    x = np.random.default_rng(0).normal(size=(1, 6, 2, 8)).astype(np.float32)
    angles = np.arange(6)[:, None, None] * 10_000.0 ** (-2 * np.arange(4) / 8)
    turned = (x[..., :4] + 1j * x[..., 4:]) * np.exp(1j * angles)
    np.testing.assert_allclose(Rotary().rotate(jnp.asarray(x), RANGE), np.concatenate([turned.real, turned.imag], -1),
                               atol=1e-5)


def test_alibi_slopes_are_the_published_ones():
    eight = [1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 128, 1 / 256]
    assert slopes(8) == eight
    np.testing.assert_allclose(slopes(16)[:3], [2**-0.5, 2**-1, 2**-1.5])
    np.testing.assert_allclose(slopes(12), eight + [2**-0.5, 2**-1.5, 2**-2.5, 2**-3.5])


def test_alibi_falls_with_distance_to_both_sides():
    bias = Alibi().bias(normal_param, DISTANCE, 8, True)
    expected = [[[-slope * abs(q - k) for k in range(6)] for q in range(6)] for slope in slopes(8)]
    np.testing.assert_allclose(bias[0], expected, atol=1e-6)


def bucket_of(relative: int, two_sided: bool, buckets: int, max_distance: int) -> int:
    """T5's buckets as the paper has them: half exact, the other half logarithmic up to max_distance, then shared."""
    offset = 0
    if two_sided:
        buckets //= 2
        offset = buckets if relative > 0 else 0
    elif relative > 0:
        return 0
    distance, exact = abs(relative), buckets // 2
    if distance < exact:
        return offset + distance
    position = math.log(distance / exact) / math.log(max_distance / exact) * (buckets - exact)
    return offset + min(buckets - 1, exact + int(position + 1e-6))


@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize(("buckets", "max_distance"), [(32, 128), (8, 20)])
def test_t5_buckets(two_sided, buckets, max_distance):
    relative = np.arange(-200, 201)
    expected = [bucket_of(int(r), two_sided, buckets, max_distance) for r in relative]
    assert bucket(jnp.asarray(relative), two_sided, buckets, max_distance).tolist() == expected
    assert set(expected) == set(range(buckets)) - ({buckets // 2} if two_sided else set())


# --- rules that all schemes keep ---------------------------------------------------------------------------------

@pytest.mark.parametrize("name", HOOKS)
def test_a_scheme_acts_through_its_hooks_only(name):
    scheme = POSITIONS.get(name)()
    x = jax.random.normal(jax.random.key(1), (1, 6, 2, 8))
    acts = {"embed": scheme.embed(normal_param, RANGE, 8, 16), "bias": scheme.bias(normal_param, DISTANCE, 2, False),
            "relate": scheme.relate(normal_param, x, x, DISTANCE, 8)}
    assert {hook for hook, value in acts.items() if value is not None} == HOOKS[name] - {"rotate"}
    assert bool((scheme.rotate(x, RANGE) != x).any()) == ("rotate" in HOOKS[name])
    shapes = {"embed": (1, 6, 8), "bias": (1, 2, 6, 6), "relate": (1, 2, 6, 6)}
    assert all(jnp.broadcast_shapes(value.shape, shapes[hook]) == shapes[hook]
               for hook, value in acts.items() if value is not None)


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_rotary_logits_depend_on_distance_only(share):
    q, k = jax.random.normal(jax.random.key(0), (2, 1, 1, 1, 8))
    scheme = Rotary(share=share)

    def logit(at_q, at_k):
        return jnp.sum(scheme.rotate(q, jnp.array([[at_q]])) * scheme.rotate(k, jnp.array([[at_k]])))

    np.testing.assert_allclose(logit(7, 3), logit(104, 100), atol=1e-4)
    assert abs(logit(7, 3) - logit(7, 4)) > 1e-2


def test_rotary_share_leaves_the_rest_of_a_head():
    x = jax.random.normal(jax.random.key(0), (1, 6, 2, 8))
    turned = Rotary(share=0.5).rotate(x, RANGE)
    np.testing.assert_array_equal(turned[..., 4:], x[..., 4:])
    assert (turned[:, 1:, :, :4] != x[:, 1:, :, :4]).all()
    np.testing.assert_array_equal(Rotary(share=0.0).rotate(x, RANGE), x)


def test_rotary_refuses_what_it_cannot_pair():
    assert "pairs" in Rotary().refusal(7)
    assert "3 of 6" in Rotary(share=0.5).refusal(6)
    assert Rotary().refusal(6) is None


@pytest.mark.parametrize(("visibility", "rows"), [
    (Visibility.CAUSAL, {0, 1, 2, 3, 4, 5}),
    (Visibility.PREFIX, {0, 1, 2, 3, 4, 5, 17, 18}),  # keys after the query are at most two ahead: the prefix is three
    (Visibility.BIDIRECTIONAL, {0, 1, 2, 3, 4, 5, 17, 18, 19, 20, 21}),
])
def test_t5_buckets_have_the_direction_of_the_visibility(visibility, rows):
    """The rows of the table that get a gradient: two-sided wherever a key after the query can be seen."""
    config = ModelConfig(width=8, heads=2, position="t5_bias", initializer_std=0.5)
    stack, x = Stack(config, 1), jax.random.normal(jax.random.key(0), (1, 6, 8))
    surroundings = (visibility, jnp.ones((1, 6), int), RANGE, RANGE < 3, jnp.arange(1))
    parameters = drawn(jax.eval_shape(lambda: stack.init(jax.random.key(1), x, *surroundings, train=False)), 0.5)
    grads = jax.jit(jax.grad(lambda p: jnp.sum(stack.apply(p, x, *surroundings, train=False) ** 3)))(parameters)
    assert {int(i) for i in np.flatnonzero(np.abs(grads["params"]["relative_bias"]).max(axis=1))} == rows


@pytest.mark.parametrize("name", HOOKS)
@pytest.mark.parametrize("architecture", ["encoder_only", "decoder_only"])
def test_a_document_reads_the_same_packed_as_alone(name, architecture):
    config = tiny_config(model__position=name, model__architecture=architecture, model__scan=True,
                         objective="masked_lm" if architecture == "encoder_only" else "causal_lm")
    first, second = [30, 31, 40, 22, 50], [33, 60, 41, 42, 43, 24, 25]
    batch = stream_batch([first + second, first, second], [[1] * 5 + [2] * 7, [1] * 5, [1] * 7])
    model, visibility = toy_model(config), config.model.architecture.visibility
    parameters = drawn(abstract_parameters(config), 0.3)
    read = jax.jit(lambda b: model.apply({"params": parameters}, b, visibility, train=False))
    logits = read(batch)
    np.testing.assert_allclose(logits[0, :5], logits[1, :5], atol=2e-5)
    np.testing.assert_allclose(logits[0, 5:], logits[2, :7], atol=2e-5)
    one_document = batch.replace(stream=batch.stream.replace(segment_ids=np.minimum(batch.stream.segment_ids, 1)))
    mixed = read(one_document)
    assert np.abs(mixed[0, 5:] - logits[2, :7]).max() > 1e-2


def test_configs_can_hold_every_scheme():
    assert set(HOOKS) <= set(POSITIONS.names())
    assert isinstance(ModelConfig(position=T5Bias(buckets=8)).position, T5Bias)
