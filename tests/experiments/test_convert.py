"""experiments.convert: a run out and in again, what it says, and every wrong way to call it."""

import json
import shutil
import subprocess
import sys
import types

import numpy as np
import pytest

from arch_zoo.config import EvaluationConfig, FineTuningConfig
from arch_zoo.data.prepare import prepare_data
from arch_zoo.errors import UserError
from arch_zoo.files import read_json, write_json_atomic
from arch_zoo.fine_tuning.learning import fine_tune
from arch_zoo.interop.runs import export_run, import_run
from arch_zoo.settings import override, to_dict
from arch_zoo.tensor_files import flatten_tree
from arch_zoo.training.batches import training_batches
from arch_zoo.training.loop import train
from arch_zoo.training.setup import Setup
from arch_zoo.training.starting import load_parameters
from arch_zoo.training.workdir import load_config
from experiments import convert
from experiments.studies.metrics import Evaluated, measure
from tests.fine_tuning.made import sentences
from tests.interop.golden_weights import GOLDEN, write_checkpoint
from tests.runs import ROOT, write_corpus
from tests.toy import tiny_config

CASES = json.loads(GOLDEN.read_text())["cases"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a run of two steps, `run`, and its export, `out`."""
    home = tmp_path_factory.mktemp("convert")
    write_corpus(home / "text.txt", 60)
    config = tiny_config(model__depth=1, steps=2, devices=1, data__corpus=str(home / "text.txt"),
                         data__cache_dir=str(home / "cache"), data__length=16)
    train(config, prepare_data(config.data), home / "run")
    write_json_atomic(home / "run" / "config.json", to_dict(config))
    export_run(home / "run", home / "out")
    return home


def test_out_and_in_again_it_is_the_same_model(home):
    found = import_run(home / "out", home / "again")
    ours, theirs = (flatten_tree(load_parameters(home / name)) for name in ("run", "again"))
    assert ours.keys() == theirs.keys()
    for path, array in ours.items():
        np.testing.assert_allclose(theirs[path], array, atol=1e-7)
    assert found["model_type"] == "gpt2" and found["parameters"] == sum(array.size for array in ours.values())
    assert load_config(home / "again").model.vocab_size == 300


def test_an_imported_run_trains_with_the_tokenizer_it_came_with(home, tmp_path):
    import_run(home / "out", tmp_path / "run")
    config = load_config(tmp_path / "run")
    assert config.data.tokenizer.model == str(tmp_path / "run" / "tokenizer")
    config = config.replace(steps=1, devices=1, batch_size=8, data=config.data.replace(
        corpus=str(home / "text.txt"), cache_dir=str(home / "cache"), length=16,
        tokenizer=config.data.tokenizer.replace(sentinels=16)))
    data = prepare_data(config.data)
    own = prepare_data(load_config(home / "run").data)
    assert data.tokenizer.encode("some text") == own.tokenizer.encode("some text")
    assert train(config, data, tmp_path / "run")["steps"] == 1


@pytest.mark.parametrize(("case", "objective"), [("bert", "masked_lm"), ("t5", "span_corruption"), ("bart", None),
                                                 ("gpt2", "causal_lm"), ("electra_discriminator", "masked_lm")])
def test_an_import_is_a_run_by_its_architectures_objective(case, objective, tmp_path):
    write_checkpoint(tmp_path / "hf", CASES[case]["config"], CASES[case]["shapes"])
    import_run(tmp_path / "hf", tmp_path / "run")
    config = load_config(tmp_path / "run")
    assert objective in (None, config.objective.name)
    assert config.data.length == (128 if case == "t5" else 32)
    assert read_json(tmp_path / "run" / "import.json")["model_type"] == CASES[case]["config"]["model_type"]
    # It goes back to the type it came from, though another may compute it too.
    assert export_run(tmp_path / "run", tmp_path / "out")["model_type"] == CASES[case]["config"]["model_type"]


def test_a_tokenizer_is_exported_where_it_is_the_models_own(home, tmp_path):
    case = CASES["gpt2"]
    write_checkpoint(tmp_path / "hf", case["config"], case["shapes"])
    import_run(tmp_path / "hf", tmp_path / "without")
    assert "it came without a tokenizer and was not" in export_run(tmp_path / "without", tmp_path / "out")["tokenizer"]
    assert not list((tmp_path / "out").glob("tokenizer*"))

    for path in (home / "out").glob("tokenizer*"):  # of 300 ids, for a vocabulary of 61
        (tmp_path / "hf" / path.name).write_bytes(path.read_bytes())
    import_run(tmp_path / "hf", tmp_path / "larger")
    assert "tokenizer.model has 300 ids, the embed" in export_run(tmp_path / "larger", tmp_path / "out2")["tokenizer"]
    assert read_json(tmp_path / "out2" / "config.json")["eos_token_id"] is None
    assert list((home / "out").glob("tokenizer*"))  # a run trained here has the one it was trained with


def test_another_tokenizer_than_the_one_trained_with_is_not_exported(home, tmp_path):
    shutil.copytree(home / "run", tmp_path / "run")
    environment = read_json(tmp_path / "run" / "environment.json")
    write_json_atomic(tmp_path / "run" / "environment.json", environment | {"tokenizer_sha256": "0" * 64})
    assert "has the tokenizer it was trained with" in export_run(tmp_path / "run", tmp_path / "out")["tokenizer"]


def test_an_import_without_a_tokenizer_warns(tmp_path, capsys, monkeypatch):
    write_checkpoint(tmp_path / "hf", CASES["gpt2"]["config"], CASES["gpt2"]["shapes"])
    monkeypatch.setattr(convert, "IGNORE_FIELDS", types.SimpleNamespace(value=[]))
    convert.import_from(tmp_path / "hf", tmp_path / "run")
    assert "no tokenizer. The ids of any tokenizer trained here mean nothing to these" in capsys.readouterr().out


def test_a_decoder_starts_as_the_checkpoint_says(home, tmp_path):
    config = load_config(home / "run")
    first = lambda data: training_batches(override(config, {  # noqa: E731
        "model.architecture": "encoder_decoder", "objective": "prefix_lm"}), data).batch_at(0).stream.tokens[:, 0]
    assert (first(prepare_data(config.data)) == 2).all()
    told = override(config, {"data.tokenizer.decoder_start_id": "3"})
    assert (first(prepare_data(told.data)) == 3).all()
    with pytest.raises(UserError, match="data.tokenizer.decoder_start_id=999 is not an id of .*which has 300"):
        prepare_data(override(config, {"data.tokenizer.decoder_start_id": "999"}).data)

    case = CASES["bart"]
    write_checkpoint(tmp_path / "hf", case["config"] | {"decoder_start_token_id": 3, "vocab_size": 300},
                     {name: [300 if n == 61 else n for n in shape] for name, shape in case["shapes"].items()})
    for path in (home / "out").glob("tokenizer*"):
        (tmp_path / "hf" / path.name).write_bytes(path.read_bytes())
    import_run(tmp_path / "hf", tmp_path / "run")
    assert load_config(tmp_path / "run").data.tokenizer.decoder_start_id == 3
    export_run(tmp_path / "run", tmp_path / "out")
    assert read_json(tmp_path / "out" / "config.json")["decoder_start_token_id"] == 3


def test_nothing_half_done_is_left_behind(home, tmp_path):
    directory = write_checkpoint(tmp_path / "hf", CASES["gpt2"]["config"] | {"n_positions": 31},
                                 CASES["gpt2"]["shapes"])
    with pytest.raises(UserError, match="wpe.weight has shape"):
        import_run(directory, tmp_path / "run")
    with pytest.raises(UserError, match="is there already; name a new directory"):
        import_run(home / "out", home / "run")
    with pytest.raises(UserError, match="is there already; name a new directory"):
        export_run(home / "run", home / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hf"]


@pytest.mark.parametrize(("flags", "message"), [
    ([], "--workdir=DIR is required"),
    (["--workdir=x"], "one of --from_huggingface=DIR and --to_huggingface=DIR is needed"),
    (["--workdir=x", "--from_huggingface=a", "--to_huggingface=b"], "one of --from_huggingface=DIR and"),
    (["--workdir=x", "--from_huggingface=a", "--model_type=gpt2"], "--model_type goes with --to_huggingface"),
    (["--workdir=x", "--from_huggingface=a", "more"], "unexpected argument 'more'"),
])
def test_wrong_calls_end_in_one_line(flags, message, tmp_path):
    ended = subprocess.run([sys.executable, "-m", "experiments.convert", *flags], cwd=tmp_path, capture_output=True,
                           text=True, env={"PYTHONPATH": str(ROOT), "PATH": ""})
    assert ended.returncode == 1 and ended.stdout == ""
    assert ended.stderr.startswith("convert: ") and message in ended.stderr and ended.stderr.count("\n") == 1


def test_an_imported_run_is_measured_and_fine_tuned_like_any_other(home, tmp_path):
    import_run(home / "out", tmp_path / "run")
    config = load_config(tmp_path / "run")
    config = config.replace(data=config.data.replace(corpus=str(home / "text.txt"), cache_dir=str(home / "cache"),
                                                     length=16))
    setup, parameters = Setup.of(config, prepare_data(config.data)), load_parameters(tmp_path / "run")
    settings = EvaluationConfig(suffixes=4, pairs=4)
    theirs = measure("minimal_pairs", Evaluated(setup, parameters, settings))
    own = load_config(home / "run")
    ours = measure("minimal_pairs", Evaluated(Setup.of(own, prepare_data(own.data)), load_parameters(home / "run"),
                                           settings))
    assert theirs == ours and theirs

    task = sentences([("a b", 0), ("a b c d e f", 1)] * 8, [("b a", 0), ("f e d c b a", 1)], ("short", "long"))
    fine_tuning = FineTuningConfig(examples=16, test_examples=2, epochs=1, batch_size=8, length=12)
    right = fine_tune(setup.model, parameters, config.model.architecture.own_reading, task, setup.data.tokenizer,
                      fine_tuning, 0)
    assert right.shape == (2,)
