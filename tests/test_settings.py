"""Settings: text into typed values, refusals in one line, JSON and back without loss."""

import dataclasses
import enum
import json

import pytest

from arch_zoo.config import EvaluationConfig, RunConfig
from arch_zoo.errors import UserError
from arch_zoo.layers.positions.rotary import Rotary
from arch_zoo.registry import ARCHITECTURES, OBJECTIVES, POSITIONS
from arch_zoo.settings import FieldError, Settings, from_dict, override, setting, to_dict
from arch_zoo.settings_view import difference, flatten, help_lines, not_default
from tests.toy import compatible_pairs, needed_for


class Colour(enum.Enum):
    RED = "crimson"
    BLUE = "navy"


@dataclasses.dataclass(frozen=True)
class Paint(Settings):
    """A settings class with the kinds of field that RunConfig has none of."""

    colour: Colour = setting(Colour.RED, "an enum")
    names: tuple[str, ...] = setting((), "a tuple of text")


RUN = RunConfig()
FAR_FROM_DEFAULT = override(RUN, {
    "model.position": "t5_bias", "model.position.buckets": 8, "objective": "span_corruption", "objective.rate": 0.3,
    "model.architecture": "encoder_decoder", "model.windows": (0, 16), "model.kv_heads": 2, "optimizer.clip_norm": None,
    "data.cache_dir": "somewhere else", "dtype": "bfloat16"})


@pytest.mark.parametrize(("path", "text", "value"), [
    ("model.depth", "3", 3), ("steps", "1e4", 10_000), ("steps", "2.0", 2),
    ("optimizer.learning_rate", "3e-4", 3e-4), ("optimizer.learning_rate", "1", 1.0),
    ("model.gated", "true", True), ("model.gated", "1", True), ("model.norm_bias", "No", False),
    ("model.norm", "rms_norm", "rms_norm"),
    ("model.kv_heads", "2", 2), ("model.kv_heads", "none", None), ("optimizer.clip_norm", "None", None),
    ("data.cache_dir", "none", None), ("data.cache_dir", "a=b.c", "a=b.c"),
    ("model.windows", "0,128", (0, 128)), ("model.windows", "(4,)", (4,)), ("model.windows", "", ()),
])
def test_text_is_read_by_the_type_of_the_field(path, text, value):
    got = flatten(override(RUN, {path: text}))[path]
    assert (list(value) if isinstance(value, tuple) else value) == got
    assert type(got) is (list if isinstance(value, tuple) else type(value))


def test_enums_and_tuples_of_text():
    for text in ("blue", "navy"):
        assert override(Paint(), {"colour": text}).colour is Colour.BLUE
    paint = override(Paint(), {"names": "a, b", "colour": "blue"})
    assert paint.names == ("a", "b")
    assert from_dict(Paint, json.loads(json.dumps(to_dict(paint)))) == paint
    with pytest.raises(FieldError, match="^colour: expected one of: red, blue, got 'green'"):
        override(Paint(), {"colour": "green"})


def test_the_order_of_overrides_does_not_matter_and_a_variant_resets_its_options():
    changes = {"model.position.theta": "500", "model.position": "rotary", "model.position.share": "0.5"}
    expected = Rotary(theta=500.0, share=0.5)
    for order in (changes, dict(reversed(changes.items()))):
        assert override(RUN, order).model.position == expected
    there = override(RUN, changes)
    assert override(there, {"model.position": "rotary"}).model.position == Rotary()
    assert override(there, {"model.position.theta": "7"}).model.position == Rotary(theta=7.0, share=0.5)
    assert override(RUN, {"model.position": expected}).model.position == expected


REFUSED = [
    ("model.dept", "3", r"model.dept: there is no field 'dept' here. Did you mean 'depth'\?$"),
    ("depth", "3", r"^depth: there is no field 'depth' here. Did you mean 'model.depth'\?$"),
    ("name", "3", r"name: there is no field 'name' here. Did you mean 'mesh'"),
    ("modle.depth", "3", r"Did you mean 'model'"),
    ("model.depth.x", "3", r"'depth' is a single value \(int\), it has no field 'x'"),
    ("model", "3", r"model: is a group of fields; set one of: model.architecture"),
    ("model.depth", "three", r"model.depth: expected int, got 'three'"),
    ("model.depth", "2.5", r"model.depth: expected int, got '2.5'"),
    ("model.depth", True, r"model.depth: expected int, got True"),
    ("model.depth", "1e999", r"model.depth: expected int"),
    ("model.depth", "0", r"model.depth: 0 is out of range: at least 1"),
    ("model.mlp_dropout", "1.5", r"model.mlp_dropout: 1.5 is out of range: 0 to 0.99"),
    ("optimizer.learning_rate", "nan", r"optimizer.learning_rate: nan is not a finite number"),
    ("model.windows", "4,-1", r"model.windows: -1 is out of range"),
    ("model.windows", "4,x", r"model.windows: expected int,…, got '4,x'"),
    ("model.gated", "maybe", r"model.gated: expected bool, got 'maybe'"),
    ("model.norm", "rmsnorm", r"model.norm: expected one of: layer_norm, rms_norm, got 'rmsnorm'. Did you mean 'rms_n"),
    ("model.kv_heads", "many", r"model.kv_heads: expected int or none, got 'many'"),
    ("vectorize", "seed,learning_rate",
     r"vectorize: expected any of: seeds, learning_rate, nothing, got 'seed,learning_rate'. Did you mean 'seeds'"),
    ("objective", "mask_lm", r"objective: unknown objective 'mask_lm'. Did you mean 'masked_lm'.*Known: .*causal_lm"),
    ("objective.rate", "0.3", r"objective.rate: there is no field 'rate' here. Fields: none"),
    ("objective", 3, r"objective: expected one of: .*causal_lm, .*, got 3"),
    ("model.width", "130", r"model.width: 130 is not divisible by 4 heads; nearest: 128, 132"),
]


@pytest.mark.parametrize(("path", "value", "message"), REFUSED)
def test_what_is_wrong_is_said_in_one_line(path, value, message):
    with pytest.raises(UserError, match=message) as raised:
        override(RUN, {path: value})
    assert "\n" not in str(raised.value)


def test_fields_that_contradict_each_other_are_refused():
    for changes, message in [({"objective": "masked_lm"}, "decoder_only cannot train objective=masked_lm"),
                             ({"data.length": 600}, "model.max_len: 512 is shorter than the stream of 600"),
                             ({"accumulate": 3}, "batch_size: 32 is not divisible by accumulate=3"),
                             ({"objective": "prefix_lm", "objective.prefix_share": 0}, "one part of a window")]:
        with pytest.raises(UserError, match=message):
            override(RUN, changes)


def test_what_is_not_as_by_default():
    """A variant by its name, and those of its options that are not its own defaults."""
    assert not_default(RunConfig()) == []
    changes = {"model.depth": 2, "model.position": "rotary", "model.position.theta": 500.0, "optimizer.kind": "sgd",
               "data.tokenizer.sentinels": 9, "steps": 7}
    assert set(not_default(override(RunConfig(), changes))) == changes.keys()
    losses = EvaluationConfig(losses=("masked_lm", override(RUN, {"objective": "prefix_lm",
                                                                  "objective.prefix_share": 0.25}).objective))
    assert not_default(losses) == ["losses.0", "losses.1", "losses.1.prefix_share"]
    assert set(not_default(losses)) <= flatten(losses).keys()


def test_json_and_back_loses_nothing():
    for config in (RUN, FAR_FROM_DEFAULT, EvaluationConfig()):
        assert from_dict(type(config), json.loads(json.dumps(to_dict(config)))) == config
    for architecture, objective in compatible_pairs():
        for position in POSITIONS.names():
            config = override(RUN, {"model.architecture": architecture, "objective": objective,
                                    "model.position": position} | needed_for(objective))
            assert from_dict(RunConfig, json.loads(json.dumps(to_dict(config)))) == config
    with pytest.raises(FieldError, match=r"model.dept: there is no such field in ModelConfig. Did you mean 'depth'"):
        from_dict(RunConfig, {"model": {"dept": 3}})


def test_difference_names_exactly_what_differs():
    assert difference(RUN, RunConfig()) == {}
    assert difference(RUN, RUN.replace(steps=7)) == {"steps": (1000, 7)}
    rotary = override(RUN, {"model.position": "rotary"})
    ours, theirs = flatten(RUN.model.position), flatten(rotary.model.position)
    assert difference(RUN, rotary) == {
        "model.position": ("learned", "rotary"),
        **{f"model.position.{name}": (value, None) for name, value in ours.items() if name != "name"},
        **{f"model.position.{name}": (None, value) for name, value in theirs.items()
           if name != "name" and value is not None}}


@pytest.mark.parametrize("config", [RUN, FAR_FROM_DEFAULT, EvaluationConfig()])
def test_help_lists_every_field_with_its_value(config):
    text = "\n".join(help_lines(config, "config"))
    for path, value in flatten(config).items():
        shown = ",".join(map(str, value)) if isinstance(value, list) else value
        assert f"  --config.{path}={shown}\n        " in text, path
    assert text.count("--config.") == len(flatten(config))
    assert all(line.split("\n")[1].strip().split(" (")[0] for line in help_lines(config, "config"))


def test_every_variant_can_be_built_from_its_name():
    for registry in (POSITIONS, ARCHITECTURES, OBJECTIVES):
        assert all(to_dict(registry.get(name)())["name"] == name for name in registry.names())


def test_one_of_several_variants_is_reached_by_number_or_by_its_only_name():
    changes = {"tasks": "perplexity,blimp,perplexity", "tasks.blimp.limit": "3", "tasks.2.stride": "4"}
    changed = override(EvaluationConfig(), changes)
    assert [task.name for task in changed.tasks] == ["perplexity", "blimp", "perplexity"]
    assert (changed.tasks[1].limit, changed.tasks[0].stride, changed.tasks[2].stride) == (3, None, 4)
    assert from_dict(EvaluationConfig, json.loads(json.dumps(to_dict(changed)))) == changed
    for path, message in (("tasks.perplexity.stride", "there is no 'perplexity' among .*, of which several are called"),
                          ("tasks.blmp.limit", "there is no 'blmp' among .* numbered from 0. Did you mean 'blimp'"),
                          ("tasks.3.limit", "there is no '3' among perplexity, blimp, perplexity, which are numbered")):
        with pytest.raises(FieldError, match=message):
            override(changed, {path: "4"})
    with pytest.raises(UserError, match="unknown task 'blmp'. Did you mean 'blimp'"):
        override(EvaluationConfig(), {"tasks": "blmp"})
