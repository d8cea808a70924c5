"""What each factor of a full grid of arms does, and each pair of factors beyond their sum. Pure functions on numbers.

`values` is [n, a, b, …]: n seeds, then an axis for each factor. Seeds are blocks: every effect is computed within each
seed and tested against its own spread over seeds (Kirk 2013, "Experimental Design", chapter 9: the randomised block
factorial design, with the block by effect mean square as the error of that effect).
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping

import numpy as np
import scipy.stats

from arch_zoo.analysis.statistics import Paired, paired_comparison

_ROUNDING = 1e-9  # spread below this, relative to the values, is rounding


@dataclasses.dataclass(frozen=True)
class Effect:
    """A main effect (one axis) or an interaction (several), over all its levels."""

    axes: tuple[int, ...]
    squares: float         # sum of squares over arms and seeds
    error_squares: float   # of the same effect's changes from seed to seed
    share: float           # of the sum of squares between arms
    f: float | None
    p: float | None        # two-sided by nature; not corrected

    @property
    def is_nothing(self) -> bool:
        """Whether it is zero in every seed, as of a factor that cannot touch what is measured: no test was made."""
        return self.f is None and self.p == 1.0


def main_axes(values: np.ndarray) -> range:
    """The axes of the factors, in an array whose axis 0 is the seed."""
    return range(1, values.ndim)


def effects_by_seed(values: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """What the factors of `axes` do together beyond what fewer of them do: [n, …], size 1 along the other axes.

    With one axis: its marginal means less the seed's mean. It sums to zero along each of its axes.
    """
    others = tuple(axis for axis in main_axes(values) if axis not in axes)
    found = values.mean(axis=others, keepdims=True) if others else values.copy()
    for count in range(len(axes)):
        for fewer in itertools.combinations(axes, count):
            found = found - effects_by_seed(values, fewer)
    return found


def effect(values: np.ndarray, axes: tuple[int, ...]) -> Effect:
    """The F test of one effect over seeds. With one seed, or without spread, there is no p.

    Where it has one degree of freedom, F is the square of the paired t of its contrast. With more, the test assumes
    that differences between any two levels spread alike over seeds (sphericity).
    """
    seeds, arms = len(values), values[0].size
    by_seed = effects_by_seed(values, axes)
    mean = by_seed.mean(axis=0, keepdims=True)
    repeats = arms / mean.size  # arms that share a level of the effect
    squares = float(seeds * repeats * (mean**2).sum())
    error_squares = float(repeats * ((by_seed - mean) ** 2).sum())
    between = float(seeds * ((values.mean(axis=0) - values.mean()) ** 2).sum())
    share = squares / between if between else 0.0
    freedom = math.prod(values.shape[axis] - 1 for axis in axes)
    rounding = (_ROUNDING * np.abs(values).max()) ** 2 * values.size
    if seeds < 2:
        return Effect(axes, squares, error_squares, share, None, None)
    if error_squares <= rounding:
        return Effect(axes, squares, error_squares, share, None, 1.0 if squares <= rounding else None)
    f = (squares / freedom) / (error_squares / (freedom * (seeds - 1)))
    p = float(scipy.stats.f.sf(f, freedom, freedom * (seeds - 1)))
    return Effect(axes, squares, error_squares, share, f, p)


def contrast(values: np.ndarray, ends: Mapping[int, tuple[int, int]]) -> Paired:
    """From one level to another, seed by seed, averaged over the other factors; `ends` is {axis: (from, to)}.

    One axis: mean at `to` less mean at `from`. Two: how much more that difference is at the second's `to` than at its
    `from`, the difference of differences.
    """
    others = tuple(axis for axis in main_axes(values) if axis not in ends)
    means = values.mean(axis=others, keepdims=True) if others else values
    plus, minus = np.zeros(len(values)), np.zeros(len(values))
    for corner in itertools.product((0, 1), repeat=len(ends)):
        place = [0] * values.ndim
        for (axis, levels), end in zip(ends.items(), corner, strict=True):
            place[axis] = levels[end]
        chosen = means[(slice(None), *place[1:])]
        if (len(ends) - sum(corner)) % 2 == 0:
            plus = plus + chosen
        else:
            minus = minus + chosen
    return paired_comparison(plus, minus)
