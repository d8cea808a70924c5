"""What is chosen on a GPU is lowered for it, by JAX's own rules, and there gives what `attend` gives."""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import pytest

from arch_zoo.layers.kernels import base
from arch_zoo.layers.kernels.automatic import Automatic
from arch_zoo.layers.kernels.cudnn import CuDNN
from arch_zoo.layers.kernels.pallas import Pallas
from arch_zoo.layers.visibility import Visibility, seen_self
from arch_zoo.settings import override
from arch_zoo.training.parallel import choose_devices, make_parallel
from arch_zoo.training.setup import Setup
from arch_zoo.training.step import make_evaluation_step
from benchmarks.steps.cases import CASES, random_batch
from tests.layers.attention_variants import VARIANTS, D, asked, assert_equal, of_variant, results, ways
from tests.toy import SIZE, tiny_config, toy_batch


def _a_gpu():
    """JAX from 0.12 on wants to know for which GPU it lowers."""
    device = jax.sharding.AbstractDevice("NVIDIA H200", 132, "gpu")
    return jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((1,), ("all",), abstract_device=device))


@pytest.mark.parametrize(("length", "head_dim"), [(1024, 64), (512, 128), (64, 16), (256, 80)])
def test_pallas_is_lowered_for_gpus(length, head_dim):
    q = jax.ShapeDtypeStruct((2, length, 2, head_dim), jnp.bfloat16)
    segments = jax.ShapeDtypeStruct((2, length), jnp.int32)

    def gradients(q, k, v, segment_ids):
        seen = seen_self(Visibility.CAUSAL, segment_ids, jnp.zeros(segment_ids.shape, bool))
        return results(Pallas(), (q, k, v), seen)

    assert Pallas().refusal(asked(one_segment=False, queries=length, keys=length, head_dim=head_dim)) is None
    with _a_gpu():
        program = jax.jit(gradients).trace(q, q, q, segments).lower(lowering_platforms=("cuda",)).as_text()
    assert "mha_forward" in program and "mha_backward" in program


@pytest.fixture
def gpu(monkeypatch):
    """JAX is told that there is a GPU with cuDNN: what it refuses, it refuses here, too."""
    monkeypatch.setattr("jax._src.cudnn.fused_attention_stablehlo.check_cudnn_version", lambda: 91000)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(base, "_say_once", lambda message: pytest.fail(message))


def lowered(function, *arguments) -> str:
    """The program for GPUs, in whose calls of cuDNN all that has rows has the same, and no bias comes with a window."""
    program = jax.jit(function).trace(*arguments).lower(lowering_platforms=("cuda",)).as_text()
    for call in re.findall(r"@__cudnn\$.*", program):
        rows = re.findall(r"tensor<(\d+)x", call[call.rindex(" : ("):call.rindex("->")])
        assert len(set(rows) - {"1"}) == 1
        assert "Bias" not in call or r"sliding_window_length\22: 0," in call
    return program


def chosen_for(name: str):
    """The kernel that `auto` takes for it on a GPU."""
    seen, bias, _ = VARIANTS[name]
    _, queries, keys = seen.visible_bqk.shape
    return Automatic().chosen(dataclasses.replace(asked(), queries=queries, keys=keys, head_dim=D, pattern=seen.pattern,
                                                  bias=bias))


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_is_lowered_for_gpus_alone_and_with_members(name, gpu):
    for way in ways(name):
        with _a_gpu():
            program = lowered(functools.partial(way, chosen_for(name)), *of_variant(name, jnp.bfloat16))
        assert ("mha_backward" if chosen_for(name) == Pallas() else "__cudnn$fmha") in program


def step_and_evaluation(config, batch, members: int) -> list[str]:
    """The programs of so many members, lowered for GPUs; only shapes are there."""
    setup = Setup.without_data(config, config.model.vocab_size or SIZE)
    parallel = make_parallel("jit", choose_devices(1), config.batch_size, config.accumulate)
    evaluate = make_evaluation_step(config.objective, setup.model, setup.visibility)

    def joined(tree):
        return jax.tree.map(lambda x: jnp.broadcast_to(x, (members, *x.shape)), tree) if members > 1 else tree

    state = jax.eval_shape(lambda: joined(setup.initial_state(batch)))
    parallel = parallel.together() if members > 1 else parallel
    return [lowered(parallel.compile_train(setup.step), state, joined(batch), joined(setup.knobs)),
            lowered(parallel.compile_evaluation(evaluate), state.parameters, batch)]


@pytest.mark.parametrize("name", CASES)
def test_the_steps_that_are_measured_are_lowered_for_gpus(name, gpu):
    config = CASES[name].config("bfloat16", {"batch_size": 2, "model.depth": 1})
    if config.model.encoder_depth:
        config = override(config, {"model.encoder_depth": 1})
    for program in step_and_evaluation(config, random_batch(config), members=1):
        assert "__cudnn$fmha" in program


@pytest.mark.parametrize("changes", [
    {"objective": "prefix_lm"}, {"model__architecture": "encoder_decoder", "objective": "span_corruption"},
    {"model__windows": (4,)}, {"model__position": "alibi"}, {"data__segments": False},
    {"model__position": "t5_bias", "data__segments": False}], ids=str)
def test_a_step_of_members_is_lowered_for_gpus(changes, gpu):
    config = tiny_config(dtype="bfloat16", model__depth=1, data__length=64, **changes)
    batch = toy_batch(config, documents=config.data.segments).replace(one_segment=not config.data.segments)
    for program in step_and_evaluation(config, batch, members=2):
        assert "__cudnn$fmha" in program


@pytest.mark.skipif(jax.default_backend() != "gpu", reason="needs a GPU and ARCH_ZOO_TEST_GPU=1")
@pytest.mark.parametrize("name", VARIANTS)
def test_on_a_gpu_a_kernel_is_attend(name):
    for kernel in {CuDNN(), chosen_for(name)}:
        for way in ways(name):
            assert_equal(kernel, *of_variant(name, jnp.bfloat16), tolerance=0.05, results=way)
