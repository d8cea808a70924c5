"""What each factor of a full grid does to each metric, and each pair of factors beyond their sum; as values, tables."""

import dataclasses
import itertools

import numpy as np

from arch_zoo.analysis.factorial import Effect, contrast, effect, effects_by_seed
from arch_zoo.analysis.statistics import (
    SIGNIFICANCE,
    Interval,
    Paired,
    format_number,
    holm_with_gaps,
    mean_interval,
)
from experiments.report.findings import listed
from experiments.report.grid import Design, design
from experiments.report.record import Metric, Study
from experiments.report.table import Entry, Notes, Table, bounds, columns, short_p, signed

_EXTREMES = ("between the levels with the worst and the best mean, chosen after looking: the interval is too hopeful; "
             "p is of all its levels")


@dataclasses.dataclass(frozen=True)
class Judged:
    """One effect on one metric. Positive differences are better towards the second level."""

    metric: Metric
    axes: tuple[int, ...]                   # 1 for the first factor
    ends: dict[int, tuple[int, int]]        # {axis: (from, to)}
    paired: Paired
    tested: Effect
    p: float | None = None                  # after Holm's correction over the table


@dataclasses.dataclass(frozen=True)
class Effects:
    """Everything that the grid shows, metric by metric; `skipped` says why a metric is left out."""

    design: Design
    seeds: dict[str, tuple[int, ...]]                       # by metric: the seeds that every arm has
    means: dict[tuple[str, int, int], Interval]             # by (metric, axis, level)
    cells: dict[str, np.ndarray]                            # by metric: mean over seeds of each combination
    judged: list[Judged]
    skipped: dict[str, str]


def find_effects(study: Study) -> Effects | None:
    """The effects of a study whose arms are a full grid; None for any other."""
    grid = design(study)
    if not grid.full:
        return None
    seeds, means, cells, judged, skipped = {}, {}, {}, [], {}
    for metric in study.metrics:
        shared, values = _values(study, grid, metric)
        if not shared:
            skipped[metric.key] = f"{metric.title}: no seed has a value in every arm"
            continue
        seeds[metric.key], cells[metric.key] = shared, values.mean(axis=0)
        means |= {(metric.key, *place): one for place, one in _marginal_means(values).items()}
        judged += _judge(metric, grid, values)
    # What is nothing in every seed was never in doubt, and is not one of the chances that are corrected for.
    corrected = holm_with_gaps([None if one.tested.is_nothing else one.tested.p for one in judged])
    judged = [dataclasses.replace(one, p=1.0 if one.tested.is_nothing else p)
              for one, p in zip(judged, corrected, strict=True)]
    return Effects(grid, seeds, means, cells, judged, skipped)


def _values(study: Study, grid: Design, metric: Metric) -> tuple[tuple[int, ...], np.ndarray]:
    """The seeds that all arms have, and the values [n, …levels]."""
    found = {slug: study.values(slug, metric.key) for slug in grid.arms}
    shared = tuple(seed for seed in study.seeds if all(seed in values for values in found.values()))
    values = np.zeros((len(shared), *grid.shape))
    for slug, by_seed in found.items():
        values[(slice(None), *grid.place(slug))] = [by_seed[seed] for seed in shared]
    return shared, values


def _marginal_means(values: np.ndarray) -> dict[tuple[int, int], Interval]:
    """By (axis, level). The interval is that of the distance from the seed's own mean: what seeds share is taken out.
    """
    found = {}
    for axis in range(1, values.ndim):
        by_seed = effects_by_seed(values, (axis,)).reshape(len(values), -1)
        for level in range(values.shape[axis]):
            one, centre = mean_interval(by_seed[:, level]), float(values.mean())
            ends = (None, None) if one.low is None else (centre + one.low, centre + one.high)
            found[axis, level] = Interval(centre + one.mean, *ends, one.count)
    return found


def _judge(metric: Metric, grid: Design, values: np.ndarray) -> list[Judged]:
    better = values if metric.better == "higher" else -values
    axes = range(1, values.ndim)
    ends = {axis: _ends(grid, axis, better) for axis in axes}
    sets = [*((axis,) for axis in axes), *itertools.combinations(axes, 2)]
    return [Judged(metric, chosen, {axis: ends[axis] for axis in chosen},
                   contrast(better, {axis: ends[axis] for axis in chosen}), effect(better, chosen)) for chosen in sets]


def _ends(grid: Design, axis: int, better: np.ndarray) -> tuple[int, int]:
    """From the least number to the largest, from the first of two levels to the second, else from worst to best."""
    levels = better.shape[axis]
    if grid.factors[axis - 1].numbers is not None or levels == 2:
        return 0, levels - 1
    means = effects_by_seed(better, (axis,)).mean(axis=0).reshape(-1)
    return int(means.argmin()), int(means.argmax())


def marginal_table(effects: Effects, study: Study) -> Table:
    """Levels by metrics: mean over all other factors and seeds."""
    arrows = {"higher": "↑", "lower": "↓"}
    metrics = [metric for metric in study.metrics if metric.key in effects.seeds]
    head = (Entry("Factor"), Entry("Level"),
            *(Entry(f"{m.title}\u00a0{arrows[m.better]}", m.unit) for m in metrics))
    rows = []
    for axis, factor in enumerate(effects.design.factors, 1):
        for level, label in enumerate(factor.levels):
            found = [effects.means[metric.key, axis, level] for metric in metrics]
            rows.append((Entry("" if level else factor.title), Entry(label),
                         *(Entry(format_number(i.mean), bounds(i.low, i.high) or "one seed") for i in found)))
    return Table(head, tuple(rows), labels=2)


def effects_table(effects: Effects) -> Table:
    """Main effects, then interactions of two, metric by metric."""
    notes, rows, before = Notes(), [], None
    for judged in effects.judged:
        first, before = judged.metric != before, judged.metric
        rows.append((Entry(judged.metric.title, judged.metric.unit) if first else Entry(""),
                     Entry(" × ".join(effects.design.factors[axis - 1].title for axis in judged.axes)),
                     _from_to(effects, judged, notes), Entry(signed(judged.paired.mean)),
                     Entry(bounds(judged.paired.interval.low, judged.paired.interval.high, signed) or "–"),
                     Entry(f"{judged.tested.share:.0%}"), Entry(short_p(judged.tested.p)), Entry(short_p(judged.p)),
                     Entry(_reading(judged, effects.cells[judged.metric.key].shape[judged.axes[0] - 1]),
                           strong=judged.p is not None and judged.p < SIGNIFICANCE)))
    head = columns("Metric", "Effect", "From → to", "Difference", "95 % interval", "Share", "p", "Holm\u00a0p",
                   "Reading")
    return Table(head, tuple(rows), notes.all(), labels=3)


def _from_to(effects: Effects, judged: Judged, notes: Notes) -> Entry:
    factors = [effects.design.factors[axis - 1] for axis in judged.axes]
    ends = [f"{factor.levels[start]} → {factor.levels[end]}"
            for factor, (start, end) in zip(factors, judged.ends.values(), strict=True)]
    chosen = any(factor.numbers is None and len(factor.levels) > 2 for factor in factors)
    return Entry("; ".join(ends), mark=notes.mark(_EXTREMES) if chosen else "")


def _reading(judged: Judged, levels: int) -> str:
    if judged.p is None:
        return "not tested"
    if judged.p >= SIGNIFICANCE:
        return "not significant"
    if len(judged.axes) > 1:
        return "they interact"
    if levels > 2:
        return "matters"
    return "better" if judged.paired.mean > 0 else "worse"


def effects_in_words(effects: Effects) -> str:
    """Metric by metric: which factors and pairs matter beyond the noise."""
    titles = [factor.title for factor in effects.design.factors]
    sizes = [f"{factor.title} ({len(factor.levels)} levels)" for factor in effects.design.factors]
    said = [f"The arms are all combinations of {listed(sizes)}." if len(sizes) > 1 else f"One factor: {sizes[0]}."]
    for key in effects.seeds:
        own = [one for one in effects.judged if one.metric.key == key]
        certain = [one for one in own if one.p is not None and one.p < SIGNIFICANCE]
        if all(one.p is None for one in own):
            said.append(f"{own[0].metric.title}: nothing can be tested on so few seeds.")
        elif len(own) == 1:
            does = "matters" if certain else "does nothing"
            said.append(f"{own[0].metric.title}: {titles[0]} {does} beyond the noise.")
        elif not certain:
            said.append(f"{own[0].metric.title}: no factor and no pair of factors does anything beyond the noise.")
        else:
            words = [f"{' × '.join(titles[axis - 1] for axis in one.axes)} ({one.tested.share:.0%} of the variance "
                     "between arms)" for one in sorted(certain, key=lambda one: -one.tested.share)]
            said.append(f"{own[0].metric.title}: beyond the noise are {listed(words)}."
                        if len(words) > 1 else f"{own[0].metric.title}: beyond the noise is {words[0]}.")
    return " ".join([*said, *(f"{why}." for why in effects.skipped.values())])
