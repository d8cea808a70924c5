"""Statistics against closed forms, scipy and worked examples; every verdict reached, and not reached."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats

from arch_zoo.analysis.statistics import (
    DEFINITIONS,
    Verdict,
    comparison_in_words,
    detectable_difference,
    format_number,
    holm,
    holm_with_gaps,
    item_noise,
    mean_interval,
    paired_comparison,
    seeds_in_words,
    smallest_exact_p,
    verdict,
)


def test_interval_of_three_values_in_closed_form():
    interval = mean_interval([1.0, 2.0, 3.0])  # standard error 1/√3; the 0.975 quantile of t with 2 degrees is 4.30265
    assert interval.mean == 2 and interval.count == 3
    assert interval.high - 2 == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6) == 2 - interval.low
    assert interval.contains(2) and not interval.contains(5)


def test_interval_covers_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(1.0, 2.0, (2000, 3))
    covered = np.mean([mean_interval(row).contains(1.0) for row in draws])
    assert 0.935 < covered < 0.965
    narrower = np.mean([mean_interval(row, confidence=0.5).contains(1.0) for row in draws[:500]])
    assert narrower < 0.6


def test_one_value_has_no_interval_and_none_is_refused():
    interval = mean_interval([2.5])
    assert (interval.mean, interval.low, interval.high, interval.count) == (2.5, None, None, 1)
    assert not interval.contains(2.5)
    with pytest.raises(ValueError):
        mean_interval([])


def test_paired_comparison_in_closed_form():
    paired = paired_comparison([3.0, 5.0, 10.0], [2.0, 3.0, 7.0])  # differences 1, 2, 3: t = 2/(1/√3), 2 degrees
    t = 2 * math.sqrt(3)
    assert paired.differences == (1.0, 2.0, 3.0) and paired.spread == 1 and paired.effect_size == 2
    assert paired.p == pytest.approx(1 - t / math.sqrt(2 + t * t))  # the t distribution with 2 degrees, in closed form
    assert paired.standard_error == pytest.approx(1 / math.sqrt(3))


def test_pairing_matters():
    first, second = [1.0, 2.0, 3.0], [0.9, 1.91, 2.89]
    assert paired_comparison(first, second).p < 0.01
    assert paired_comparison(first, [2.89, 0.9, 1.91]).p > 0.5
    assert scipy.stats.ttest_ind(first, second).pvalue > 0.5


def test_swapping_the_arms_turns_the_sign_only():
    a, b = [0.4, 0.5, 0.45, 0.6], [0.3, 0.52, 0.4, 0.5]
    forth, back = paired_comparison(a, b), paired_comparison(b, a)
    assert forth.p == pytest.approx(back.p) and forth.mean == pytest.approx(-back.mean)
    assert forth.interval.low == pytest.approx(-back.interval.high)


def test_differences_without_spread_are_not_tested():
    assert paired_comparison([0.5, 0.6], [0.5, 0.6]).p == 1
    same = paired_comparison([0.3, 0.4, 0.5], [0.2, 0.3, 0.4])  # equal but for rounding: a t test would give p = 0
    assert same.p is None and same.effect_size is None
    assert paired_comparison([0.3], [0.2]).p is None
    with pytest.raises(ValueError):
        paired_comparison([1.0, 2.0], [1.0])


def test_holm_on_a_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.6]) == [1.0, 1.0] and holm([]) == []
    assert holm([0.02]) == [0.02]


@pytest.mark.parametrize("seed", range(5))
def test_holm_lies_between_no_correction_and_bonferroni(seed):
    p = np.random.default_rng(seed).uniform(0, 0.3, 7)
    corrected = np.array(holm(list(p)))
    assert (corrected >= p).all() and (corrected <= np.minimum(1, 7 * p) + 1e-12).all()
    assert (np.diff(corrected[np.argsort(p)]) >= 0).all()


def test_what_was_not_tested_costs_nothing():
    assert holm_with_gaps([0.01, None, 0.02]) == [0.02, None, 0.02]


CLEAR, WEAK, NOISE = [0.10, 0.11, 0.12], [0.10, 0.02, 0.15], [0.10, -0.09, 0.02]


@pytest.mark.parametrize(("differences", "expectation", "band", "expected"), [
    (CLEAR, "holds", 0.0, Verdict.REPLICATES),
    (CLEAR, "reverses at this scale", 0.0, Verdict.REPLICATES),
    (WEAK, "holds", 0.0, Verdict.CONSISTENT),
    (NOISE, "holds", 0.0, Verdict.NULL),
    (CLEAR, "holds", 0.2, Verdict.NULL),
    (CLEAR, "null", 0.2, Verdict.REPLICATES),
    (CLEAR, "null", 0.05, Verdict.DOES_NOT_REPLICATE),
    (NOISE, "null", 0.05, Verdict.NULL),
    ("minus clear", "holds", 0.0, Verdict.DOES_NOT_REPLICATE),
    ("minus weak", "holds", 0.0, Verdict.NULL),
    ("minus clear", "reverses at this scale", 0.0, Verdict.EXPECTED_REVERSAL),
    ("minus weak", "reverses at this scale", 0.0, Verdict.EXPECTED_REVERSAL),
    (CLEAR, "not informative at this scale", 0.0, Verdict.NOT_INFORMATIVE),
    ("minus clear", "not informative at this scale", 0.0, Verdict.NOT_INFORMATIVE),
    (NOISE, "reverses at this scale", 0.0, Verdict.NULL),
    ([0.1], "holds", 0.0, Verdict.NONE),
    ([0.1, 0.1], "holds", 0.0, Verdict.NONE),
])
def test_verdicts(differences, expectation, band, expected):
    signs = {"minus clear": [-d for d in CLEAR], "minus weak": [-d for d in WEAK]}
    differences = signs.get(differences, differences) if isinstance(differences, str) else differences
    paired = paired_comparison(differences, [0.0] * len(differences))
    assert verdict(paired, paired.p, expectation, band) is expected


def test_correction_can_take_a_verdict_away():
    paired = paired_comparison(CLEAR, [0.0] * 3)
    assert verdict(paired, paired.p) is Verdict.REPLICATES
    assert verdict(paired, holm([paired.p] + [0.9] * 20)[0]) is Verdict.CONSISTENT
    assert verdict(None, None) is Verdict.NONE


def test_noise_rarely_gets_a_verdict():
    draws = np.random.default_rng(1).normal(0, 1, (1000, 3))
    found = [verdict(p := paired_comparison(row, np.zeros(3)), p.p) for row in draws]
    decided = sum(v in (Verdict.REPLICATES, Verdict.DOES_NOT_REPLICATE) for v in found) / len(found)
    assert 0.03 < decided < 0.07
    assert found.count(Verdict.NULL) > 500


def test_every_verdict_is_defined():
    assert set(DEFINITIONS) == set(Verdict) and all(DEFINITIONS.values())


def test_detectable_difference_is_found_as_often_as_it_says():
    size = detectable_difference(2.0, 5)
    draws = np.random.default_rng(2).normal(size, 2.0, (4000, 5))
    assert np.mean(scipy.stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05) == pytest.approx(0.8, abs=0.02)
    assert detectable_difference(1.0, 10) == pytest.approx(1.0, abs=0.01)  # G*Power: d_z = 1.0 needs 10 pairs
    assert detectable_difference(1.0, 3) > detectable_difference(1.0, 4) > detectable_difference(1.0, 20)
    assert detectable_difference(3.0, 4) == pytest.approx(3 * detectable_difference(1.0, 4))
    with pytest.raises(ValueError):
        detectable_difference(1.0, 1)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6])
def test_smallest_exact_p_by_enumeration(count):
    sums = [abs(sum(signs)) for signs in itertools.product((-1, 1), repeat=count)]
    assert smallest_exact_p(count) == sum(s == count for s in sums) / len(sums)


def test_item_noise():
    assert item_noise(0.5, 100) == pytest.approx(0.098, abs=1e-3)
    assert item_noise(1.0, 100) == 0


def test_words_call_a_gap_inside_the_noise_that():
    def words(differences, band=0.0):
        paired = paired_comparison(differences, [0.0] * len(differences))
        return comparison_in_words("A", "B", paired, paired.p, "points", band)

    assert "inside the noise" in words(NOISE) and "ahead" not in words(NOISE)
    assert words(CLEAR).startswith("A is ahead of B by 0.110 points (95 % interval 0.085 to 0.135")
    assert "inside the declared band of 0.2" in words(CLEAR, band=0.2)
    assert "3 of 3 seeds, which is not significant" in words(WEAK)
    assert words([-d for d in CLEAR]).startswith("B is ahead of A")
    assert "unknown" in words([0.1]) and "there is no test" in words([0.1, 0.1])
    assert "share no seed" in comparison_in_words("A", "B", None, None)


def test_three_seeds_are_told_what_they_cannot_show():
    assert "p = 0.25" in seeds_in_words(3) and "normally distributed" in seeds_in_words(3)
    assert "never" not in seeds_in_words(6) and "0.0312" in seeds_in_words(6)
    assert "no verdict" in seeds_in_words(1)


def test_numbers_are_never_minus_zero():
    assert format_number(-0.0001) == "0.000" and format_number(-0.5) == "−0.500" and format_number(1234.5) == "1,234"
