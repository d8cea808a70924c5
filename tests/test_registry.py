"""Registries: one class a name, and helpful refusals."""

import dataclasses

import pytest

from arch_zoo.errors import UserError
from arch_zoo.layers.positions import Position
from arch_zoo.registry import ARCHITECTURES, OBJECTIVES, POSITIONS, did_you_mean


def test_the_built_in_variants_are_there():
    assert ARCHITECTURES.names() == ["decoder_only", "encoder_decoder", "encoder_only", "prefix_decoder"]
    assert {"causal_lm", "masked_lm", "prefix_lm", "span_corruption"} <= set(OBJECTIVES.names())
    assert POSITIONS.names() == ["alibi", "learned", "none", "rotary", "sinusoidal", "t5_bias",
                                 "transformer_xl"]
    assert all(POSITIONS.get(name).name == name for name in POSITIONS.names())


def test_a_name_is_taken_once_and_can_be_given_back():
    @dataclasses.dataclass(frozen=True)
    class Mine(Position):
        pass

    POSITIONS.register("mine")(Mine)
    try:
        assert POSITIONS.get("mine") is Mine
        with pytest.raises(ValueError, match="position scheme 'mine' is registered twice"):
            POSITIONS.register("mine")(Mine)
    finally:
        POSITIONS.unregister("mine")
    assert "mine" not in POSITIONS.names()


def test_names_that_are_like_it_are_meant_or_else_those_that_begin_with_it():
    known = ("bits_per_byte", "minimal_pairs", "bites")
    assert did_you_mean("bits", known) == " Did you mean 'bites'?"
    assert did_you_mean("bits", known[:2]) == " Did you mean 'bits_per_byte'?"
    assert did_you_mean("", known) == ""


def test_an_unknown_name_lists_the_known():
    with pytest.raises(UserError, match="unknown position scheme 'rotery'. Did you mean 'rotary'") as raised:
        POSITIONS.get("rotery")
    assert all(name in str(raised.value) for name in POSITIONS.names())
    with pytest.raises(UserError, match="unknown objective 'qqqq'. Known: .*causal_lm, .*masked_lm"):
        OBJECTIVES.get("qqqq")


def test_a_class_that_was_never_registered_is_no_variant():
    @dataclasses.dataclass(frozen=True)
    class Stranger(Position):
        pass

    from arch_zoo.config import ModelConfig
    with pytest.raises(UserError, match="position: expected one of: alibi, .*, got .*Stranger"):
        ModelConfig(position=Stranger())
