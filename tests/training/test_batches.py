"""Some rows of a batch are what they are in the whole batch: each host makes its own."""

import jax
import numpy as np
import pytest

from arch_zoo.config import RunConfig
from arch_zoo.data.prepare import prepare_data
from arch_zoo.objectives.base import Seeds
from arch_zoo.settings import override
from arch_zoo.training.batches import evaluation_batches, training_batches
from tests.runs import TINY, write_corpus
from tests.toy import compatible_pairs, tiny_config, toy_text, toy_vocabulary


def assert_same_rows(part, whole, rows):
    assert jax.tree.structure(part) == jax.tree.structure(whole)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[rows]), part, whole)


@pytest.mark.parametrize(("architecture", "objective"), compatible_pairs())
@pytest.mark.parametrize("documents", [True, False], ids=["documents", "no documents"])
def test_every_objective_makes_rows_apart(architecture, objective, documents):
    config, vocabulary = tiny_config(model__architecture=architecture, objective=objective), toy_vocabulary()
    window = toy_text(config.objective, 8, config.data.length, first=24, documents=documents)
    window.progress = np.full(8, 0.7)

    def made(rows):
        example = config.objective.prepare(window.rows(rows), vocabulary, Seeds(3))
        return config.model.architecture.layout(example, rows, vocabulary.start_id)

    whole = made(np.arange(8))
    for rows in (np.arange(4, 8), np.array([1]), np.array([0, 3, 6])):
        assert_same_rows(made(rows), whole, rows)


def test_batches_of_a_run(tmp_path):
    values = TINY | {"data.corpus": str(write_corpus(tmp_path / "text.txt")), "data.cache_dir": str(tmp_path),
                     "model.architecture": "encoder_decoder", "objective": "span_corruption"}
    config, rows = override(RunConfig(), values), np.arange(2, 6)
    data = prepare_data(config.data, config.require)
    train, evaluation = training_batches(config, data), evaluation_batches(config, data)
    assert_same_rows(train.batch_at(3, rows), train.batch_at(3), rows)
    last = evaluation.evaluation_count() - 1
    assert_same_rows(evaluation.evaluation_batch_at(last, rows), evaluation.evaluation_batch_at(last), rows)
    with pytest.raises(AssertionError):
        assert_same_rows(train.batch_at(2, rows), train.batch_at(3), rows)
