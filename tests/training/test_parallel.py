"""One device, several devices, jit, pmap, parameters cut over a mesh, accumulation: the same step.

With SGD and on gradients: Adam divides a wrong scale away. Loss weights are ragged: whole documents carry none.
"""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from arch_zoo.config import RunConfig
from arch_zoo.errors import UserError
from arch_zoo.layers.kernels.einsum import Einsum
from arch_zoo.layers.kernels.pallas import Pallas
from arch_zoo.settings import override
from arch_zoo.training.optimizers import make_optimizer
from arch_zoo.training.parallel import choose_devices, make_parallel
from arch_zoo.training.state import TrainState
from arch_zoo.training.step import make_train_step
from tests.toy import WITHOUT_BIASES, abstract_parameters, drawn, tiny_config, toy_batch, toy_model

CHANGES = {"optimizer__kind": "sgd", "optimizer__clip_norm": None, "optimizer__learning_rate": 0.5,
           "optimizer__warmup_steps": 0, "batch_size": 16, "model__attention_dropout": 0.1,
           "model__residual_dropout": 0.2, "model__embedding_dropout": 0.1, "model__mlp_dropout": 0.1,
           "model__depth": 1, **WITHOUT_BIASES}
WAYS = [("jit", 2, 1, ""), ("jit", 8, 1, ""), ("pmap", 8, 1, ""), ("jit", 1, 4, ""), ("pmap", 2, 4, ""),
        ("jit", 8, 1, "fsdp:8"), ("jit", 8, 2, "fsdp:2,tensor:2")]
DATA, PIECES, MESH = WAYS[1], WAYS[4], WAYS[6]  # have between them what there is: each program takes seconds to compile
WAYS_OF = {("encoder_only", "masked_lm"): WAYS,
           ("encoder_only", "next_sentence"): [DATA, PIECES, MESH],  # a loss of two means: two weights of the batch
           ("encoder_only", "electra"): [PIECES, MESH],  # draws of its own
           ("encoder_decoder", "span_corruption"): [MESH]}  # parameters of two stacks
PAIRS = list(WAYS_OF)
CASES = [(pair, way) for pair, ways in WAYS_OF.items() for way in ways]


@dataclasses.dataclass
class Case:
    """A config with its batches and its state before the first step, made once for all ways to run it."""

    config: RunConfig

    def __post_init__(self):
        self.model = toy_model(self.config)
        self.visibility = self.config.model.architecture.visibility
        self.optimizer = make_optimizer(self.config.optimizer, self.config.steps)
        self.batches = [ragged(toy_batch(self.config, first=16 * i)) for i in range(2)]
        parameters = drawn(abstract_parameters(self.config), 0.1)
        self.start = jax.device_get(TrainState(np.int32(0), parameters, self.optimizer.init(parameters)))

    def two_steps(self, kind, devices, accumulate, mesh="", mean_of_means=False):
        """Parameters and metrics after two steps."""
        parallel = make_parallel(kind, choose_devices(devices), self.config.batch_size, accumulate, mesh_of(mesh))
        step = make_train_step(self.config.objective, self.model, self.visibility, self.optimizer,
                               seed=self.config.seed, accumulate=accumulate)
        chosen = wrong_step(step) if mean_of_means else step
        compiled = parallel.compile_train(lambda state, batch, knobs, axis=None: chosen(state, batch, axis))
        state = parallel.place_state(self.start)
        for batch in self.batches:
            state, metrics = compiled(state, parallel.place_batch(batch), 0.0)
        return jax.device_get(state.parameters), jax.device_get(metrics)


def ragged(batch):
    """Very different numbers of loss-carrying positions in different rows."""
    share = np.linspace(0, 1, len(batch.example_ids))[:, None]
    keep = np.arange(batch.loss_weights.shape[1]) < share * batch.loss_weights.shape[1]
    target = np.where(np.arange(len(share)) % 5 < 2, -1, batch.sentence_target)
    return batch.replace(loss_weights=batch.loss_weights * keep, sentence_target=target)


def wrong_step(step):
    """The classic mistake: each device divides by its own weight, and the means are averaged."""
    def mistaken(state, batch, axis=None):
        new, metrics = step(state, batch)
        return jax.lax.pmean((new, metrics), axis)
    return mistaken


def mesh_of(text):
    return override(RunConfig(), {"mesh": text}).mesh


def difference(a, b):
    scale = max(np.abs(x).max() for x in jax.tree.leaves(a))
    return max(jax.tree.leaves(jax.tree.map(lambda x, y: np.abs(x - y).max(), a, b))) / scale


@functools.cache
def reference_of(architecture, objective):
    """(its case, parameters and metrics after two steps on one device)."""
    case = Case(tiny_config(model__architecture=architecture, objective=objective, **CHANGES))
    return case, *case.two_steps("jit", 1, 1)


@pytest.mark.parametrize(("pair", "way"), CASES, ids=lambda part: "-".join(map(str, part)))
def test_same_step(pair, way):
    case, parameters, metrics = reference_of(*pair)
    other, other_metrics = case.two_steps(*way)
    assert difference(parameters, other) < 2e-6
    assert metrics.keys() == other_metrics.keys()
    for name in metrics:
        exact = name.startswith(("weight/", "loss_weight"))
        np.testing.assert_allclose(metrics[name], other_metrics[name], rtol=0 if exact else 2e-5, err_msg=name)


@pytest.mark.parametrize("pair", PAIRS[:2], ids="-".join)
def test_the_comparison_can_fail(pair):
    case, parameters, _ = reference_of(*pair)
    mistaken, _ = case.two_steps("pmap", 2, 1, mean_of_means=True)
    assert difference(parameters, mistaken) > 1e-4


@pytest.fixture(scope="module")
def with_kernels():
    """Two cases from one start: attention by einsum, and by the Pallas kernel in its interpreter."""
    plain = CHANGES | {"model__attention_dropout": 0.0, "model__head_dim": 16}
    einsum, pallas = (Case(tiny_config(**plain, model__attention_kernel=kernel))
                      for kernel in (Einsum(), Pallas(interpret=True)))
    return pallas, *einsum.two_steps("jit", 1, 1)


@pytest.mark.parametrize(("kind", "devices", "accumulate", "mesh"), [
    ("jit", 8, 2, "fsdp:2"), ("pmap", 2, 1, ""), ("jit", 8, 1, "tensor:2")])
def test_a_kernel_that_xla_cannot_divide_is_run_by_each_device(with_kernels, kind, devices, accumulate, mesh):
    case, parameters, _ = with_kernels
    assert difference(parameters, case.two_steps(kind, devices, accumulate, mesh)[0]) < 5e-6


@pytest.mark.parametrize("kind", ["jit", "pmap"])
def test_a_batch_is_on_its_devices_before_the_step_asks_for_it(kind):
    parallel = make_parallel(kind, choose_devices(4), 8, 1)
    tokens = np.arange(24, dtype=np.float32).reshape(8, 3)

    def step(state, batch, knobs, axis=None):
        total = batch.sum() if axis is None else jax.lax.psum(batch.sum(), axis)
        return state + total, total

    compiled, knobs = parallel.compile_train(step), parallel.place_knobs(np.float32(0))
    state, _ = compiled(parallel.place_state(np.float32(0)), parallel.place_batch(tokens), knobs)
    batch = parallel.place_batch(tokens)
    with jax.transfer_guard("disallow"):
        state, _ = compiled(state, batch, knobs)
    assert float(state) == 2 * tokens.sum()


def test_batches_that_cannot_be_shared_out_are_refused():
    with pytest.raises(UserError, match=r"batch_size=12 is not divisible by 8 devices × accumulate=1; nearest: 8"):
        make_parallel("jit", choose_devices(8), 12, 1)
    with pytest.raises(UserError, match=r"devices=9, but there are 8"):
        choose_devices(9)
