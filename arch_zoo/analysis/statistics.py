"""What a handful of seeds can say about a difference between two arms. Pure functions on numbers.

Arms are paired by seed: the same seed gives two arms the same windows in the same order, so the spread of their
differences is what counts, not the spread of either (Dror et al. 2018, "The Hitchhiker's Guide to Testing Statistical
Significance in NLP", section 3).
"""

import dataclasses
import enum
import math
from collections.abc import Sequence

import numpy as np
import scipy  # it loads scipy.stats, a second or two, when that is first used: many programs only format numbers

SIGNIFICANCE = 0.05  # two-sided, after correction for the number of comparisons
_SAME = 1e-9         # differences closer than this, relative to the values, count as equal: they are rounding


@dataclasses.dataclass(frozen=True)
class Interval:
    """A mean over `count` values with its confidence interval; one value has no interval: low and high are None."""

    mean: float
    low: float | None
    high: float | None
    count: int

    def contains(self, value: float) -> bool:
        """Whether there is an interval and `value` lies in it."""
        return self.low is not None and self.low <= value <= self.high


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Mean of independent values with Student's t interval (Student 1908). ValueError without any value."""
    if not len(values):
        raise ValueError("no values to take the mean of")
    mean, count = float(np.mean(values)), len(values)
    if count == 1:
        return Interval(mean, None, None, 1)
    half = float(scipy.stats.t.ppf(0.5 + confidence / 2, count - 1) * np.std(values, ddof=1) / math.sqrt(count))
    return Interval(mean, mean - half, mean + half, count)


@dataclasses.dataclass(frozen=True)
class Paired:
    """First minus second, seed by seed. What cannot be known is None: p and spread of one pair, p without spread."""

    differences: tuple[float, ...]
    interval: Interval
    spread: float | None  # standard deviation of the differences, with n - 1
    p: float | None       # two-sided paired t test, not corrected

    @property
    def mean(self) -> float:
        return self.interval.mean

    @property
    def standard_error(self) -> float | None:
        """Of the mean difference: the seed noise that `verdict` measures a difference against."""
        return None if self.spread is None else self.spread / math.sqrt(len(self.differences))

    @property
    def effect_size(self) -> float | None:
        """Cohen's d_z: mean difference in units of the spread of the differences (Cohen 1988, section 2.3.5)."""
        return self.mean / self.spread if self.spread else None


def paired_comparison(first: Sequence[float], second: Sequence[float]) -> Paired:
    """Compare two arms whose values at the same place come from the same seed.

    p is that of the paired t test (scipy.stats.ttest_rel). Where all differences are equal there is no noise to test
    against: p is 1 if they are zero, and None if not. ValueError for values that cannot be paired.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} values cannot be paired with {len(second)}")
    differences = np.asarray(first, float) - np.asarray(second, float)
    interval, count = mean_interval(differences), len(differences)
    rounding = _SAME * max(np.abs(first).max(), np.abs(second).max())
    if count > 1 and np.ptp(differences) <= rounding:
        same = abs(interval.mean) <= rounding
        mean = 0.0 if same else interval.mean
        return Paired(tuple(differences.tolist()), Interval(mean, mean, mean, count), 0.0, 1.0 if same else None)
    spread = float(np.std(differences, ddof=1)) if count > 1 else None
    p = float(scipy.stats.ttest_rel(first, second).pvalue) if count > 1 else None
    return Paired(tuple(differences.tolist()), interval, spread, p)


@dataclasses.dataclass(frozen=True)
class Unpaired:
    """Mean of the first less mean of the second, of values that share nothing; p is None where it cannot be known."""

    interval: Interval
    p: float | None       # two-sided Welch test, not corrected
    counts: tuple[int, int]

    @property
    def mean(self) -> float:
        return self.interval.mean


def welch_comparison(first: Sequence[float], second: Sequence[float], confidence: float = 0.95) -> Unpaired:
    """Compare independent values of unequal spread: Welch 1947, with the degrees of freedom of Satterthwaite 1946.

    p is that of scipy.stats.ttest_ind(equal_var=False). Fewer than two values on a side leave no interval and no p.
    """
    mean, counts = float(np.mean(first) - np.mean(second)), (len(first), len(second))
    if min(counts) < 2:
        return Unpaired(Interval(mean, None, None, min(counts)), None, counts)
    parts = [float(np.var(side, ddof=1)) / len(side) for side in (first, second)]
    error = math.sqrt(sum(parts))
    if error <= _SAME * max(np.abs(first).max(), np.abs(second).max()):
        return Unpaired(Interval(mean, mean, mean, min(counts)), 1.0 if mean == 0 else None, counts)
    freedom = sum(parts) ** 2 / sum(part**2 / (count - 1) for part, count in zip(parts, counts, strict=True))
    half = float(scipy.stats.t.ppf(0.5 + confidence / 2, freedom)) * error
    p = 2 * float(scipy.stats.t.sf(abs(mean) / error, freedom))
    return Unpaired(Interval(mean, mean - half, mean + half, min(counts)), p, counts)


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrected p values, in the order given: Holm 1979, "A simple sequentially rejective multiple test procedure".

    The smallest of m is multiplied by m, the next by m - 1, and so on; none falls below one before it, none exceeds 1.
    """
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = highest
    return corrected


def holm_with_gaps(p_values: Sequence[float | None]) -> list[float | None]:
    """`holm` of the p values that exist; a comparison that could not be tested is not counted and stays None."""
    corrected = iter(holm([p for p in p_values if p is not None]))
    return [None if p is None else next(corrected) for p in p_values]


class Verdict(enum.StrEnum):
    """What the seeds say about a claim; `verdict` defines each word."""

    REPLICATES = "REPLICATES"
    CONSISTENT = "CONSISTENT"
    NULL = "NULL"
    DOES_NOT_REPLICATE = "DOES NOT REPLICATE"
    EXPECTED_REVERSAL = "EXPECTED REVERSAL"
    NOT_INFORMATIVE = "NOT INFORMATIVE"
    NONE = "NO VERDICT"


DEFINITIONS = {
    Verdict.REPLICATES: "the difference has the claimed direction, is larger than the declared band and is significant "
                        f"(p < {SIGNIFICANCE} after Holm's correction); for a claim of no difference: the 95 % "
                        "interval lies inside the declared band",
    Verdict.CONSISTENT: "the claimed direction, larger than the noise, but not significant",
    Verdict.NULL: "inside the noise (the larger of the declared band and one standard error of the mean difference), "
                  "or against the claim without being significant",
    Verdict.DOES_NOT_REPLICATE: "significant and larger than the declared band, against the claim",
    Verdict.EXPECTED_REVERSAL: "against the paper's direction and larger than the noise, where the study had declared "
                               "before running that the claim reverses at this scale",
    Verdict.NOT_INFORMATIVE: "whatever was found: the study had declared before running that this scale cannot tell",
    Verdict.NONE: "not testable: fewer than two paired seeds, or no spread between them",
}


def verdict(paired: Paired | None, p: float | None, expectation: str = "holds", band: float = 0.0) -> Verdict:
    """The verdict on a claim; `DEFINITIONS` says when each word is used.

    Args:
      paired: the claim's better arm against its worse arm, positive where the better arm is ahead; None: not measured.
      p: its p value after correction.
      expectation: "holds", "reverses at this scale", "not informative at this scale", or "null" for a claim that
        there is no difference.
      band: differences up to this size count as none, whatever their p value.
    """
    if paired is None or p is None:
        return Verdict.NONE
    if expectation == "not informative at this scale":
        return Verdict.NOT_INFORMATIVE
    size, significant = abs(paired.mean), p < SIGNIFICANCE and abs(paired.mean) > band
    if expectation == "null":
        if paired.interval.low >= -band and paired.interval.high <= band:
            return Verdict.REPLICATES
        return Verdict.DOES_NOT_REPLICATE if significant else Verdict.NULL
    if size <= max(band, paired.standard_error):
        return Verdict.NULL
    if paired.mean > 0:
        return Verdict.REPLICATES if significant else Verdict.CONSISTENT
    if expectation == "reverses at this scale":
        return Verdict.EXPECTED_REVERSAL
    return Verdict.DOES_NOT_REPLICATE if significant else Verdict.NULL


def detectable_difference(spread: float, count: int, power: float = 0.8) -> float:
    """The true difference that a two-sided paired t test at 5 % finds with probability `power`.

    Args:
      spread: standard deviation of the paired differences, in the unit of the result.
      count: number of pairs, at least 2.
    Source: Cohen 1988, "Statistical Power Analysis for the Behavioral Sciences", chapter 2; t squared is noncentral F.
    """
    if count < 2:
        raise ValueError("one pair cannot detect anything: its spread is unknown")
    critical = scipy.stats.f.isf(SIGNIFICANCE, 1, count - 1)

    def excess_power(effect: float) -> float:
        return scipy.stats.ncf.sf(critical, 1, count - 1, count * effect**2) - power

    return float(scipy.optimize.brentq(excess_power, 1e-6, 20.0)) * spread


def smallest_exact_p(count: int) -> float:
    """The least two-sided p of an exact sign or sign-flip permutation test on `count` pairs: 2 of 2**count signs."""
    return min(1.0, 2.0 ** (1 - count))


def item_noise(accuracy: float, items: int) -> float:
    """Half the 95 % interval of an accuracy over `items` independent test items (normal approximation).

    Seeds share their test items, so intervals over seeds leave this out.
    """
    return float(scipy.stats.norm.ppf(0.975)) * math.sqrt(accuracy * (1 - accuracy) / items)


def format_number(value: float) -> str:
    """Three decimals, or four figures from 100 on, with a true minus sign."""
    text = f"{value:.3f}" if abs(value) < 100 else f"{value:,.4g}"
    return ("0.000" if text == "-0.000" else text).replace("-", "−")


def format_p(p: float | None) -> str:
    """'p = 0.031', 'p < 0.001' or 'no p'."""
    if p is None:
        return "no p"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def comparison_in_words(first: str, second: str, paired: Paired | None, p: float | None, unit: str = "",
                        band: float = 0.0) -> str:
    """One sentence about two arms, positive where `first` is ahead; a gap inside the noise is called that."""
    if paired is None:
        return f"{first} and {second} share no seed that was measured."
    ahead, behind = (first, second) if paired.mean >= 0 else (second, first)
    gap = f"{format_number(abs(paired.mean))} {unit}".rstrip()
    count = len(paired.differences)
    if count == 1:
        return f"{ahead} is ahead of {behind} by {gap} on one seed; whether that is more than noise is unknown."
    if p is None:
        return f"{ahead} is ahead of {behind} by {gap} on each of {count} seeds: without spread there is no test."
    shown = (f"95 % interval {format_number(paired.interval.low)} to {format_number(paired.interval.high)}, "
             f"{format_p(p)} after Holm's correction")
    if abs(paired.mean) <= paired.standard_error:
        return f"The gap between {first} and {second}, {gap}, is inside the noise ({shown})."
    if abs(paired.mean) <= band:
        return f"The gap between {first} and {second}, {gap}, is inside the declared band of {band:g} ({shown})."
    if p < SIGNIFICANCE:
        return f"{ahead} is ahead of {behind} by {gap} ({shown})."
    same_sign = sum(d * paired.mean > 0 for d in paired.differences)
    return (f"{ahead} is ahead of {behind} by {gap} on average and on {same_sign} of {count} seeds, "
            f"which is not significant ({shown}).")


def seeds_in_words(count: int) -> str:
    """What `count` paired seeds can and cannot show."""
    if count < 2:
        return ("One seed shows no spread. It has no interval, no test and no verdict: every difference on this page "
                "may be noise. Two seeds are the least that can be tested, and five or more are worth having.")
    least = smallest_exact_p(count)
    assumption = ("All p values here come from the paired t test, which assumes that differences between seeds are "
                  f"normally distributed; {count} numbers cannot check that.")
    if least > SIGNIFICANCE:
        return (f"An exact sign or permutation test on {count} pairs can never fall below p = {least:g}, even when "
                f"every seed agrees, so it could not call anything significant. {assumption} {count} seeds show "
                "differences that are large beside their spread; that a smaller difference was not found does not mean "
                "that it is not there.")
    return (f"When all {count} seeds agree, an exact sign or permutation test gives p = {least:.3g} before correction. "
            f"{assumption} A difference below the detectable size may be there without being found.")
