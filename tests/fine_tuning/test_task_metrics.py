"""Metrics: by hand, by scipy, and where they have no spread."""

import math

import numpy as np
import pytest
import scipy.stats

from arch_zoo.data.labelled.task import METRICS
from arch_zoo.fine_tuning.metrics import FUNCTIONS, accuracy, f1, matthews, measured, pearson, spearman, standard_error

PREDICTED, ANSWERS = np.array([1, 1, 1, 0, 0, 0, 0, 1]), np.array([1, 1, 0, 0, 0, 1, 0, 0])  # tp 2, fp 2, fn 1, tn 3


def test_accuracy_f1_and_matthews_by_hand():
    assert accuracy(PREDICTED, ANSWERS) == 5 / 8
    assert f1(PREDICTED, ANSWERS) == pytest.approx(2 * 2 / (2 * 2 + 2 + 1))
    assert matthews(PREDICTED, ANSWERS) == pytest.approx((2 * 3 - 2 * 1) / math.sqrt(4 * 3 * 5 * 4))


def test_matthews_of_two_labels_is_their_linear_correlation_and_of_three_gorodkins():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 2, (2, 100))
    assert matthews(x, y) == pytest.approx(np.corrcoef(x, y)[0, 1])
    x, y = rng.integers(0, 3, (2, 200))
    c = np.array([[np.sum((x == i) & (y == j)) for j in range(3)] for i in range(3)])
    n, right, predicted, true = c.sum(), np.trace(c), c.sum(axis=1), c.sum(axis=0)
    expected = (right * n - predicted @ true) / math.sqrt((n**2 - predicted @ predicted) * (n**2 - true @ true))
    assert matthews(x, y) == pytest.approx(expected)


def test_correlations_are_scipys():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 50))
    assert pearson(x, y) == pytest.approx(scipy.stats.pearsonr(x, y).statistic)
    assert spearman(x, y) == pytest.approx(scipy.stats.spearmanr(x, y).statistic)


@pytest.mark.parametrize("name", METRICS)
def test_perfect_is_one_and_constant_is_never_more_than_chance(name):
    assert set(METRICS) == set(FUNCTIONS)
    assert FUNCTIONS[name](ANSWERS, ANSWERS) == pytest.approx(1.0)
    constant = FUNCTIONS[name](np.zeros(8, int), ANSWERS)
    assert constant == (5 / 8 if name == "accuracy" else 0.0)


def test_the_standard_error_of_an_accuracy_is_the_binomials():
    rng = np.random.default_rng(0)
    predicted, answers = rng.integers(0, 2, (2, 500))
    share = accuracy(predicted, answers)
    expected = math.sqrt(share * (1 - share) / 500)
    assert standard_error("accuracy", predicted, answers) == pytest.approx(expected, rel=0.15)
    assert measured(("accuracy", "f1"), predicted.tolist(), answers.tolist()).keys() == {"accuracy", "f1"}
