"""FLOPs: the closed formulas equal what stands in the jaxpr, exactly; the model's leave out what is hidden."""

import jax
import jax.numpy as jnp
import pytest

from arch_zoo import flops
from arch_zoo.analysis.ledger import counted_flops_per_token, make_ledger
from arch_zoo.flops import count_flops, data_sheet_flops, model_flops, peak_flops
from arch_zoo.layers.visibility import Visibility, visible_self
from arch_zoo.models.formulas import visible_pairs
from arch_zoo.settings import override
from arch_zoo.training.batches import example_batch
from arch_zoo.training.optimizers import make_optimizer
from arch_zoo.training.state import TrainState
from arch_zoo.training.step import make_train_step
from tests.toy import (
    PLAIN,
    SIZE,
    abstract_parameters,
    compatible_pairs,
    tiny_config,
    toy_batch,
    toy_model,
    toy_vocabulary,
)

PAIRS = compatible_pairs()
IDS = ["-".join(pair) for pair in PAIRS]
BASE = {"model.depth": 2, "data.length": 24}
OPTIONS = [{"model.kv_heads": 1, "model.head_dim": 12, "model.gated": True, "model.mlp_dim": 20},
           {"model.tied_embeddings": False, "model.head_transform": True, "model.logits_bias": True,
            "model.windows": (4, 0), "model.scan": True, "model.position": "t5_bias"},
           {"model.encoder_depth": 1, "model.placement": "parallel", "model.qk_norm": True,
            "model.position": "rotary", "model.remat": True, "model.scan": True},
           {"model.position": "transformer_xl", "model.share_blocks": True, "model.embedding_dim": 12},
           {"model.embedding_dim": 12, "model.head_transform": True, "model.first_norm": False}]


def counted(config):
    """Operations of the forward pass of one example, from the jaxpr."""
    model, visibility = toy_model(config), config.model.architecture.visibility
    batch = example_batch(config, toy_vocabulary())
    parameters = abstract_parameters(config)
    return count_flops(lambda p: config.objective.loss(model, p, batch, visibility, train=False), parameters)


def by_formula(config):
    return config.objective.forward_flops(config.model, SIZE, config.data.length)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: ",".join(k.split(".")[1] for k in o))
@pytest.mark.parametrize(("architecture", "objective"), dict(PAIRS).items())
def test_formula_is_the_jaxpr(architecture, objective, options):
    config = override(tiny_config(model__architecture=architecture, objective=objective), BASE | options)
    assert by_formula(config) == counted(config)


@pytest.mark.parametrize(("architecture", "objective"), PAIRS, ids=IDS)
def test_formula_is_the_jaxpr_for_every_objective(architecture, objective):
    config = override(tiny_config(model__architecture=architecture, objective=objective, model__gated=True,
                                  model__scan=True), BASE)
    assert by_formula(config) == counted(config)


@pytest.mark.parametrize(("option", "value"), [("kv_heads", 1), ("head_dim", 12), ("gated", True), ("mlp_dim", 20),
                                               ("head_transform", True), ("encoder_depth", 1), ("depth", 1)])
def test_the_formula_notices_what_costs(option, value):
    plain = tiny_config(model__architecture="encoder_decoder", objective="prefix_lm")
    assert by_formula(plain) != by_formula(override(plain, {f"model.{option}": value}))


# Each form of a loss; what objectives cost forward is above.
TRAINED = [pair for pair in PAIRS if pair[1] in (*PLAIN, "electra", "multi_token", "next_sentence")]


@pytest.mark.parametrize(("architecture", "objective"), TRAINED, ids=map("-".join, TRAINED))
def test_the_ledger_of_training_is_the_gradients_jaxpr(architecture, objective):
    """Backward costs twice the forward."""
    config = override(tiny_config(model__architecture=architecture, objective=objective), BASE)
    ledger = make_ledger(config, toy_vocabulary())
    assert ledger.flops_per_token == counted_flops_per_token(config, toy_vocabulary())
    assert ledger.flops == pytest.approx(ledger.flops_per_token * ledger.tokens)
    assert ledger.tokens == config.steps * config.batch_size * 24


def test_the_walk_counts_loops_and_calls():
    a, b = jnp.ones((3, 4)), jnp.ones((4, 5))
    once = 2 * 3 * 4 * 5
    assert count_flops(jnp.dot, a, b) == once
    assert count_flops(jax.jit(jnp.dot), a, b) == once
    assert count_flops(lambda a, b: jax.lax.scan(lambda c, _: (c + a @ b, None), jnp.zeros((3, 5)), length=7)[0],
                       a, b) == 7 * once
    assert count_flops(lambda a, b: jax.grad(lambda a: jnp.sum(jax.checkpoint(lambda a: jnp.sin(a @ b))(a)))(a),
                       a, b) == 3 * once  # forward, again, and backward


@pytest.mark.parametrize("window", [0, 1, 3, 4, 40])
@pytest.mark.parametrize("visibility", Visibility)
def test_visible_pairs_are_those_that_the_mask_lets_through(visibility, window):
    length, prefix = 13, 5 if visibility is Visibility.PREFIX else 0
    mask = visible_self(visibility, jnp.ones((1, length), int), jnp.arange(length)[None] < prefix, window)
    assert visible_pairs(visibility, length, prefix, window) == mask.sum()


def test_the_model_has_half_of_a_causal_decoders_attention_and_all_of_an_encoders():
    def model_and_executed(**changes):
        config = override(tiny_config(**changes), BASE)
        return model_flops(config, SIZE), 3 * config.batch_size * by_formula(config)

    encoder, executed = model_and_executed(model__architecture="encoder_only", objective="masked_lm")
    assert encoder == executed
    decoder, executed = model_and_executed()
    c, pairs, hidden = tiny_config().model, 24 * 24, 24 * 23 // 2
    assert executed - decoder == 3 * 8 * c.depth * 4 * c.width * hidden and 2 * hidden == pairs - 24
    both, executed = model_and_executed(model__architecture="encoder_decoder", objective="prefix_lm")
    assert 0 < executed - both < executed - decoder + 3 * 8 * c.depth * 4 * c.width * hidden
    windowed, _ = model_and_executed(model__architecture="encoder_only", objective="masked_lm", model__windows=(4,))
    assert windowed < encoder


def test_recomputation_is_executed_and_is_not_the_models():
    plain, again = tiny_config(), tiny_config(model__remat=True)
    assert model_flops(plain, SIZE) == model_flops(again, SIZE)

    def executed(config):
        step = make_train_step(config.objective, toy_model(config), config.model.architecture.visibility,
                               make_optimizer(config.optimizer, 1), seed=0, accumulate=1)
        batch = toy_batch(config)
        parameters = abstract_parameters(config)
        state = jax.eval_shape(lambda p: TrainState(jnp.zeros((), jnp.int32), p,
                                                    make_optimizer(config.optimizer, 1).init(p)), parameters)
        return count_flops(step, state, batch)

    assert executed(again) > executed(plain) >= model_flops(plain, SIZE)


def test_the_walk_counts_what_each_device_of_a_mesh_does():
    mesh = jax.make_mesh((1,), ("data",))
    body = jax.shard_map(jnp.dot, mesh=mesh, in_specs=jax.P(), out_specs=jax.P())
    assert count_flops(body, jnp.ones((3, 4)), jnp.ones((4, 5))) == 2 * 3 * 4 * 5


@pytest.mark.parametrize(("kind", "peak"), [
    ("NVIDIA L4", 121e12), ("NVIDIA L40S", 362e12), ("NVIDIA H100 80GB HBM3", 989e12), ("NVIDIA H100 PCIe", 756e12),
    ("NVIDIA A100-SXM4-80GB", 312e12), ("NVIDIA A10G", 70e12), ("NVIDIA B200", 2250e12), ("NVIDIA GB200", 2500e12),
    ("Tesla V100-SXM2-16GB", 125e12), ("TPU v5 lite", 197e12), ("TPU v5", 459e12), ("NVIDIA RTX A4000", None),
    ("cpu", None)])
def test_the_data_sheet_is_that_of_the_whole_name(kind, peak):
    assert data_sheet_flops(kind) == peak


class Unheard:
    """A device that no data sheet is known of, which computes on the first real one."""

    def __init__(self, platform):
        self.platform, self.device_kind = platform, "something new"


@pytest.mark.parametrize(("platform", "times"), [("cpu", 1), ("gpu", 3)])
def test_devices_that_are_not_known_are_measured_and_accelerators_add_up(monkeypatch, platform, times):
    ticks = iter(range(100))
    monkeypatch.setattr(flops.time, "perf_counter", lambda: next(ticks))
    monkeypatch.setattr(flops, "_SIDE", 64)
    seen, square = [], flops._square
    monkeypatch.setattr(flops, "_square", lambda a: seen.append((len(a), a.dtype.name)) or square(a))
    assert peak_flops([Unheard(platform)] * 3) == times * 2 * seen[0][0]**3
    assert set(seen) == {{"cpu": (768, "float32"), "gpu": (64, "bfloat16")}[platform]}
