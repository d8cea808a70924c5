"""What predictions are worth: pure functions of predictions and answers."""

from collections.abc import Callable, Sequence

import numpy as np
import scipy  # it loads scipy.stats when that is first used

_RESAMPLES = 200


def accuracy(predicted: np.ndarray, answers: np.ndarray) -> float:
    """Share of right predictions."""
    return float(np.mean(predicted == answers))


def f1(predicted: np.ndarray, answers: np.ndarray) -> float:
    """2 · precision · recall / (precision + recall) of label 1; 0 where nothing is, or is called, positive."""
    both = np.sum((predicted == 1) & (answers == 1))
    total = np.sum(predicted == 1) + np.sum(answers == 1)
    return float(2 * both / total) if total else 0.0


def matthews(predicted: np.ndarray, answers: np.ndarray) -> float:
    """The correlation of predicted and true labels (Matthews 1975; for more than two labels Gorodkin 2004).

    0 where either is always the same.
    """
    labels = np.union1d(predicted, answers)
    x, y = (np.asarray(a)[:, None] == labels for a in (predicted, answers))
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    spread = np.sqrt(np.sum(x * x) * np.sum(y * y))
    return float(np.sum(x * y) / spread) if spread else 0.0


def pearson(predicted: np.ndarray, answers: np.ndarray) -> float:
    """Linear correlation; 0 where either is constant."""
    return _correlation(scipy.stats.pearsonr, predicted, answers)


def spearman(predicted: np.ndarray, answers: np.ndarray) -> float:
    """Correlation of ranks; 0 where either is constant."""
    return _correlation(scipy.stats.spearmanr, predicted, answers)


def _correlation(function: Callable, predicted: np.ndarray, answers: np.ndarray) -> float:
    if len(answers) < 2 or np.ptp(predicted) == 0 or np.ptp(answers) == 0:
        return 0.0
    return float(function(predicted, answers).statistic)


FUNCTIONS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": accuracy, "f1": f1, "matthews": matthews, "pearson": pearson, "spearman": spearman}


def measured(names: Sequence[str], predicted: Sequence, answers: Sequence) -> dict[str, float]:
    """{metric: value}."""
    return {name: FUNCTIONS[name](np.asarray(predicted), np.asarray(answers)) for name in names}


def standard_error(name: str, predicted: Sequence, answers: Sequence) -> float:
    """Of a metric over the choice of examples: the deviation of its values on resamples of them (Efron 1979)."""
    predicted, answers = np.asarray(predicted), np.asarray(answers)
    rng = np.random.default_rng(0)
    samples = (rng.integers(0, len(answers), len(answers)) for _ in range(_RESAMPLES))
    return float(np.std([FUNCTIONS[name](predicted[i], answers[i]) for i in samples], ddof=1))
