"""The shared metrics of a run: described as they are measured, and every field of their config bites."""

import dataclasses
import functools
import pathlib
import typing

import jax
import numpy as np
import pytest

from arch_zoo.config import DataConfig, EvaluationConfig, FineTuningConfig
from arch_zoo.data.prepare import prepare_data
from arch_zoo.errors import UserError
from arch_zoo.evaluation.likelihood import Scorer
from arch_zoo.evaluation.samples import sample
from arch_zoo.settings import field_types, override
from arch_zoo.training.setup import Setup
from experiments.studies import metrics
from experiments.studies.metrics import GROUPS, Evaluated, describe, groups, measure
from tests.evaluation.toy_text import documents
from tests.fine_tuning.made import sentences
from tests.toy import tiny_config

BLIMP_LINE = '{"sentence_good": "Ban cet dir.", "sentence_bad": "Cet ban dir.", "UID": "%s"}\n'
SMALL = EvaluationConfig(metrics=tuple(GROUPS), suffixes=5, pairs=4, context_tokens=6, fine_tuning=FineTuningConfig(
    examples=16, test_examples=6, epochs=1, batch_size=8, length=12))
ARMS = [("decoder_only", "causal_lm"), ("encoder_only", "masked_lm"), ("encoder_decoder", "span_corruption")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("metrics")
    for seed, (split, count) in enumerate({"train": 100, "validation": 12, "test": 24}.items()):
        (folder / f"{split}.txt").write_text("\n\n".join(documents(seed, count)))
    (folder / "pairs.jsonl.data").write_text(BLIMP_LINE % "one" + BLIMP_LINE % "two" * 2)
    return folder


@pytest.fixture(scope="module")
def runs(folder):
    """run(architecture, objective, changes of the evaluation): an untrained run, ready to be measured."""
    @functools.cache
    def trained(architecture, objective):
        config = tiny_config(model__architecture=architecture, objective=objective, model__depth=1, data__length=24,
                             model__position="rotary", data__tokenizer__vocab_size=340, data__corpus=str(folder),
                             data__cache_dir=str(folder / "cache"))
        setup = Setup.of(config, prepare_data(config.data))
        return setup, jax.jit(setup.initial_state)(setup.train.batch_at(0)).parameters

    def run(architecture="decoder_only", objective="causal_lm", **changes) -> Evaluated:
        return Evaluated(*trained(architecture, objective), override(SMALL, changes))

    return run


@pytest.fixture(autouse=True)
def classes_of_toy_text(monkeypatch):
    examples = [(text, number % 10) for number, text in enumerate(documents(7, 40))]
    monkeypatch.setattr(metrics, "_task", lambda cache_dir: sentences(examples, examples[:20], tuple("abcdefghij")))


@pytest.fixture(scope="module")
def measured(runs):
    """measured(architecture, objective): all groups of an unchanged evaluation, measured once."""
    @functools.cache
    def measured(architecture, objective) -> dict:
        run = runs(architecture, objective)
        return {key: value for group in GROUPS for key, value in measure(group, run).items()}

    return measured


# --- what is described and what is measured ----------------------------------------------------------------------

@pytest.mark.parametrize(("architecture", "objective"), ARMS)
def test_what_is_described_is_what_is_measured(measured, architecture, objective):
    found = measured(architecture, objective)
    described = {metric["key"]: metric for metric in describe(SMALL, DataConfig(length=24))}
    assert list(found) == list(described)
    assert {key.split("/")[0] for key in found} == set(GROUPS)
    for key, entry in found.items():
        if entry["value"] is None:
            assert (objective, key) == ("masked_lm", "bits_per_byte") and "no left-to-right" in entry["reason"]
        else:
            assert np.isfinite(entry["value"]) and entry["count"] > 0
            assert described[key]["unit"] != "accuracy" or 0 <= entry["value"] <= 1


def test_readings_are_told_with_the_result(measured):
    found = measured("encoder_decoder", "span_corruption")
    assert found["classification/shared"]["how"] == "encoder alone, bidirectional, mean over tokens"
    assert found["classification/own"]["how"] == "text in encoder and decoder, decoder's last token"
    twice = measured("encoder_only", "masked_lm")
    assert twice["classification/shared"] == twice["classification/own"]


def test_blimps_files_take_the_place_of_made_pairs(runs, folder):
    run = runs(minimal_pairs=str(folder / "pairs.jsonl.data"))
    described = describe(run.evaluation, DataConfig(length=24))
    assert [m["key"] for m in described if "pairs" in m["key"]] == ["minimal_pairs"]
    found = measure("minimal_pairs", run)
    assert list(found) == ["minimal_pairs"] and found["minimal_pairs"]["count"] == 3
    assert set(found["minimal_pairs"]["by_kind"]) == {"one", "two"}


def test_tasks_are_shared_metrics_too(runs, folder):
    """As they are described: each with its own data, by its own key; what has no meaning has its reason."""
    (folder / "lambada.data").write_text('"Ban cet dir"\n')
    changes = {"tasks": "blimp,lambada,perplexity,perplexity", "tasks.blimp.data": str(folder / "pairs.jsonl.data"),
               "tasks.lambada.data": str(folder / "lambada.data"), "tasks.2.data": str(folder / "test.txt"),
               "tasks.2.limit": "2", "tasks.3.data": str(folder / "test.txt"), "tasks.3.limit": "1"}
    for architecture, objective in (ARMS[0], ARMS[1]):
        run = runs(architecture, objective, **changes)
        described = {metric["key"]: metric for metric in describe(run.evaluation, DataConfig(length=24))}
        assert groups(run.evaluation) == [*GROUPS, "blimp", "lambada", "perplexity.0", "perplexity.1"]
        found = {label: measure(label, run) for label in groups(run.evaluation)[len(GROUPS):]}
        accuracy = found["blimp"]["blimp/acc"]
        assert accuracy["count"] == 3 and set(accuracy["by_kind"]) == {"one", "two"}
        assert described["blimp/acc"]["chance"] == 0.5 and described["lambada/perplexity"]["better"] == "lower"
        assert [found[f"perplexity.{n}"].keys() for n in (0, 1)] == [
            {key for key in described if key.startswith(f"perplexity.{n}/")} for n in (0, 1)]
        stem = "pseudo_" if objective == "masked_lm" else ""
        assert found["perplexity.0"][f"perplexity.0/{stem}bits_per_byte_windows_128"]["count"] == 2
        assert sum(entry["value"] is None for entry in found["perplexity.0"].values()) == 3
        if objective == "masked_lm":
            assert "no left-to-right" in found["lambada"]["lambada"]["reason"]
        else:
            assert set(found["lambada"]) == {"lambada/acc", "lambada/perplexity"}
    with pytest.raises(UserError, match="task blimp: nowhere: no such file or folder"):
        describe(override(SMALL, {"tasks": "blimp", "tasks.blimp.data": "nowhere"}), DataConfig())
    with pytest.raises(UserError, match="task blimp needs data"):
        describe(override(SMALL, {"tasks": "blimp"}), DataConfig())


def test_a_group_without_meaning_has_a_reason(runs):
    run = runs()
    tokens_only = dataclasses.replace(run.setup, data=dataclasses.replace(run.setup.data, corpus=None))
    found = measure("minimal_pairs", dataclasses.replace(run, setup=tokens_only))
    assert found["minimal_pairs"]["value"] is None and "minimal_pairs=PATH" in found["minimal_pairs"]["reason"]


# --- every field bites -------------------------------------------------------------------------------------------

@pytest.fixture
def scored(monkeypatch):
    """What the scorer was asked for: the tokens of every row."""
    asked = []

    def scores(self, items):
        items = list(items)
        asked.extend(tuple(row.tokens[0].tolist()) for item in items for row in item)
        return np.zeros(len(items))

    monkeypatch.setattr(Scorer, "scores", scores)
    return asked


@pytest.mark.parametrize(("field", "value", "group"), [
    ("suffixes", 3, "bits_per_byte"), ("pairs", 2, "minimal_pairs"), ("context_tokens", 2, "minimal_pairs"),
    ("minimal_pairs", "pairs.jsonl.data", "minimal_pairs")])
def test_a_field_of_the_evaluation_bites(runs, folder, scored, field, value, group):
    value = str(folder / value) if isinstance(value, str) else value
    before, again, after = [], [], []
    for changes, found in (({}, before), ({}, again), ({field: value}, after)):
        scored.clear()
        measure(group, runs(**changes))
        found += scored
    assert before == again != after and after
    if field in ("suffixes", "pairs"):
        assert len(after) / len(before) == value / getattr(SMALL, field)


@pytest.mark.parametrize(("field", "value"), {"examples": 8, "test_examples": 3, "epochs": 2, "batch_size": 4,
                                              "length": 6, "learning_rate": 0.1, "schedule": "linear",
                                              "warmup_share": 0.5, "weights": "probe", "transfer": 1,
                                              "new_tokens": True, "auxiliary": 0.5}.items())
def test_a_field_of_fine_tuning_arrives(runs, monkeypatch, field, value):
    """What each of them does there is tested with fine-tuning itself."""
    given = []
    monkeypatch.setattr(metrics, "fine_tune", lambda *arguments: given.append(arguments[5]) or np.ones(2))
    measure("classification", runs(**{f"fine_tuning.{field}": value}))
    assert given == [SMALL.fine_tuning.replace(**{field: value})] * 2
    assert getattr(SMALL.fine_tuning, field) != value


def test_chosen_metrics_alone_are_measured():
    names, _ = typing.get_args(field_types(EvaluationConfig)["metrics"])
    assert typing.get_args(names) == tuple(GROUPS)
    chosen = SMALL.replace(metrics=("minimal_pairs",))
    assert groups(chosen) == ["minimal_pairs"]
    assert {metric["key"].split("/")[0] for metric in describe(chosen, DataConfig())} == {"minimal_pairs"}
    with pytest.raises(UserError, match="metrics: expected any of: .*'minimal_pair'.*Did you mean 'minimal_pairs'"):
        SMALL.replace(metrics=("minimal_pair",))


def test_losses_are_measured_of_as_many_windows_of_each_length_as_asked(runs):
    found = {}
    for lengths, windows in (((8, 16), 8), ((8, 16), 16)):
        run = runs(losses="causal_lm", loss_windows=str(windows), loss_lengths=",".join(map(str, lengths)))
        group, = groups(run.evaluation)[len(GROUPS):]
        *found[windows], growth = measure(group, run).values()
        for length, entry in zip(lengths, found[windows], strict=True):
            assert 0 <= windows * length - entry["count"] < length and np.isfinite(entry["value"])
        assert growth["value"] == found[windows][1]["value"] - found[windows][0]["value"]
    assert [entry["value"] for entry in found[8]] != [entry["value"] for entry in found[16]]


def test_every_field_is_among_them():
    assert {field.name for field in dataclasses.fields(EvaluationConfig)} == \
           {"metrics", "losses", "loss_lengths", "loss_windows", "suffixes", "pairs", "context_tokens", "minimal_pairs",
            "fine_tuning", "tasks"}
    assert {field.name for field in dataclasses.fields(FineTuningConfig)} == \
           {"examples", "test_examples", "epochs", "batch_size", "length", "learning_rate", "schedule", "warmup_share",
            "weights", "transfer", "new_tokens", "auxiliary"}


# --- samples -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("architecture", "objective"), [*ARMS, ("prefix_decoder", "prefix_lm")])
def test_a_sample_shows_what_the_objective_sees_and_predicts(runs, architecture, objective):
    run = runs(architecture, objective)
    pieces, vocabulary = run.setup.data.tokenizer.pieces, run.setup.data.tokenizer.vocabulary
    puts = {"masked_lm": vocabulary.mask_id, "span_corruption": vocabulary.sentinel_ids[0],
            "prefix_lm": vocabulary.bos_id}
    shown = sample(run.setup, run.parameters, predictions=3)
    batch = run.setup.evaluation.evaluation_batch_at(0)
    names = ["source", "stream"] if batch.source is not None else ["stream"]
    assert [stream["name"] for stream in shown["streams"]] == names
    for stream in shown["streams"]:
        tokens = getattr(batch, stream["name"]).tokens[0]
        assert stream["tokens"] == pieces(tokens)[:len(stream["tokens"])]
        put = set(np.take(stream["tokens"], stream["marked"]))
        assert put == set() if objective == "causal_lm" else pieces([puts[objective]])[0] in put
    logits = jax.jit(lambda p, b: run.setup.model.apply({"params": p}, b, run.setup.visibility, train=False))(
        run.parameters, batch)[0]
    positions = range(len(logits)) if batch.loss_positions is None else batch.loss_positions[0].tolist()
    carries = np.flatnonzero(batch.loss_weights[0])
    assert len(shown["predictions"]) == 3
    for prediction in shown["predictions"]:
        n = list(positions).index(prediction["position"])
        assert n in carries
        assert prediction["target"] == pieces([batch.targets[0, n]])[0]
        assert prediction["predicted"] == pieces([int(np.argmax(logits[n]))])[0]
        assert prediction["probability"] == pytest.approx(float(jax.nn.softmax(logits[n]).max()), rel=1e-4)


def test_a_sample_shows_as_many_predictions_as_there_are_and_the_row_asked_for(runs):
    run = runs("encoder_only", "masked_lm")
    first, second = (sample(run.setup, run.parameters, row=row, predictions=100) for row in (0, 1))
    carried = (run.setup.evaluation.evaluation_batch_at(0).loss_weights > 0).sum(axis=1)
    assert [len(shown["predictions"]) for shown in (first, second)] == carried[:2].tolist()
    assert first["streams"] != second["streams"]
