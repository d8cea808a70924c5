"""One device, several devices, jit, pmap, accumulation: the same step.

With SGD and on gradients: Adam divides a wrong scale away. Loss weights are ragged: whole documents carry none.
"""

import jax
import numpy as np
import pytest

from arch_zoo.errors import UserError
from arch_zoo.training.optimizers import make_optimizer
from arch_zoo.training.parallel import choose_devices, make_parallel
from arch_zoo.training.state import initialise
from arch_zoo.training.step import make_train_step
from tests.toy import tiny_config, toy_batch, toy_model

CHANGES = {"optimizer__kind": "sgd", "optimizer__clip_norm": None, "optimizer__learning_rate": 0.5,
           "optimizer__warmup_steps": 0, "batch_size": 16, "model__attention_dropout": 0.1,
           "model__residual_dropout": 0.2, "model__embedding_dropout": 0.1, "model__mlp_dropout": 0.1,
           "model__depth": 1}
WAYS = [("jit", 2, 1), ("jit", 8, 1), ("pmap", 2, 1), ("pmap", 8, 1), ("jit", 1, 4), ("pmap", 2, 4)]


def two_steps(config, kind, devices, accumulate, mean_of_means=False):
    """Parameters and metrics after two steps."""
    model, optimizer = toy_model(config), make_optimizer(config.optimizer, config.steps)
    visibility = config.model.architecture.visibility
    parallel = make_parallel(kind, choose_devices(devices), config.batch_size, accumulate)
    batches = [ragged(toy_batch(config, first=16 * i)) for i in range(2)]
    step = make_train_step(config.objective, model, visibility, optimizer, seed=config.seed, accumulate=accumulate)
    if mean_of_means:
        step = wrong_step(step)
    state = parallel.place_state(initialise(model, optimizer, batches[0], visibility, config.seed))
    compiled = parallel.compile_train(step)
    for batch in batches:
        state, metrics = compiled(state, parallel.place_batch(batch))
    return jax.device_get(state.parameters), jax.device_get(metrics)


def ragged(batch):
    """Very different numbers of loss-carrying positions in different rows."""
    share = np.linspace(0, 1, len(batch.example_ids))[:, None]
    keep = np.arange(batch.loss_weights.shape[1]) < share * batch.loss_weights.shape[1]
    return batch.replace(loss_weights=batch.loss_weights * keep)


def wrong_step(step):
    """The classic mistake: each device divides by its own weight, and the means are averaged."""
    def mistaken(state, batch, axis=None):
        new, metrics = step(state, batch)
        return jax.lax.pmean((new, metrics), axis)
    return mistaken


def difference(a, b):
    scale = max(np.abs(x).max() for x in jax.tree.leaves(a))
    return max(jax.tree.leaves(jax.tree.map(lambda x, y: np.abs(x - y).max(), a, b))) / scale


@pytest.fixture(scope="module", params=[("encoder_only", "masked_lm"), ("encoder_decoder", "span_corruption")],
                ids=lambda pair: pair[0])
def reference(request):
    architecture, objective = request.param
    config = tiny_config(model__architecture=architecture, objective=objective, **CHANGES)
    return config, *two_steps(config, "jit", 1, 1)


@pytest.mark.parametrize(("kind", "devices", "accumulate"), WAYS)
def test_same_step(reference, kind, devices, accumulate):
    config, parameters, metrics = reference
    other, other_metrics = two_steps(config, kind, devices, accumulate)
    assert difference(parameters, other) < 2e-6
    np.testing.assert_allclose(metrics["gradient_norm"], other_metrics["gradient_norm"], rtol=2e-5)
    assert metrics["loss_weight"] == other_metrics["loss_weight"]


def test_the_comparison_can_fail(reference):
    config, parameters, _ = reference
    mistaken, _ = two_steps(config, "pmap", 2, 1, mean_of_means=True)
    assert difference(parameters, mistaken) > 1e-4


def test_batches_that_cannot_be_shared_out_are_refused():
    with pytest.raises(UserError, match=r"batch_size=12 is not divisible by 8 devices × accumulate=1; nearest: 8"):
        make_parallel("jit", choose_devices(8), 12, 1)
    with pytest.raises(UserError, match=r"devices=9, but there are 8"):
        choose_devices(9)
