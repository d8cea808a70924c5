"""Every config field bites: changing it changes what a run does, and each change is seen where it belongs.

Most fields are seen in programs that are traced, not run: dead code is removed from a program before it is compared, so
a field that is read but has no effect does not count.
"""

import dataclasses
import functools
import hashlib
import json
import pathlib
import re

import jax
import numpy as np
import pytest
from jax.interpreters import partial_eval

from arch_zoo.config import RunConfig
from arch_zoo.data.prepare import prepare_data
from arch_zoo.errors import UserError
from arch_zoo.layers.kernels.pallas import Pallas
from arch_zoo.registry import ARCHITECTURES, KERNELS, OBJECTIVES, POSITIONS
from arch_zoo.settings import override
from arch_zoo.settings_view import flatten
from arch_zoo.training.loop import train
from arch_zoo.training.metrics import read_metrics
from arch_zoo.training.setup import Setup
from tests.toy import WITHOUT_BIASES, needed_for, tiny_config

VARIANTS = {"model.position": POSITIONS, "model.architecture": ARCHITECTURES, "objective": OBJECTIVES,
            "model.attention_kernel": KERNELS}


def all_fields() -> set[str]:
    """Every path of a RunConfig; options of variants as path=variant.option."""
    paths = {path for path in flatten(RunConfig()) if not any(path.startswith(f"{v}.") for v in VARIANTS)}
    return paths | {f"{path}={name}.{field.name}" for path, registry in VARIANTS.items() for name in registry.names()
                    for field in dataclasses.fields(registry.get(name))}


# --- where a change can be seen ----------------------------------------------------------------------------------

def program(function, *arguments) -> str:
    """The text of a traced function, without dead code."""
    closed = jax.make_jaxpr(function)(*arguments)
    inputs = [var.aval for var in closed.jaxpr.invars]
    jaxpr = jax.make_jaxpr(functools.partial(jax.core.eval_jaxpr, closed.jaxpr))(closed.consts, *inputs).jaxpr
    live, used = partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
    constants = [hashlib.sha256(np.asarray(value).tobytes()).hexdigest()
                 for value, alive in zip(closed.consts, used, strict=False) if alive]
    return re.sub(r"0x[0-9a-f]+", "", str(live)) + " ".join(constants)


def parameters(setup: Setup) -> str:
    """The program that makes the initial state."""
    return program(setup.initial_state, setup.train.batch_at(0))


def step(setup: Setup) -> str:
    """The program of a training step."""
    batch = setup.train.batch_at(0)
    return program(setup.train_step(), jax.eval_shape(setup.initial_state, batch), batch)


def loss(setup: Setup) -> str:
    """The program of the training loss: what a step differentiates."""
    def total(parameters, batch, key):
        return setup.config.objective.loss(setup.model, parameters, batch, setup.visibility, train=True,
                                           rngs={"dropout": key})

    batch = setup.train.batch_at(0)
    return program(total, jax.eval_shape(setup.initial_state, batch).parameters, batch, jax.random.key(0))


def update(setup: Setup) -> str:
    """The program of the optimizer, on a model of one layer."""
    layer = {"kernel": np.ones((2, 2), np.float32), "bias": np.ones(2, np.float32)}
    return program(setup.optimizer.update, layer, setup.optimizer.init(layer), layer)


def batches(setup: Setup) -> list:
    """The first two batches of training and the first of evaluation."""
    made = [setup.train.batch_at(0), setup.train.batch_at(1), setup.evaluation.evaluation_batch_at(0)]
    return [(np.shape(leaf), np.asarray(leaf).tobytes()) for leaf in jax.tree.leaves(made)]


ENCODER = {"model.architecture": "encoder_only"}
LARGER_HEADS = {"model.head_dim": 16}
MIXED = {"model.architecture": "prefix_decoder"}
ELECTRA = ENCODER | needed_for("electra")
# field: (another value, where it is seen, what else must be set for it to matter)
IN_SETUP = {
    "seed": (1, (parameters, step, batches), {"model.mlp_dropout": 0.1}),
    "steps": (21, (step, update), {}),
    "batch_size": (4, (batches,), {}),
    "accumulate": (2, (step,), {}),
    "dtype": ("bfloat16", (step,), {}),
    "data.length": (24, (batches,), {}),
    "data.segments": (False, (batches,), {}),
    "data.unique_tokens": (64, (batches,), {}),
    "objective": ("prefix_lm", (batches,), {}),
    "objective=bert_style.rate": (0.3, (batches,), {}),
    "objective=bert_style.mask_share": (0.2, (batches,), {}),
    "objective=bert_style.random_share": (0.2, (batches,), {}),
    "objective=denoising.infill_rate": (0.1, (batches,), {}),
    "objective=denoising.mean_span": (1.0, (batches,), {}),
    "objective=denoising.mask_rate": (0.1, (batches,), {}),
    "objective=denoising.delete_rate": (0.1, (batches,), {}),
    "objective=denoising.permute_sentences": (False, (batches,), {}),
    "objective=denoising.rotate": (True, (batches,), {}),
    "objective=drop_tokens.rate": (0.3, (batches,), {}),
    "objective=gap_sentences.rate": (0.6, (batches,), {"data.length": 256}),
    "objective=gap_sentences.choice": ("lead", (batches,), {"data.length": 256}),
    "objective=gap_sentences.target_share": (0.3, (batches,), {}),
    "objective=iid_spans.rate": (0.3, (batches,), {}),
    "objective=mass_style.rate": (0.3, (batches,), {}),
    "objective=next_sentence.texts": ("sentence", (batches,), ENCODER | needed_for("next_sentence")),
    "objective=whole_sentences.cross_documents": (False, (batches,), ENCODER),
    **{f"objective={name}.{option}": (value, (batches,), ENCODER | needed_for(name) | more)
       for name in ("masked_lm", "masked_next_token", "next_sentence", "sentence_order", "whole_sentences", "electra")
       for option, value, more in (
           ("rate", 0.3, {}), ("unit", "word", {}), ("span_end", 0.9, {"objective.unit": "span"}),
           ("longest_span", 1, {"objective.unit": "span"}), ("mask_share", 0.2, {}),
           ("random_share", 0.2, {"objective.mask_share": 0.5}),
           ("copies", 3, {}))},
    **{f"objective={name}.parts": ("causal_lm,masked_lm", (batches,), MIXED | more)
       for name, more in (("mixture", {}), ("schedule", {"objective.switches": (0.01,)}))},
    "objective=mixture.weights": ((9.0, 1.0), (batches,), MIXED),
    "objective=schedule.switches": ((0.01,), (batches,), MIXED),
    "objective=noncausal_lm.prefix_share": (0.5, (batches,), MIXED),
    "objective=electra.where": ("corrupted", (loss,), ELECTRA),
    "objective=electra.weight": (1.0, (loss,), ELECTRA),
    "objective=electra.generator_share": (0.5, (parameters,), ELECTRA),
    "objective=prefix_lm.prefix_share": (0.25, (batches,), {}),
    "objective=prefix_lm.spread": (0.25, (batches,), {}),
    "objective=span_corruption.anywhere": (True, (batches,), {}),
    "objective=span_corruption.rate": (0.3, (batches,), {}),
    "objective=span_corruption.mean_span": (1.0, (batches,), {}),
    "objective=ul2.weights": ((1, 0, 0, 0, 0, 0, 1), (batches,), {}),
    "model.architecture": ("encoder_decoder", (parameters, step, batches), {"objective": "prefix_lm"}),
    "model.width": (8, (parameters,), {}),
    "model.depth": (2, (parameters,), {}),
    "model.encoder_depth": (2, (parameters,), {"model.architecture": "encoder_decoder", "objective": "prefix_lm"}),
    "model.heads": (4, (parameters,), {}),
    "model.kv_heads": (1, (parameters,), {}),
    "model.head_dim": (4, (parameters,), {}),
    "model.mlp_dim": (8, (parameters,), {}),
    "model.vocab_size": (1000, (parameters,), {}),
    "model.max_len": (64, (parameters,), {}),
    "model.position": ("none", (parameters,), {}),
    "model.position=alibi.scale": (0.5, (loss,), {}),
    "model.position=learned.std": (0.1, (parameters,), {}),
    "model.position=learned.offset": (2, (parameters, loss), {}),
    "model.position=rotary.theta": (100.0, (loss,), {}),
    "model.position=rotary.local_theta": (100.0, (loss,), {"model.windows": (4,)}),
    "model.position=rotary.share": (0.5, (loss,), {}),
    "model.position=rotary.stretch": ("linear", (loss,), {}),
    "model.position=rotary.factor": (2.0, (loss,), {"model.position.stretch": "linear"}),
    "model.position=rotary.original_len": (16, (loss,), {"model.position.stretch": "llama3"}),
    "model.position=rotary.slow": (2.0, (loss,), {"model.position.stretch": "llama3"}),
    "model.position=rotary.fast": (60.0, (loss,), {"model.position.stretch": "llama3"}),
    "model.position=rotary.attention_factor": (1.5, (loss,), {"model.position.stretch": "yarn"}),
    "model.position=sinusoidal.period": (100.0, (loss,), {}),
    "model.position=sinusoidal.scale": (0.1, (loss,), {}),
    "model.position=sinusoidal.order": ("halves", (loss,), {}),
    "model.position=t5_bias.buckets": (8, (parameters,), {}),
    "model.position=t5_bias.max_distance": (64, (loss,), {}),
    "model.position=t5_bias.std": (0.1, (parameters,), {}),
    "model.position=transformer_xl.period": (100.0, (loss,), {}),
    "model.position=transformer_xl.std": (0.1, (parameters,), {}),
    "model.windows": ((4,), (loss,), {}),
    "model.norm": ("rms_norm", (loss,), {}),
    "model.norm_epsilon": (1e-3, (loss,), {}),
    "model.norm_bias": (True, (parameters,), {}),
    "model.placement": ("post", (loss,), {}),
    "model.first_norm": (False, (parameters, loss), {}),
    "model.share_blocks": (True, (parameters, loss), {"model.depth": 2}),
    "model.share_stacks": (True, (parameters, loss), {"model.architecture": "encoder_decoder",
                                                      "objective": "prefix_lm"}),
    "model.activation": ("silu", (loss,), {}),
    "model.gated": (True, (parameters,), {}),
    "model.attention_bias": (True, (parameters,), {}),
    "model.mlp_bias": (True, (parameters,), {}),
    "model.qk_norm": (True, (loss,), {}),
    "model.scale_attention": (False, (loss,), {}),
    "model.tied_embeddings": (False, (parameters,), {}),
    "model.scale_embeddings": (True, (loss,), {}),
    "model.embedding_norm": (True, (loss,), {}),
    "model.embedding_dim": (8, (parameters, loss), {}),
    "model.embedding_projection": ("tokens", (parameters, loss), {"model.embedding_dim": 8}),
    "model.token_types": (2, (parameters, loss), {}),
    "model.head_transform": (True, (loss,), {}),
    "model.scale_logits": (True, (loss,), {}),
    "model.pooler": (True, (parameters,), {}),
    "model.sentence_classes": (2, (parameters,), {"model.pooler": True}),
    "model.discriminator": (True, (parameters,), {}),
    "model.logits_bias": (True, (parameters,), {}),
    "model.future_heads": (2, (parameters, loss), {"objective": "multi_token", "model.future_heads": 1}),
    "model.initializer": ("xavier_uniform", (parameters,), {}),
    "model.initializer_std": (0.1, (parameters,), {}),
    "model.scale_residual_init": (False, (parameters,), {}),
    "model.embedding_dropout": (0.1, (loss,), {}),
    "model.attention_dropout": (0.1, (loss,), {}),
    "model.mlp_dropout": (0.1, (loss,), {}),
    "model.residual_dropout": (0.1, (loss,), {}),
    "model.scan": (True, (step,), {}),
    "model.scan_unroll": (2, (step,), {"model.scan": True, "model.depth": 2}),
    "model.remat": (True, (step,), {}),
    "model.remat_keeps": ("products", (step,), {"model.remat": True}),
    "model.attention_kernel": (Pallas(interpret=True), (step,), LARGER_HEADS),
    "model.attention_kernel=pallas.interpret": (True, (step,), LARGER_HEADS),
    "optimizer.kind": ("sgd", (step,), {}),
    "optimizer.learning_rate": (0.5, (update,), {}),
    "optimizer.schedule": ("linear", (update,), {}),
    "optimizer.warmup_steps": (3, (update,), {}),
    "optimizer.final_fraction": (0.5, (update,), {}),
    "optimizer.b1": (0.5, (update,), {}),
    "optimizer.b2": (0.5, (update,), {}),
    "optimizer.epsilon": (1e-3, (update,), {}),
    "optimizer.weight_decay": (0.5, (update,), {}),
    "optimizer.clip_norm": (None, (update,), {}),
}
# These decide about tokens: what they change is seen in what `prepare_data` makes.
IN_DATA = {
    "data.corpus": "other.jsonl", "data.text_field": "title", "data.documents": "line", "data.cache_dir": "cache2",
    "data.mixed_with": "other.jsonl",
    "data.tokenizer.kind": "bpe", "data.tokenizer.vocab_size": 310, "data.tokenizer.sentinels": 7,
    "data.tokenizer.model": "other.model",
}
REFUSED = {"model.vocabulary_head": (False, "predicts tokens, and this model has no head for them")}
ELSEWHERE = {"model.attention_kernel=cudnn.dense": "tests/layers/test_kernels.py",
             "model.attention_kernel=cudnn.implementation": "tests/layers/test_kernels.py",
             "data.corpus_weights": "tests/data/test_mixing.py",
             "start_from": "tests/training/test_starting.py",
             "vectorize": "tests/experiments/test_trained_together.py",
             **{f"mesh.{axis}": "tests/training/test_sharding.py" for axis in ("data", "fsdp", "tensor")},
             "data.tokenizer.decoder_start_id": "tests/experiments/test_convert.py",
             **{f"objective=translation.{option}": "tests/objectives/test_translation.py"
                for option in ("target_length", "label_smoothing")},
             "objective=electra.predicts": "tests/objectives/test_electra.py"}
IN_THE_LOOP = {"parallel", "devices", "log_every", "evaluate_every", "evaluate_batches", "checkpoint_every"}


def test_every_field_has_an_entry():
    assert set(IN_SETUP) | set(IN_DATA) | set(REFUSED) | set(ELSEWHERE) | IN_THE_LOOP == all_fields()
    root = pathlib.Path(__file__).parent.parent
    assert all(field.rpartition(".")[2] in (root / path).read_text() for field, path in ELSEWHERE.items())


# --- fixtures ----------------------------------------------------------------------------------------------------

def sentences(seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    words = ["".join(rng.choice(list("aeioumnrst"), rng.integers(2, 6))) for _ in range(60)]
    return [" ".join(rng.choice(words, 12)) + "." for _ in range(800)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
    """text.txt (documents of four lines), and two JSON-lines files with a text and a title."""
    folder, lines = tmp_path_factory.mktemp("corpus"), sentences(0)
    (folder / "text.txt").write_text("\n\n".join("\n".join(lines[i:i + 4]) for i in range(0, 800, 4)))
    for name, seed in (("text.jsonl", 1), ("other.jsonl", 2)):
        records = [{"text": line, "title": line[::-1]} for line in sentences(seed)]
        (folder / name).write_text("\n".join(map(json.dumps, records)))
    return folder


def config_in(folder, **changes) -> RunConfig:
    return tiny_config(model__depth=1, **WITHOUT_BIASES, data__length=32, data__corpus=str(folder / "text.txt"),
                       steps=6, data__cache_dir=str(folder / "cache"), **changes)


@pytest.fixture(scope="module")
def data(folder):
    return prepare_data(config_in(folder).data)


@pytest.fixture(scope="module")
def seen(folder, data):
    """seen(changes, where): an observation of a run with these changes; kept, since many fields start from one base."""
    @functools.cache
    def observe(changes, where):
        return where(Setup.of(override(config_in(folder), dict(changes)), data))
    return lambda changes, where: observe(tuple(changes.items()), where)


# --- the tests ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("field", IN_SETUP)
def test_field_bites(seen, field):
    value, places, base = IN_SETUP[field]
    path, _, option = field.partition("=")
    if option:
        variant, _, option = option.partition(".")
        base, path = base | {path: variant}, f"{path}.{option}"
    for where in places:
        assert seen(base, where) != seen(base | {path: value}, where), where.__name__


@pytest.mark.parametrize("field", REFUSED)
def test_field_is_refused_where_it_cannot_be_trained(folder, data, field):
    value, reason = REFUSED[field]
    with pytest.raises(UserError, match=reason):
        Setup.of(override(config_in(folder), {field: value}), data)


def test_what_does_not_matter_is_not_seen(seen):
    """Tracing twice gives the same text, and fields without effect in the base leave every observation as it is."""
    idle = {"log_every": 7, "model.encoder_depth": 3, "model.mlp_dim": 64, "model.kv_heads": 2}
    for where in (parameters, loss, step, update, batches):
        assert seen({}, where) == seen(idle, where), where.__name__
    assert seen({}, parameters) == seen({"model.remat": True, "model.scan": True}, parameters)


def test_dead_code_is_not_seen():
    def reads_and_drops(x, used):
        _ = x * used
        return x + 1

    assert program(lambda x: reads_and_drops(x, 2.0), 1.0) == program(lambda x: reads_and_drops(x, 3.0), 1.0)


@pytest.mark.parametrize("field", IN_DATA)
def test_data_field_bites(folder, data, field):
    value = IN_DATA[field]
    base = config_in(folder)
    if field in ("data.corpus", "data.text_field", "data.mixed_with"):
        base = override(base, {"data.corpus": str(folder / "text.jsonl")})
    if field == "data.tokenizer.model":
        other = override(base, {"data.tokenizer.kind": "bpe", "data.cache_dir": str(folder / "elsewhere")})
        (folder / value).write_bytes(prepare_data(other.data).tokenizer.model_path.read_bytes())
    if field in ("data.corpus", "data.mixed_with", "data.cache_dir", "data.tokenizer.model"):
        value = str(folder / value)
    before, after = prepare_data(base.data), prepare_data(override(base, {field: value}).data)
    if field == "data.cache_dir":
        assert pathlib.Path(value) in after.home.parents and pathlib.Path(value) not in before.home.parents
    elif field == "data.mixed_with":
        assert len(after.stores["train"]) == 2 and after.tokenizer.sha256 != before.tokenizer.sha256
    else:
        assert before.stores["train"].fingerprint != after.stores["train"].fingerprint


@pytest.mark.parametrize(("changes", "logged", "evaluated", "saved", "batch"), [
    ({"parallel": "jit", "devices": 4, "log_every": 2, "evaluate_every": 4, "checkpoint_every": 6,
      "evaluate_batches": 1}, [2, 4, 6], [4, 6], {6}, "int32[8,32]"),
    ({"parallel": "pmap", "devices": 2, "log_every": 3, "evaluate_every": 5, "checkpoint_every": 3,
      "evaluate_batches": 2}, [3, 6], [3, 5, 6], {3, 6}, "int32[2,4,32]"),
])
def test_fields_of_the_loop_bite(folder, data, tmp_path, caplog, changes, logged, evaluated, saved, batch):
    """Two runs in which all of them differ, and each has its own consequence."""
    config = config_in(folder, model__position="none", **changes)
    with jax.log_compiles(), caplog.at_level("WARNING"):
        train(config, data, tmp_path)
    lines = read_metrics(tmp_path)
    assert [line["step"] for line in lines if "train/loss" in line] == logged
    assert [line["step"] for line in lines if "eval/loss" in line] == evaluated
    assert {int(path.name) for path in (tmp_path / "checkpoints").iterdir() if path.is_dir()} == saved
    assert any(batch in message and f"'data': {config.devices}" in message for message in caplog.messages)
    rows = config.evaluate_batches * config.batch_size
    assert 0.8 * rows * 32 < lines[-1]["eval/loss_tokens"] <= rows * 32
