"""Schedules, decay mask, and each update rule against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from arch_zoo.config import OptimizerConfig
from arch_zoo.training.optimizers import decay_mask, make_optimizer, make_schedule
from tests.toy import abstract_parameters, tiny_config

PEAK = 0.5
PLAIN = OptimizerConfig(learning_rate=PEAK, warmup_steps=0, schedule="constant", weight_decay=0.0, clip_norm=None)


# --- schedules ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("schedule", "at"), [
    ("cosine", {10: 1.0, 60: 0.55, 110: 0.1, 500: 0.1}),
    ("linear", {10: 1.0, 60: 0.55, 110: 0.1, 500: 0.1}),
    ("inverse_square_root", {10: 1.0, 20: 0.5**0.5, 40: 0.5, 90: 1 / 3}),
    ("constant", {10: 1.0, 60: 1.0, 500: 1.0}),
])
def test_schedule_at_its_corners(schedule, at):
    rate = make_schedule(OptimizerConfig(learning_rate=PEAK, warmup_steps=10, schedule=schedule), 110)
    warmup = {step: (step + 1) / 10 for step in range(10)}  # the first step moves, the tenth has the peak
    for step, share in (warmup | at).items():
        assert float(rate(step)) == pytest.approx(PEAK * share, rel=1e-5), step


def test_schedule_without_warmup_and_with_hardly_any():
    for schedule in ("cosine", "linear", "inverse_square_root", "constant"):
        for warmup in (0, 1):
            rate = make_schedule(OptimizerConfig(learning_rate=PEAK, warmup_steps=warmup, schedule=schedule), 20)
            assert float(rate(0)) == pytest.approx(PEAK)
            assert all(0 < float(rate(step)) <= PEAK * (1 + 1e-6) for step in range(25))
    assert float(make_schedule(OptimizerConfig(warmup_steps=50), 10)(5)) > 0  # a run shorter than its warm-up


# --- weight decay ------------------------------------------------------------------------------------------------

EVERYTHING = {"model__norm_bias": True, "model__qk_norm": True, "model__gated": True, "model__tied_embeddings": False,
              "model__head_transform": True, "model__logits_bias": True, "model__embedding_norm": True,
              "model__attention_bias": True, "model__mlp_bias": True}


@pytest.mark.parametrize("position", ["learned", "t5_bias"])
@pytest.mark.parametrize("architecture", ["encoder_decoder", "decoder_only"])
def test_every_parameter_is_decayed_or_known_not_to_be(architecture, position):
    parameters = abstract_parameters(tiny_config(model__architecture=architecture, model__position=position,
                                                 objective="prefix_lm", **EVERYTHING))
    mask = decay_mask(parameters)
    assert jax.tree.structure(mask) == jax.tree.structure(parameters)
    decayed, spared = set(), set()
    for path, decays in jax.tree_util.tree_leaves_with_path(mask):
        (decayed if decays else spared).add(path[-1].key)
    learned = position == "learned"
    assert decayed == {"kernel", "token_embedding", "output_embedding"} | ({"position_embedding"} if learned else set())
    assert spared == {"bias", "scale", "logits_bias"} | (set() if learned else {"relative_bias"})


# --- update rules ------------------------------------------------------------------------------------------------

RNG = np.random.default_rng(0)
PARAMETERS = {"kernel": RNG.normal(size=(3, 4)).astype(np.float32), "bias": RNG.normal(size=4).astype(np.float32)}
GRADIENTS = [jax.tree.map(lambda p: RNG.normal(size=p.shape).astype(np.float32), PARAMETERS) for _ in range(3)]


def after_steps(config, gradients=GRADIENTS, parameters=PARAMETERS):
    optimizer = make_optimizer(config, 100)
    state = optimizer.init(parameters)
    for gradient in gradients:
        updates, state = optimizer.update(gradient, state, parameters)
        parameters = optax.apply_updates(parameters, updates)
    return parameters


def assert_same(actual, expected):
    for name in expected:
        np.testing.assert_allclose(actual[name], expected[name], rtol=1e-4, atol=1e-5, err_msg=name)


def adamw_in_numpy(rate, b1, b2, epsilon, decay):
    expected = dict(PARAMETERS)
    for name, value in expected.items():
        m = v = 0.0
        for t, gradient in enumerate(GRADIENTS, start=1):
            m, v = b1 * m + (1 - b1) * gradient[name], b2 * v + (1 - b2) * gradient[name]**2
            update = (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + epsilon)
            value = value - rate * (update + (decay * value if name == "kernel" else 0))
        expected[name] = value
    return expected


@pytest.mark.parametrize("numbers", [(0.5, 0.9, 0.98, 1e-8, 0.1), (0.2, 0.5, 0.7, 0.3, 0.0)])
def test_adamw(numbers):
    rate, b1, b2, epsilon, decay = numbers
    config = PLAIN.replace(learning_rate=rate, b1=b1, b2=b2, epsilon=epsilon, weight_decay=decay)
    assert_same(after_steps(config), adamw_in_numpy(*numbers))
    with pytest.raises(AssertionError):
        assert_same(after_steps(config), adamw_in_numpy(rate, b1, b2, epsilon, decay + 0.05))


def test_sgd_with_momentum_and_decay():
    expected = {}
    for name, value in PARAMETERS.items():
        momentum = 0.0
        for gradient in GRADIENTS:
            momentum = 0.9 * momentum + gradient[name]
            value = value - PEAK * (momentum + (0.1 * value if name == "kernel" else 0))
        expected[name] = value
    assert_same(after_steps(PLAIN.replace(kind="sgd", weight_decay=0.1)), expected)


def test_adafactor_is_that_of_optax():
    parameters = {"kernel": np.float32(RNG.normal(size=(130, 140))), "bias": PARAMETERS["bias"]}  # large: factored
    gradients = [jax.tree.map(lambda p: np.float32(RNG.normal(size=p.shape)), parameters) for _ in range(3)]
    theirs = optax.adafactor(PEAK, momentum=None, weight_decay_rate=None)
    state, expected = theirs.init(parameters), parameters
    for gradient in gradients:
        updates, state = theirs.update(gradient, state, expected)
        expected = optax.apply_updates(expected, updates)
    assert_same(after_steps(PLAIN.replace(kind="adafactor"), gradients, parameters), expected)
    assert_same(after_steps(PLAIN.replace(kind="adafactor", weight_decay=0.1), gradients, parameters),
                {"bias": expected["bias"]})


def test_clipping_is_by_the_norm_of_all_gradients_together():
    norm = np.sqrt(sum((g**2).sum() for g in GRADIENTS[0].values()))
    sgd = PLAIN.replace(kind="sgd", b1=0.0)
    clipped = after_steps(sgd.replace(clip_norm=1.0), GRADIENTS[:1])
    assert_same(clipped, {name: PARAMETERS[name] - PEAK * g / norm for name, g in GRADIENTS[0].items()})
    for loose in (None, float(norm) * 1.01):
        assert_same(after_steps(sgd.replace(clip_norm=loose), GRADIENTS[:1]),
                    {name: PARAMETERS[name] - PEAK * g for name, g in GRADIENTS[0].items()})


@pytest.mark.parametrize("kind", ["adamw", "adafactor", "sgd"])
def test_the_schedule_scales_the_update(kind):
    config = PLAIN.replace(kind=kind, weight_decay=0.1, warmup_steps=4)
    full = jax.tree.map(jnp.subtract, after_steps(config.replace(warmup_steps=0), GRADIENTS[:1]), PARAMETERS)
    quarter = jax.tree.map(jnp.subtract, after_steps(config, GRADIENTS[:1]), PARAMETERS)
    assert_same(quarter, jax.tree.map(lambda u: u / 4, full))
