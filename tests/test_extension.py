"""A variant is one class in one file: a position scheme and two objectives, defined here, work everywhere they can."""

import dataclasses
import json
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arch_zoo.config import RunConfig
from arch_zoo.errors import UserError
from arch_zoo.examples import Form, InPlace, Lengths, SourceTarget
from arch_zoo.layers.positions.base import Position
from arch_zoo.layers.visibility import Visibility
from arch_zoo.objectives.base import Objective
from arch_zoo.registry import ARCHITECTURES, OBJECTIVES, POSITIONS
from arch_zoo.settings import from_dict, setting, to_dict
from arch_zoo.settings_view import help_lines
from experiments.program import load_config
from tests.test_matrix import influence, was_read
from tests.toy import tiny_config, toy_losses


@dataclasses.dataclass(frozen=True)
class LogDistance(Position):
    """A learned penalty on the logarithm of the distance (the logarithmic kernel of KERPLE; Chi et al. 2022)."""

    rate: float = setting(0.5, "initial penalty of each head", low=0)

    def bias(self, param, distance_bqk, heads, bidirectional):
        rate_h = param("log_distance_rate", jax.nn.initializers.constant(self.rate), (heads,))
        return -rate_h[None, :, None, None] * jnp.log1p(jnp.abs(distance_bqk))[:, None]


@dataclasses.dataclass(frozen=True)
class Backwards(Objective):
    """The window's first half, written once more from its end: source a b c, target c b a."""

    form: ClassVar[Form] = Form.SOURCE_TARGET

    def lengths(self, length):
        return Lengths(source=length // 2, target=length // 2)

    def prepare(self, window, vocabulary, seeds):
        half = (window.tokens.shape[1] - 1) // 2
        tokens, segment_ids = window.tokens[:, :half], window.segment_ids[:, :half]
        origin = np.broadcast_to(np.arange(half), tokens.shape)
        return SourceTarget(source=tokens, source_segment_ids=segment_ids, source_origin=origin,
                            target=tokens[:, ::-1], target_segment_ids=segment_ids[:, ::-1],
                            target_origin=origin[:, ::-1], loss_weights=np.ones(tokens.shape, np.float32))

    def hidden(self, example):
        return np.zeros((*example.target.shape, example.target.shape[1]), bool)  # the source shows it all, by design


@dataclasses.dataclass(frozen=True)
class EveryOther(Objective):
    """Each `step`-th token is masked, and predicted where it stood."""

    step: int = setting(2, "distance between masked tokens", low=2)

    form: ClassVar[Form] = Form.IN_PLACE
    visibilities: ClassVar[frozenset] = frozenset({Visibility.BIDIRECTIONAL})

    def lengths(self, length):
        return Lengths(source=0, target=length)

    def prepare(self, window, vocabulary, seeds):
        tokens = window.tokens[:, :-1]
        origin = np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape)
        masked = origin % self.step == 0
        return InPlace(tokens=np.where(masked, vocabulary.mask_id, tokens), targets=tokens,
                       loss_weights=masked.astype(np.float32), segment_ids=window.segment_ids[:, :-1],
                       origin=np.where(masked, -1, origin), target_origin=origin, capacity=tokens.shape[1])

    def hidden(self, example):
        n = example.tokens.shape[1]
        return np.broadcast_to(np.arange(n) % self.step == 0, (*example.tokens.shape, n))


OURS = [(POSITIONS, "log_distance", LogDistance), (OBJECTIVES, "backwards", Backwards),
        (OBJECTIVES, "every_other", EveryOther)]
PAIRS = [("decoder_only", "backwards"), ("prefix_decoder", "backwards"), ("encoder_decoder", "backwards"),
         ("encoder_only", "every_other")]


@pytest.fixture(scope="module", autouse=True)
def registered():
    """Ours are known in this module, and forgotten after it."""
    for registry, name, variant in OURS:
        registry.register(name)(variant)
    yield
    for registry, name, _ in OURS:
        registry.unregister(name)
        assert name not in registry.names()


def test_each_trains_in_exactly_the_architectures_that_its_form_allows():
    allowed = [(a, o) for o in ("backwards", "every_other") for a in ARCHITECTURES.names()
               if ARCHITECTURES.get(a)().refusal(OBJECTIVES.get(o)()) is None]
    assert sorted(allowed) == sorted(PAIRS)
    with pytest.raises(UserError, match="decoder_only cannot train objective=every_other: it fills in from both sides"):
        tiny_config(objective="every_other")
    with pytest.raises(UserError, match="encoder_only cannot train objective=backwards: "):
        tiny_config(model__architecture="encoder_only", objective="backwards")


@pytest.mark.parametrize(("architecture", "objective"), PAIRS, ids=map("-".join, PAIRS))
def test_the_loss_falls(architecture, objective):
    losses = toy_losses(tiny_config(model__architecture=architecture, objective=objective, model__depth=1,
                                    model__position="log_distance"))
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0] - 0.3


@pytest.mark.parametrize(("architecture", "objective"), PAIRS, ids=map("-".join, PAIRS))
def test_the_checks_of_the_matrix_hold_for_ours_too(architecture, objective):
    hidden, reach, example = influence(architecture, objective, "log_distance")
    n = hidden.shape[1] - 1
    assert (reach[hidden] == 0.0).all()
    seen = ~hidden[:, :n] & was_read(example, n)
    assert seen.any() and (reach[:, :n][seen] > 0).all()


def test_they_are_reached_from_the_command_line_and_saved_like_any_other():
    config = load_config(None, {"model.position": "log_distance", "model.position.rate": "0.25",
                                "model.architecture": "encoder_only", "objective": "every_other",
                                "objective.step": "3"}, RunConfig)
    assert config.model.position == LogDistance(rate=0.25)
    assert config.objective == EveryOther(step=3)
    assert from_dict(RunConfig, json.loads(json.dumps(to_dict(config)))) == config
    text = "\n".join(help_lines(config, "config"))
    assert "--config.model.position.rate=0.25" in text and "--config.objective.step=3" in text
    assert "log_distance" in "\n".join(help_lines(RunConfig(), "config"))
    with pytest.raises(UserError, match="model.position.rate: -1.0 is out of range|rate: -1.0 is out of range"):
        load_config(None, {"model.position": "log_distance", "model.position.rate": "-1"}, RunConfig)


def test_errors_know_them():
    with pytest.raises(UserError, match="unknown position scheme 'log_distanse'. Did you mean 'log_distance'.*Known: "):
        load_config(None, {"model.position": "log_distanse"}, RunConfig)
    with pytest.raises(UserError, match="unknown objective 'backward'. Did you mean 'backwards'.*every_other"):
        load_config(None, {"objective": "backward"}, RunConfig)
    with pytest.raises(UserError, match="model.position.theta: there is no field 'theta' here. Fields: rate"):
        load_config(None, {"model.position": "log_distance", "model.position.theta": "1"}, RunConfig)


@pytest.mark.parametrize(("registry", "name", "variant"), OURS, ids=[name for _, name, _ in OURS])
def test_a_name_is_taken_once(registry, name, variant):
    with pytest.raises(ValueError, match=f"{name!r} is registered twice"):
        registry.register(name)(variant)
    taken = next(n for n in registry.names() if registry.get(n) is not variant)
    with pytest.raises(ValueError, match=f"{taken!r} is registered twice"):
        registry.register(taken)(variant)
    assert variant.name == name
