"""What is exported is read by the reference implementation, in the class that computes it: trained here or imported."""

import json

import numpy as np
import pytest

from arch_zoo.interop.dialect import DIALECTS
from arch_zoo.interop.huggingface import _Only, export_checkpoint, import_checkpoint, read_config
from tests.interop.running import batch_of, our_outputs
from tests.parity.cases import BOTH, BY_NAME, CASES
from tests.parity.reference import (
    TOLERANCE,
    build,
    descended,
    imported,
    relative_error,
    rows,
    save,
    their_outputs,
    transformers,
)
from tests.toy import tiny_config, toy_batch

pytestmark = pytest.mark.parity


@pytest.fixture(autouse=True)
def directories(tmp_path):
    (tmp_path / "back").mkdir()


@pytest.mark.parametrize(("architecture", "objective", "options", "model_type"), [
    ("decoder_only", "causal_lm", {}, "gpt2"),
    ("decoder_only", "causal_lm", {"position": "rotary", "norm": "rms_norm", "gated": True, "activation": "silu",
                                   "attention_bias": False, "mlp_bias": False, "kv_heads": 1}, "llama"),
    ("encoder_only", "masked_lm", {"placement": "post", "embedding_norm": True, "head_transform": True,
                                   "logits_bias": True, "token_types": 2, "activation": "gelu"}, "bert"),
    ("encoder_decoder", "prefix_lm", {"placement": "post", "embedding_norm": True, "position.offset": 2}, "bart"),
    ("encoder_decoder", "span_corruption", {"position": "t5_bias", "norm": "rms_norm", "attention_bias": False,
                                            "mlp_bias": False, "scale_attention": False, "activation": "relu"}, "t5"),
])
def test_the_reference_reproduces_a_model_trained_here(architecture, objective, options, model_type, tmp_path):
    options = {f"model__{name.replace('.', '__')}": value for name, value in options.items()}
    config = tiny_config(model__architecture=architecture, objective=objective, **options)
    config = config.replace(model=config.model.replace(vocab_size=64))
    batch = toy_batch(config, documents=False)
    parameters, _ = descended(config, steps=5, rate=0.5, documents=False)
    assert export_checkpoint(tmp_path / "back", config.model, parameters, special_ids={"pad_token_id": 0}) == model_type
    name = json.loads((tmp_path / "back" / "config.json").read_text())["architectures"][0]
    reference = getattr(transformers, name).from_pretrained(tmp_path / "back", attn_implementation="eager").eval()
    stream, source = batch.stream, batch.source
    given = {"input_ids": stream.tokens, "attention_mask": stream.segment_ids} if source is None else {
        "input_ids": source.tokens, "attention_mask": source.segment_ids, "decoder_input_ids": stream.tokens,
        "decoder_attention_mask": stream.segment_ids}
    given = {key: np.asarray(value, np.int64) for key, value in given.items()}
    found = our_outputs(config.model, parameters, batch.replace(loss_positions=None))["logits"]
    theirs = their_outputs(reference, given)["logits"]
    assert relative_error(found, theirs, np.asarray(stream.segment_ids) != 0) < TOLERANCE


def reloaded(directory):
    """The reference's model of an exported checkpoint, by the class that it names; every weight is from there."""
    values = json.loads((directory / "config.json").read_text())
    model, report = getattr(transformers, values["architectures"][0]).from_pretrained(
        directory, attn_implementation="sdpa" if values.get("alibi") else "eager", output_loading_info=True)
    read = import_checkpoint(directory)
    assert report["missing_keys"] <= set(DIALECTS.get(read.model_type)().unused(read.model)), report
    assert not report["mismatched_keys"], report
    return model.eval()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_dialect_is_found_again(case, tmp_path):
    """Of an imported model: some model type of transformers computes it, though not always the one it came from."""
    model, ours = imported(case, tmp_path / "theirs")
    found = export_checkpoint(tmp_path / "back", ours.model, ours.parameters)
    assert found in transformers.CONFIG_MAPPING
    given = rows(case)
    real, theirs = given["attention_mask"] != 0, their_outputs(model, given)
    if case.kind == BOTH:
        real = given["decoder_attention_mask"] != 0
    errors = {name: relative_error(value, theirs[name], real)
              for name, value in their_outputs(reloaded(tmp_path / "back"), given).items() if name in theirs}
    assert errors and max(errors.values()) < TOLERANCE, (found, errors)


@pytest.mark.parametrize("name", ["bart", "mbart", "pegasus"])
def test_untied_stacks_reach_the_reference(name, tmp_path):
    case = BY_NAME[name]
    ours = import_checkpoint(save(build(case), tmp_path / "theirs"))
    untied = ours.model.replace(tied_embeddings=False)
    table = 0.5 * ours.parameters["embedding"]["token_embedding"][::-1]
    parameters = ours.parameters | {"head": ours.parameters.get("head", {}) | {"output_embedding": table}}
    export_checkpoint(tmp_path / "back", untied, parameters, name)
    given = rows(case)
    theirs, found = (their_outputs(reloaded(tmp_path / "back"), given)["logits"],
                     our_outputs(untied, parameters, batch_of(given))["logits"])
    assert relative_error(found, theirs, given["decoder_attention_mask"] != 0) < TOLERANCE


@pytest.mark.parametrize("model_type", DIALECTS.names())
def test_absent_fields_are_what_the_class_says(model_type):
    """A config.json of the fields without which we read none, against one that spells out the class's defaults."""
    case = next(case for case in CASES if transformers.CONFIG_MAPPING[model_type].__name__ == case.config_class)
    dialect = DIALECTS.get(model_type)()
    needed = [theirs for theirs, (_, default) in dialect.sizes.items() if default is None]
    given = {name: case.options.get(name, 24 if name == "hidden_size" else 64) for name in needed}
    if model_type == "gptj":
        given["rotary_dim"] = 4
    if model_type in ("mistral", "gemma"):
        given |= {"num_attention_heads": 16, "hidden_size": 64}  # of which their classes' key-value heads are a part
    if model_type in ("bart", "mbart", "pegasus"):
        given |= {"encoder_attention_heads": 16, "encoder_ffn_dim": 4096, "d_model": 64}  # the decoder's are fields too
    whole = transformers.CONFIG_MAPPING[model_type](**given).to_dict() | {"model_type": model_type}
    assert len(whole) > len(given) + 5
    names = _Only({"shared.weight"})
    assert read_config(dialect, given, names, "absent") == read_config(dialect, whole, names, "spelt out")
