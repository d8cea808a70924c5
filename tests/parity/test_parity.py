"""Ours against the reference implementation: the same weights give the same logits and gradients, there and back.

Run with `make parity`; needs torch and transformers. The largest relative error of each class goes to parity.tsv in
the directory that ARCH_ZOO_PARITY_TABLE names, for those who want the table.
"""

import os
import pathlib

import jax
import numpy as np
import pytest

from arch_zoo.interop.huggingface import export_checkpoint, import_checkpoint
from arch_zoo.layers.cross_entropy import cross_entropy
from arch_zoo.tensor_files import flatten_tree
from tests.interop.running import batch_of, our_outputs
from tests.parity.cases import BOTH, BY_NAME, CASES, DECODER, ENCODER, VOCABULARY, make_case
from tests.parity.reference import (
    TOLERANCE,
    accepted,
    imported,
    relative_error,
    rows,
    save,
    their_outputs,
    torch,
)

pytestmark = pytest.mark.parity
DEEP = 1e-4


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
    """Token by token with the reference's cache, against ours of the whole stream at once; no padding.

    Shapes are those of `rows`, which share our compiled program.
    """
    case = BY_NAME[name]
    model, ours = imported(case, tmp_path / "theirs")
    rng = np.random.default_rng(3)
    given = {name: np.ones_like(value) if name.endswith("mask") else rng.integers(3, VOCABULARY, value.shape)
             for name, value in rows(case).items() if name.endswith(("input_ids", "attention_mask"))}
    read = "decoder_input_ids" if case.kind == BOTH else "input_ids"
    found = our_outputs(ours.model, ours.parameters, batch_of(given))["logits"]
    cache, steps = None, []
    with torch.no_grad():
        for t in range(given[read].shape[1]):
            step = {name: value for name, value in given.items() if not name.startswith("decoder")}
            step |= {read: given[read][:, t:t + 1]}
            if case.kind == DECODER:
                step["attention_mask"] = np.ones((2, t + 1), np.int64)
            out = model(**accepted(model, step), past_key_values=cache, use_cache=True)
            cache, steps = out.past_key_values, [*steps, out.logits.numpy()]
    assert relative_error(found, np.concatenate(steps, axis=1), np.ones(given[read].shape, bool)) < TOLERANCE


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
