"""Attention kernels: equal to `attend`, chosen as they say, and what they refuse has a reason."""

import dataclasses
import logging
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arch_zoo.flops import count_flops
from arch_zoo.layers.kernels import base
from arch_zoo.layers.kernels.automatic import Automatic
from arch_zoo.layers.kernels.cudnn import CuDNN
from arch_zoo.layers.kernels.einsum import Einsum
from arch_zoo.layers.kernels.pallas import Pallas
from arch_zoo.layers.visibility import Visibility
from arch_zoo.registry import OBJECTIVES, POSITIONS
from tests.layers.attention_variants import (
    VARIANTS,
    B,
    D,
    H,
    T,
    asked,
    assert_equal,
    inputs,
    of_variant,
    results,
    seen_in,
    ways,
)
from tests.toy import abstract_parameters, compatible_pairs, drawn, tiny_config, toy_batch, toy_model

XLA, INTERPRETED = CuDNN(implementation="xla"), Pallas(interpret=True)


# --- equal -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("rows", "visibility", "groups"), [
    ("one segment", Visibility.CAUSAL, H), ("one segment", Visibility.BIDIRECTIONAL, 2),
    ("packed", Visibility.CAUSAL, 1), ("packed", Visibility.BIDIRECTIONAL, H), ("packed", Visibility.CAUSAL, 2)])
def test_pallas_is_attend(rows, visibility, groups):
    assert_equal(INTERPRETED, inputs(groups), seen_in(rows, visibility))


# Those that are not among the variants below.
@pytest.mark.parametrize(("rows", "visibility", "window"), [
    ("one segment", Visibility.BIDIRECTIONAL, 0), ("one segment", Visibility.PREFIX, 0),
    ("one segment", Visibility.PREFIX, 5), ("packed", Visibility.BIDIRECTIONAL, 0),
    ("packed", Visibility.BIDIRECTIONAL, 5), ("packed", Visibility.PREFIX, 5)])
def test_the_call_of_cudnn_is_attend(rows, visibility, window):
    """With XLA behind the same call: what differs on a GPU, tests/layers/test_kernels_on_gpus.py sees."""
    assert_equal(XLA, inputs(2), seen_in(rows, visibility, window))


@pytest.mark.parametrize("name", VARIANTS)
def test_the_call_of_cudnn_is_attend_of_every_variant_alone_and_with_members(name):
    for way in ways(name):
        assert_equal(XLA, *of_variant(name, jnp.float32), results=way)


def test_another_pattern_is_noticed():
    causal, other = (seen_in("packed", v) for v in (Visibility.CAUSAL, Visibility.BIDIRECTIONAL))
    wrong = dataclasses.replace(causal, pattern=other.pattern)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(results(INTERPRETED, inputs(), wrong)[0], results(Einsum(), inputs(), causal)[0],
                                   atol=1e-2)


# --- chosen ------------------------------------------------------------------------------------------------------

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
          "several devices a row": (asked(one_segment=False, devices_a_row=2, key_value_heads=4), CuDNN()),
          "more devices a row than heads of keys": (asked(devices_a_row=4, key_value_heads=2), Einsum()),
          "a learned bias of all rows": (asked(bias="shared"), CuDNN()),
          "a learned bias of each row": (asked(bias="learned"), Einsum()),
          "dropout": (asked(dropout=True), Einsum()),
          "float32": (asked(dtype="float32"), Einsum()),
          "odd lengths that only an array describes": (asked(None, queries=77, keys=77), CuDNN()),
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


def test_a_jax_without_the_pallas_kernel_is_a_reason(monkeypatch):
    monkeypatch.delitem(sys.modules, "jax.experimental.pallas.ops.gpu.attention", raising=False)
    monkeypatch.setitem(sys.modules, "jax.experimental.pallas.ops.gpu", None)  # as where the package is gone
    assert "has it no more" in Pallas().refusal(asked(one_segment=False))


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
