"""Training that begins with given parameters: `start_from`, and a directory that was given some."""

import json
import pathlib

import jax
import numpy as np
import pytest

from arch_zoo.config import RunConfig
from arch_zoo.data.prepare import prepare_data
from arch_zoo.errors import UserError
from arch_zoo.files import write_json_atomic
from arch_zoo.settings import override, to_dict
from arch_zoo.tensor_files import flatten_tree
from arch_zoo.training.loop import train
from arch_zoo.training.metrics import read_metrics
from arch_zoo.training.programs import LastPrograms
from arch_zoo.training.starting import load_parameters, write_given_parameters
from arch_zoo.training.workdir import claim
from tests.runs import write_corpus
from tests.toy import tiny_config


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("starting")
    write_corpus(folder / "text.txt", 60)
    return folder


@pytest.fixture(scope="module")
def config(folder) -> RunConfig:
    return tiny_config(model__depth=1, model__position="none", steps=2, log_every=1, devices=1,
                       data__corpus=str(folder / "text.txt"), data__cache_dir=str(folder / "cache"))


@pytest.fixture(scope="module")
def data(config):
    return prepare_data(config.data)


@pytest.fixture(scope="module")
def kept() -> LastPrograms:
    """What was compiled, for all runs that differ in seed and start alone."""
    return LastPrograms()


@pytest.fixture(scope="module")
def first(folder, config, data, kept):
    """The directory of a run that is done."""
    train(config, data, folder / "first", kept=kept)
    return folder / "first"


@pytest.fixture(scope="module")
def second(first, folder, config, data, kept):
    """The directory of a run that went on from it."""
    train(config.replace(start_from=str(first), seed=1), data, folder / "second", kept=kept)
    return folder / "second"


def losses(workdir) -> list[float]:
    return [line["train/loss"] for line in read_metrics(workdir) if "train/loss" in line]


def test_a_runs_parameters_are_read_without_its_config(first, monkeypatch):
    monkeypatch.chdir(first.parent)  # a relative path will do
    flat = flatten_tree(load_parameters(pathlib.Path(first.name)))
    text = (first / "parameters.txt").read_text()
    assert all(isinstance(array, np.ndarray) for array in flat.values())
    assert f"{sum(array.size for array in flat.values()):,}" in text.splitlines()[-1]


def test_start_from_goes_on_from_the_others_parameters(second, config, data, kept, tmp_path):
    train(config.replace(seed=1), data, tmp_path / "fresh", kept=kept)
    assert losses(second)[0] < losses(tmp_path / "fresh")[0] - 0.01


def test_a_directory_that_was_given_parameters_begins_with_them(first, second, config, data, kept, tmp_path):
    workdir = tmp_path / "given"
    workdir.mkdir()
    parameters = load_parameters(first)
    write_given_parameters(workdir, parameters)
    jax.tree.map(np.testing.assert_array_equal, load_parameters(workdir), parameters)
    train(config.replace(seed=1), data, workdir, kept=kept)
    assert losses(workdir) == losses(second)
    reached, given = load_parameters(workdir), parameters
    assert any((a != b).any() for a, b in zip(jax.tree.leaves(reached), jax.tree.leaves(given), strict=True))


def test_another_models_parameters_are_refused_in_one_line(first, config, data, tmp_path):
    wider = override(config, {"model.mlp_dim": "20", "start_from": str(first)})
    with pytest.raises(UserError, match=r"its parameters are not this model's: stack/blocks/feed_forward/\S+ is "
                                        r"\(1, .*--config=.*first/config.json"):
        train(wider, data, tmp_path / "run")
    with pytest.raises(UserError, match="has no parameters: no checkpoint, and none that it was given"):
        train(config.replace(start_from=str(tmp_path)), data, tmp_path / "run")


def test_how_given_parameters_are_trained_is_free_until_it_begins(config, tmp_path):
    (tmp_path / "parameters").mkdir()
    write_json_atomic(tmp_path / "config.json", to_dict(config))
    with claim(tmp_path, config.replace(steps=7)):
        pass
    assert json.loads((tmp_path / "config.json").read_text())["steps"] == 7
    with pytest.raises(UserError, match="another config: model.depth"), \
            claim(tmp_path, override(config, {"model.depth": "2"})):
        pass
    (tmp_path / "metrics.jsonl").write_text("")
    with pytest.raises(UserError, match="another config: steps"), claim(tmp_path, config):
        pass
