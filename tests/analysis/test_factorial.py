"""Main effects and interactions against closed forms, and the identity of sums of squares."""

import itertools

import numpy as np
import pytest
import scipy.stats

from arch_zoo.analysis.factorial import contrast, effect, effects_by_seed
from arch_zoo.analysis.statistics import welch_comparison


def two_by_two(noise: float, seeds: int = 4) -> np.ndarray:
    """[n, 2, 2]: A adds 0.4, B adds 0.1, both together 0.06 more; seeds differ by a lot, which blocks take out."""
    a, b = np.meshgrid([0, 1], [0, 1], indexing="ij")
    rng = np.random.default_rng(3)
    shift = rng.normal(0, 5, (seeds, 1, 1))
    return 1 + 0.4 * a + 0.1 * b + 0.06 * a * b + shift + noise * rng.normal(size=(seeds, 2, 2))


def test_known_effects_of_a_two_by_two():
    values = two_by_two(noise=0.0)
    assert contrast(values, {1: (0, 1)}).mean == pytest.approx(0.43)
    assert contrast(values, {2: (0, 1)}).mean == pytest.approx(0.13)
    assert contrast(values, {1: (0, 1), 2: (0, 1)}).mean == pytest.approx(0.06)
    assert contrast(values, {1: (1, 0), 2: (0, 1)}).mean == pytest.approx(-0.06)
    np.testing.assert_allclose(effects_by_seed(values, (1,))[:, :, 0], [[-0.215, 0.215]] * 4)
    np.testing.assert_allclose(effects_by_seed(values, (1, 2))[0], [[0.015, -0.015], [-0.015, 0.015]], atol=1e-12)
    shares = [effect(values, axes).share for axes in [(1,), (2,), (1, 2)]]
    total = 0.43**2 + 0.13**2 + 0.06**2 / 4  # squares of the halved contrasts; the last is halved twice
    assert shares == pytest.approx([0.43**2 / total, 0.13**2 / total, 0.06**2 / 4 / total])


@pytest.mark.parametrize("axes", [(1,), (2,), (1, 2)])
def test_with_one_degree_of_freedom_f_is_the_square_of_the_paired_t(axes):
    values = two_by_two(noise=0.1)
    tested, paired = effect(values, axes), contrast(values, dict.fromkeys(axes, (0, 1)))
    t = scipy.stats.ttest_1samp(paired.differences, 0)
    assert tested.f == pytest.approx(t.statistic**2) and tested.p == pytest.approx(t.pvalue) == pytest.approx(paired.p)


def test_sums_of_squares_add_up_to_the_total():
    """Seeds, every effect and every effect's changes over seeds are orthogonal and leave nothing over."""
    values = np.random.default_rng(0).normal(size=(3, 2, 4, 3))
    sets = [axes for count in (1, 2, 3) for axes in itertools.combinations((1, 2, 3), count)]
    found = [effect(values, axes) for axes in sets]
    seeds = values[0].size * ((values.mean(axis=(1, 2, 3)) - values.mean()) ** 2).sum()
    total = ((values - values.mean()) ** 2).sum()
    assert seeds + sum(one.squares + one.error_squares for one in found) == pytest.approx(total)
    assert sum(one.share for one in found) == pytest.approx(1)
    assert seeds + sum(one.squares for one in found) < 0.9 * total  # without the errors it does not


def test_effects_sum_to_zero_along_each_axis():
    by_seed = effects_by_seed(np.random.default_rng(1).normal(size=(2, 3, 4, 2)), (1, 2))
    assert by_seed.shape == (2, 3, 4, 1)
    assert np.abs(by_seed.sum(axis=1)).max() < 1e-12 and np.abs(by_seed.sum(axis=2)).max() < 1e-12


def test_noise_alone_is_significant_as_often_as_it_should_be():
    draws = np.random.default_rng(2).normal(size=(600, 4, 3, 2))
    for axes in [(1,), (1, 2)]:
        assert 0.03 < np.mean([effect(values, axes).p < 0.05 for values in draws]) < 0.08


def test_without_spread_there_is_no_test():
    assert effect(two_by_two(0.0, seeds=1), (1,)).p is None
    assert effect(np.tile(two_by_two(0.0, seeds=1), (3, 1, 1)), (1,)).p is None
    assert effect(np.ones((3, 2, 2)), (1,)).p == 1.0 and effect(np.ones((3, 2, 2)), (1,)).share == 0.0


def test_welch_is_that_of_scipy():
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 1, 5), rng.normal(0, 3, 8)
    ours, theirs = welch_comparison(a, b), scipy.stats.ttest_ind(a, b, equal_var=False)
    expected = theirs.confidence_interval()
    assert ours.p == pytest.approx(theirs.pvalue)
    assert (ours.interval.low, ours.interval.high) == pytest.approx((expected.low, expected.high))
    assert welch_comparison([1.0], [2.0, 3.0]).p is None and welch_comparison([1.0], [2.0, 3.0]).mean == -1.5
    assert welch_comparison([1.0, 1.0], [1.0, 1.0]).p == 1.0 and welch_comparison([2.0, 2.0], [1.0, 1.0]).p is None
