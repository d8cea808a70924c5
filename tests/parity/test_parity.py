"""Ours against the reference implementation: the same weights give the same logits, gradients and round trips.

Run with `make parity`; needs torch and transformers. The largest relative error of each class goes to parity.tsv in
the directory that ARCH_ZOO_PARITY_TABLE names, for those who want the table.
"""

import json
import os
import pathlib

import jax
import numpy as np
import pytest

from arch_zoo.interop.dialect import DIALECTS
from arch_zoo.interop.huggingface import _Only, export_checkpoint, import_checkpoint, read_config
from arch_zoo.objectives.base import cross_entropy
from arch_zoo.tensor_files import flatten_tree
from tests.interop.running import batch_of, our_outputs
from tests.parity.cases import BOTH, CASES, DECODER, ENCODER, VOCABULARY, make_case
from tests.parity.reference import (
    accepted,
    build,
    descended,
    relative_error,
    rows,
    save,
    their_outputs,
    torch,
    transformers,
)
from tests.toy import tiny_config, toy_batch

pytestmark = pytest.mark.parity
TOLERANCE, DEEP = 1e-5, 1e-4
BY_NAME = {case.name: case for case in CASES}


def imported(case, directory):
    model = build(case)
    return model, import_checkpoint(save(model, directory))


def note(name: str, errors: dict[str, float]) -> None:
    if directory := os.environ.get("ARCH_ZOO_PARITY_TABLE"):
        with open(pathlib.Path(directory) / "parity.tsv", "a") as file:
            file.write(f"{name}\t{BY_NAME[name].model_class if name in BY_NAME else ''}\t{max(errors.values()):.1e}\n")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_logits_are_the_references(case, tmp_path):
    model, ours = imported(case, tmp_path / "theirs")
    given = rows(case)
    batch = batch_of(given)
    real = np.asarray(batch.stream.segment_ids) != 0
    theirs, found = their_outputs(model, given), our_outputs(ours.model, ours.parameters, batch)
    errors = {name: relative_error(found[name], theirs[name], real) for name in found.keys() & theirs.keys()}
    assert errors and max(errors.values()) < TOLERANCE, errors
    assert {"logits", "sentence", "replaced"} & theirs.keys() <= found.keys()
    note(case.name, errors)
    # The comparison can fail: other padding, or another seed's weights, give other logits.
    other = our_outputs(ours.model, ours.parameters, batch_of(rows(case, seed=1)))
    assert all(relative_error(other[name], theirs[name], real) > 1e-2 for name in errors)

    export_checkpoint(tmp_path / "back", ours.model, ours.parameters, ours.model_type)
    back = type(model).from_pretrained(tmp_path / "back", attn_implementation=case.attention).eval()
    assert all(relative_error(value, theirs[name], real) < 1e-6
               for name, value in their_outputs(back, given).items())


@pytest.fixture(autouse=True)
def directories(tmp_path):
    (tmp_path / "back").mkdir()


@pytest.mark.parametrize("name", ["bert", "electra_discriminator", "albert"])
def test_token_types_are_read(name, tmp_path):
    case = BY_NAME[name]
    model, ours = imported(case, tmp_path / "theirs")
    given = {key: value for key, value in rows(case).items() if key != "token_type_ids"}
    batch = batch_of(given)
    theirs, found = their_outputs(model, given), our_outputs(ours.model, ours.parameters, batch)
    with_types = our_outputs(ours.model, ours.parameters, batch_of(rows(case)))
    real = np.asarray(batch.stream.segment_ids) != 0
    for output in found.keys() & theirs.keys():
        assert relative_error(found[output], theirs[output], real) < TOLERANCE
        assert relative_error(with_types[output], theirs[output], real) > 1e-2


@pytest.mark.parametrize("case", [
    make_case("gpt2_deep", DECODER, "GPT2", "GPT2LMHeadModel", n_embd=24, n_layer=24, n_head=3, n_positions=32),
    make_case("llama_deep", DECODER, "Llama", "LlamaForCausalLM", hidden_size=24, num_hidden_layers=32,
              num_attention_heads=3, intermediate_size=40),
    make_case("bert_deep", ENCODER, "Bert", "BertForMaskedLM", hidden_size=24, num_hidden_layers=24,
              num_attention_heads=3, intermediate_size=40)], ids=lambda case: case.name)
def test_deep_stacks_stay_close(case, tmp_path):
    model, ours = imported(case, tmp_path / "theirs")
    given = rows(case)
    batch = batch_of(given)
    error = relative_error(our_outputs(ours.model.replace(scan=True), ours.parameters, batch)["logits"],
                           their_outputs(model, given)["logits"], np.asarray(batch.stream.segment_ids) != 0)
    note(case.name, {"logits": error})
    assert error < DEEP


@pytest.mark.parametrize("name", ["gpt2", "llama", "falcon_7b", "falcon_40b", "falcon_rw", "mistral", "opt", "bloom",
                                  "gpt_neox", "gptj", "gemma", "t5", "mt5", "bart", "mbart", "pegasus"])
def test_the_references_cached_decoding_gives_our_logits(name, tmp_path):
    """Token by token with the reference's cache, against ours of the whole stream at once; no padding."""
    case = BY_NAME[name]
    model, ours = imported(case, tmp_path / "theirs")
    ids = np.random.default_rng(3).integers(3, VOCABULARY, (2, 9))
    given = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    if case.kind == BOTH:
        given |= {"decoder_input_ids": ids[:, ::-1].copy(), "decoder_attention_mask": np.ones_like(ids)}
    read = "decoder_input_ids" if case.kind == BOTH else "input_ids"
    found = our_outputs(ours.model, ours.parameters, batch_of(given))["logits"]
    cache, steps = None, []
    with torch.no_grad():
        for t in range(ids.shape[1]):
            step = {name: value for name, value in given.items() if not name.startswith("decoder")}
            step |= {read: given[read][:, t:t + 1]}
            if case.kind == DECODER:
                step["attention_mask"] = np.ones((2, t + 1), np.int64)
            out = model(**accepted(model, step), past_key_values=cache, use_cache=True)
            cache, steps = out.past_key_values, [*steps, out.logits.numpy()]
    assert relative_error(found, np.concatenate(steps, axis=1), np.ones(ids.shape, bool)) < TOLERANCE


@pytest.mark.parametrize("name", ["gpt2", "llama", "falcon_40b", "bloom", "opt", "gpt_neox", "gptj", "bert_mlm",
                                  "modernbert", "t5_1_1", "bart"])
def test_gradients_are_the_references(name, tmp_path):
    """Of the summed cross-entropy by every imported weight. Importing is linear, so it maps gradients too."""
    case = BY_NAME[name]
    model, ours = imported(case, tmp_path / "theirs")
    given = rows(case)
    batch = batch_of(given)
    real = np.asarray(batch.stream.segment_ids) != 0
    targets = np.random.default_rng(4).integers(3, VOCABULARY, real.shape)
    logits = model(**accepted(model, given)).logits
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.from_numpy(targets).flatten(),
                                               reduction="none").reshape(real.shape)
    (losses * torch.from_numpy(real)).sum().backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.zeros_like(parameter) if parameter.grad is None else parameter.grad)
    theirs = flatten_tree(import_checkpoint(save(model, tmp_path / "gradients")).parameters)

    module = ours.model.architecture.build(ours.model, ours.model.vocab_size, "float32")

    def loss(parameters):
        found = module.apply({"params": parameters}, batch, ours.model.architecture.visibility, train=False)
        return (cross_entropy(found, targets) * real).sum()

    found = flatten_tree(jax.jit(jax.grad(loss))(ours.parameters))
    assert found.keys() == theirs.keys()
    largest = max(np.abs(value).max() for value in theirs.values())
    for path, value in found.items():
        if path.endswith("logits_bias") and name == "bart":  # a buffer there, which has no gradient
            continue
        assert np.abs(value - theirs[path]).max() < TOLERANCE * largest, path


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
