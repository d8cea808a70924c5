"""A run is opened from its directory alone: config, parameters, tokenizer."""

import shutil

import jax
import numpy as np
import pytest

from arch_zoo.errors import UserError
from arch_zoo.training.trained import open_run
from tests import runs


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The directory of a tiny run whose corpus is gone."""
    home = tmp_path_factory.mktemp("trained")
    corpus = runs.write_corpus(home / "corpus.txt")
    runs.trained(corpus, home / "run")
    corpus.unlink()
    return home / "run"


def test_a_run_opens_without_its_corpus(trained):
    run = open_run(trained)
    kept = {key.removeprefix(".parameters"): value for key, value in runs.final_state(trained).items()}
    for path, value in jax.tree_util.tree_leaves_with_path(run.parameters):
        np.testing.assert_array_equal(value, kept[f"['parameters']{jax.tree_util.keystr(path)}"])
    assert run.tokenizer.decode(run.tokenizer.encode("kali mona.")) == "kali mona."
    assert run.model.vocab_size == run.tokenizer.vocabulary.size


def test_what_it_is_asked_by_can_be_another_objective(trained):
    with pytest.raises(UserError, match="only what it is asked can be changed"):
        open_run(trained, {"model.depth": "2"})
    with pytest.raises(UserError, match="decoder_only cannot train objective=masked_lm"):
        open_run(trained, {"objective": "masked_lm"})


def test_a_directory_without_a_run_is_named(trained, tmp_path):
    with pytest.raises(UserError, match="not the directory of a run: it has no config.json. Did you mean '.*run'?"):
        open_run(trained.parent / "rum")
    shutil.copytree(trained, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    with pytest.raises(UserError, match="has no parameters"):
        open_run(tmp_path / "run")
