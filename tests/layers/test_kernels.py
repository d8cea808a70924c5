"""Attention kernels: equal to `attend`, chosen as they say, and what they refuse has a reason."""

import dataclasses
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arch_zoo.flops import count_flops
from arch_zoo.layers.kernels import base
from arch_zoo.layers.kernels.automatic import Automatic
from arch_zoo.layers.kernels.base import Asked
from arch_zoo.layers.kernels.cudnn import CuDNN
from arch_zoo.layers.kernels.einsum import Einsum
from arch_zoo.layers.kernels.pallas import Pallas
from arch_zoo.layers.visibility import Pattern, Seen, Visibility, seen_cross, seen_self
from arch_zoo.registry import OBJECTIVES, POSITIONS
from tests.toy import abstract_parameters, compatible_pairs, drawn, tiny_config, toy_batch, toy_model

B, T, H, D = 3, 32, 4, 16
ROWS = {"one segment": jnp.array([[1] * 32, [1] * 21 + [0] * 11, [1] * 3 + [0] * 29]),
        "packed": jnp.array([[1] * 9 + [2] * 23, [1] * 8 + [2] * 8 + [1] * 8 + [2] * 4 + [0] * 4, [0] * 32])}
PREFIX = jnp.broadcast_to(jnp.arange(T) < 6, (B, T))
XLA, INTERPRETED = CuDNN(implementation="xla"), Pallas(interpret=True)


def normal(seed: int, *shape: int, dtype=jnp.float32) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape, dtype)


def inputs(groups: int = H, keys: int = T, dtype=jnp.float32) -> tuple[jax.Array, ...]:
    return (normal(0, B, T, H, D, dtype=dtype), normal(1, B, keys, groups, D, dtype=dtype),
            normal(2, B, keys, groups, D, dtype=dtype))


def results(kernel, qkv, seen: Seen, bias=None):
    """(output, gradients of the queries, keys and values)."""
    def loss(*arrays):
        out = kernel(*arrays, seen, bias, scale=0.3, drop=None)
        return jnp.sum(jnp.sin(out.astype(jnp.float32))), out

    (_, out), gradients = jax.value_and_grad(loss, (0, 1, 2), has_aux=True)(*qkv)
    return out, gradients


def seen_in(rows: str, visibility: Visibility, window: int = 0) -> Seen:
    return seen_self(visibility, ROWS[rows], PREFIX, window, one_segment=rows == "one segment")


def assert_equal(kernel, qkv, seen, bias=None, tolerance=2e-5):
    for ours, expected in zip(jax.tree.leaves(results(kernel, qkv, seen, bias)),
                              jax.tree.leaves(results(Einsum(), qkv, seen, bias)), strict=True):
        np.testing.assert_allclose(np.asarray(ours, np.float32), np.asarray(expected, np.float32), atol=tolerance)


# --- equal -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("groups", [H, 2, 1])
@pytest.mark.parametrize("visibility", [Visibility.CAUSAL, Visibility.BIDIRECTIONAL])
@pytest.mark.parametrize("rows", ROWS)
def test_pallas_is_attend(rows, visibility, groups):
    assert_equal(INTERPRETED, inputs(groups), seen_in(rows, visibility))


@pytest.mark.parametrize("window", [0, 5])
@pytest.mark.parametrize("visibility", Visibility)
@pytest.mark.parametrize("rows", ROWS)
def test_the_call_of_cudnn_is_attend(rows, visibility, window):
    """With XLA behind the same call: what differs on a GPU is the last test's."""
    assert_equal(XLA, inputs(2), seen_in(rows, visibility, window))


def test_the_call_of_cudnn_is_attend_with_a_bias_and_across_streams():
    assert_equal(XLA, inputs(), seen_in("packed", Visibility.CAUSAL), normal(4, 1, H, T, T))
    for rows, segments in ROWS.items():
        assert_equal(XLA, inputs(keys=20), seen_cross(segments, segments[:, :20], rows == "one segment"))


def test_another_pattern_is_noticed():
    causal, other = (seen_in("packed", v) for v in (Visibility.CAUSAL, Visibility.BIDIRECTIONAL))
    wrong = dataclasses.replace(causal, pattern=other.pattern)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(results(INTERPRETED, inputs(), wrong)[0], results(Einsum(), inputs(), causal)[0],
                                   atol=1e-2)


# --- chosen ------------------------------------------------------------------------------------------------------

def asked(visibility: Visibility | None = Visibility.CAUSAL, *, one_segment: bool = True, window: int = 0,
          crosses: bool = False, **changes) -> Asked:
    pattern = None if visibility is None else Pattern(None, None, visibility, window, one_segment, crosses)
    return dataclasses.replace(Asked("gpu", "bfloat16", 1024, 1024, 64, pattern, train=True), **changes)


CHOSEN = {"one segment": (asked(), CuDNN(dense=False)),
          "packed": (asked(one_segment=False), Pallas()),
          "packed, of an odd length": (asked(one_segment=False, queries=1000, keys=1000), CuDNN()),
          "a window": (asked(window=128), CuDNN(dense=False)),
          "a window in packed rows": (asked(window=128, one_segment=False), CuDNN()),
          "a window to both sides": (asked(Visibility.BIDIRECTIONAL, window=128), CuDNN()),
          "a prefix": (asked(Visibility.PREFIX), CuDNN()),
          "another stream": (asked(Visibility.BIDIRECTIONAL, crosses=True, queries=114), CuDNN(dense=False)),
          "another stream in packed rows": (asked(Visibility.BIDIRECTIONAL, crosses=True, one_segment=False), CuDNN()),
          "a fixed bias": (asked(bias="fixed"), CuDNN()),
          "several devices a row": (asked(one_segment=False, shared_rows=True), CuDNN()),
          "a learned bias of all rows": (asked(bias="shared"), CuDNN()),
          "a learned bias of each row": (asked(bias="learned"), Einsum()),
          "dropout": (asked(dropout=True), Einsum()),
          "float32": (asked(dtype="float32"), Einsum()),
          "odd lengths that only an array describes": (asked(None, queries=77, keys=77), Einsum()),
          "a cache": (asked(None, queries=1, train=False), Einsum()),
          "windows that change in a loop": (asked(None), CuDNN()),
          "large heads": (asked(head_dim=256), Einsum()),
          "a CPU": (asked(platform="cpu"), Einsum()),
          "a TPU": (asked(platform="tpu"), Einsum())}


@pytest.mark.parametrize("what", CHOSEN)
def test_what_is_chosen(what):
    question, kernel = CHOSEN[what]
    assert Automatic().chosen(question) == kernel


@pytest.mark.parametrize("kernel", [CuDNN(), Pallas()])
def test_a_kernel_that_is_named_is_used_or_the_log_says_why_not(kernel, caplog):
    assert kernel.chosen(asked()) == kernel
    base._say_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert kernel.chosen(asked(dropout=True, train=False)) == Einsum()
        assert not caplog.records  # only training is loud
        for _ in range(2):
            assert kernel.chosen(asked(dropout=True)) == Einsum()
    message, = [record.message for record in caplog.records]
    assert kernel.name in message and "model.attention_dropout=0" in message


def test_the_automatic_choice_says_why_it_falls_back(caplog):
    base._say_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        Automatic().chosen(asked(platform="cpu", dtype="float32"))
        assert not caplog.records
        Automatic().chosen(asked(dtype="float32"))
    message, = [record.message for record in caplog.records]
    assert "cudnn" in message and "pallas" in message and "dtype=bfloat16" in message


# --- what they are told is true ----------------------------------------------------------------------------------

@pytest.mark.parametrize(("architecture", "objective"), [
    pair for pair in compatible_pairs() if not OBJECTIVES.get(pair[1]).reads_pairs])
def test_without_boundaries_between_documents_a_row_is_one_segment(architecture, objective):
    batch = toy_batch(tiny_config(model__architecture=architecture, objective=objective), documents=False)
    for stream in filter(None, (batch.stream, batch.source)):
        ids = np.asarray(stream.segment_ids)
        assert ids.max() == 1 and (np.diff(ids, axis=1) <= 0).all()


@pytest.mark.parametrize("position", POSITIONS.names())
def test_a_row_of_one_segment_need_not_say_so(position):
    """Distances that are the same in all rows are computed once: the numbers are those of each row by itself."""
    config = tiny_config(model__position=position, model__depth=1)
    batch, model, causal = toy_batch(config, documents=False), toy_model(config), Visibility.CAUSAL
    parameters = drawn(abstract_parameters(config), 0.3)

    def logits(one_segment):
        told = batch.replace(one_segment=one_segment)
        return jax.jit(lambda p: model.apply({"params": p}, told, causal, train=False))(parameters)

    np.testing.assert_allclose(logits(True), logits(False), atol=1e-5)


def test_what_flash_kernels_execute_is_counted():
    seen = seen_in("packed", Visibility.CAUSAL)
    product = 2 * B * H * T * T * D

    def flops(kernel):
        return count_flops(lambda *qkv: results(kernel, qkv, seen), *inputs())

    assert flops(Einsum()) == 6 * product and flops(INTERPRETED) == 7 * product  # the logits are made again


# --- on GPUs -----------------------------------------------------------------------------------------------------

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


@pytest.mark.skipif(jax.default_backend() != "gpu", reason="needs a GPU")
@pytest.mark.parametrize("kernel", [CuDNN(), Pallas()])
@pytest.mark.parametrize("rows", ROWS)
def test_on_a_gpu_a_kernel_is_attend(rows, kernel):
    assert_equal(kernel, inputs(dtype=jnp.bfloat16), seen_in(rows, Visibility.CAUSAL), tolerance=0.05)
