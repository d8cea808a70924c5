"""Plots of grids: lines for one factor, heat maps for two, main effects, parallel coordinates for the rest."""

from typing import Any

import numpy as np

from experiments.report.effects import Effects
from experiments.report.findings import Findings
from experiments.report.grid import Design, Factor
from experiments.report.plots import FAINT, GREY, PALETTE, WIDTH, number_axis, panels, wrapped
from experiments.report.record import Metric

_LINES_FROM = 6   # arms from which parallel coordinates say more than the dot plot does


def grid_figures(findings: Findings, effects: Effects | None, grid: Design) -> dict[str, Any]:
    """{name: figure} of what helps for this study's factors; nothing for a list of a few arms."""
    figures = {}
    if effects is not None and effects.seeds:
        if len(grid.factors) == 2:
            figures["heat_map"] = _heat_maps(findings, effects)
        if len(grid.factors) > 1 or grid.factors[0].numbers is not None:
            figures["main_effects"] = _main_effects(findings, effects)
    lists = effects is None and len(grid.arms) >= _LINES_FROM and len(grid.factors) > 1
    if findings.intervals and (lists or (effects is not None and len(grid.factors) > 2)):
        figures["parallel"] = _parallel(findings, grid)
    return figures


def _measured(findings: Findings, effects: Effects) -> list[Metric]:
    return [metric for metric in findings.study.metrics if metric.key in effects.seeds]


def _main_effects(findings: Findings, effects: Effects) -> Any:
    """A row for each metric, a panel for each factor: marginal means with their intervals, on one scale a metric."""
    from matplotlib.figure import Figure

    metrics, factors = _measured(findings, effects), effects.design.factors
    if len(factors) == 1:
        figure, axes = panels(len(metrics), 2.6)
        for panel, metric in zip(axes, metrics, strict=True):
            _marginal_panel(panel, effects, metric, 1)
            panel.set(title=wrapped(metric.title, 42), ylabel=f"{metric.unit} ({metric.better} is better)")
        return figure
    figure = Figure(figsize=(max(WIDTH, 2.4 * len(factors)), 2.3 * len(metrics)), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    rows = figure.subplots(len(metrics), len(factors), squeeze=False, sharey="row")
    for row, metric in zip(rows, metrics, strict=True):
        for axis, panel in enumerate(row, 1):
            _marginal_panel(panel, effects, metric, axis)
        row[0].set_title(wrapped(metric.title, 42))
        row[0].set_ylabel(f"{metric.unit}\n({metric.better} is better)")
    return figure


def _marginal_panel(panel: Any, effects: Effects, metric: Metric, axis: int) -> None:
    factor = effects.design.factors[axis - 1]
    found = [effects.means[metric.key, axis, level] for level in range(len(factor.levels))]
    places = factor.numbers or tuple(range(len(found)))
    colour = PALETTE[0]
    for place, interval in zip(places, found, strict=True):
        if interval.low is not None:
            panel.plot([place, place], [interval.low, interval.high], "-", lw=2, color=colour, solid_capstyle="butt")
    panel.plot(places, [interval.mean for interval in found], "o-", ms=5, lw=1, color=colour)
    panel.axhline(np.mean(effects.cells[metric.key]), color=GREY, lw=0.8, ls=(0, (4, 3)), zorder=0)
    if factor.numbers is not None:
        number_axis(panel, factor.numbers, factor.log, factor.levels)
        panel.margins(x=0.12)
    else:
        panel.set_xticks(places, [wrapped(label, 14) for label in factor.levels])
        panel.set_xlim(-0.5, len(found) - 0.5)
    panel.set_xlabel(factor.title, color="#111827")
    panel.grid(axis="x", visible=False)


def _heat_maps(findings: Findings, effects: Effects) -> Any:
    """A panel for each metric: first factor downwards, second to the right; darker is better."""
    metrics, (down, right) = _measured(findings, effects), effects.design.factors
    columns = 3 if len(right.levels) <= 5 else 2 if len(right.levels) <= 8 else 1
    figure, axes = panels(len(metrics), 0.95 + 0.42 * len(down.levels), columns=columns)
    for i, (panel, metric) in enumerate(zip(axes, metrics, strict=True)):
        _heat_map(panel, effects.cells[metric.key], metric, down, right)
        panel.set(title=wrapped(f"{metric.title}, {metric.unit}".removesuffix(", "), 44), xlabel=right.title)
        panel.set_ylabel(down.title if i % columns == 0 else "")
    return figure


def _heat_map(panel: Any, values: np.ndarray, metric: Metric, down: Factor, right: Factor) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    quality = values if metric.better == "higher" else -values
    span = np.ptp(quality)
    shade = (quality - quality.min()) / span if span else np.full(values.shape, 0.5)
    panel.imshow(shade, cmap=LinearSegmentedColormap.from_list("quality", ["#f1f6fa", PALETTE[0]]), vmin=0, vmax=1.15,
                 aspect="auto")
    decimals = 3 if span < 10 else 1
    for (i, j), value in np.ndenumerate(values):
        best = shade[i, j] == 1 and span > 0
        panel.text(j, i, f"{value:.{decimals}f}".replace("-", "−"), ha="center", va="center", fontsize=8,
                   fontweight="bold" if best else "normal", color="white" if shade[i, j] > 0.72 else "#111827")
    panel.set_xticks(range(len(right.levels)), [wrapped(label, 14) for label in right.levels])
    panel.set_yticks(range(len(down.levels)), [wrapped(label, 18) for label in down.levels])
    panel.tick_params(length=0, labelcolor="#1f2937")
    panel.grid(visible=False)
    for spine in panel.spines.values():
        spine.set_visible(False)


def _parallel(findings: Findings, grid: Design) -> Any:
    """A line for each arm across factors and metrics; darker is better on the first metric that arms have."""
    from matplotlib.figure import Figure

    study = findings.study
    metrics = [metric for metric in study.metrics if _means(findings, metric, grid)]
    count = len(grid.factors) + len(metrics)
    figure = Figure(figsize=(max(WIDTH, 1.35 * count), 4.2), layout="constrained")
    panel = figure.subplots()
    heights = [_factor_heights(factor) for factor in grid.factors]
    ranges = [_metric_range(findings, metric, grid) for metric in metrics]
    order = _by_quality(findings, metrics[0], grid)
    for rank, slug in enumerate(order):
        line = [heights[i][factor.of_arm[slug]] for i, factor in enumerate(grid.factors)]
        for metric, (worst, best) in zip(metrics, ranges, strict=True):
            interval = findings.intervals.get((slug, metric.key))
            line.append(np.nan if interval is None else (interval.mean - worst) / (best - worst or 1))
        # The same place for several arms is told apart by a small shift, the same along the line.
        shift = 0.016 * (rank / max(1, len(order) - 1) - 0.5)
        drawn = np.array(line, float) + shift
        panel.plot(range(count), drawn, "-", lw=1.3, color=_shade(rank / max(1, len(order) - 1)), zorder=1 + rank)
    for i in range(count):
        panel.axvline(i, color="#9aa1ab", lw=0.8, zorder=0)
    _label_axes(panel, grid, heights, metrics, ranges)
    return figure


def _shade(rank: float) -> tuple[float, ...]:
    from matplotlib.colors import to_rgb

    pale, dark = np.array(to_rgb(FAINT)), np.array(to_rgb("#00416a"))
    return tuple(pale + (dark - pale) * rank**1.5)


def _factor_heights(factor: Factor) -> list[float]:
    numbers = np.array(factor.numbers if factor.numbers is not None else range(len(factor.levels)), float)
    numbers = np.log(numbers) if factor.log else numbers
    return list((numbers - numbers.min()) / np.ptp(numbers))


def _means(findings: Findings, metric: Metric, grid: Design) -> list[float]:
    return [findings.intervals[slug, metric.key].mean for slug in grid.arms
            if (slug, metric.key) in findings.intervals]


def _metric_range(findings: Findings, metric: Metric, grid: Design) -> tuple[float, float]:
    """(worst, best) of the means."""
    means = _means(findings, metric, grid)
    return (min(means), max(means)) if metric.better == "higher" else (max(means), min(means))


def _by_quality(findings: Findings, metric: Metric, grid: Design) -> list[str]:
    """Arms from the worst to the best; those without a value first."""
    sign = 1 if metric.better == "higher" else -1

    def quality(slug: str) -> float:
        interval = findings.intervals.get((slug, metric.key))
        return -np.inf if interval is None else sign * interval.mean

    return sorted(grid.arms, key=quality)


def _label_axes(panel: Any, grid: Design, heights: list[list[float]], metrics: list[Metric],
                ranges: list[tuple[float, float]]) -> None:
    count = len(grid.factors) + len(metrics)
    box = {"boxstyle": "square,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.85}
    for i, (factor, places) in enumerate(zip(grid.factors, heights, strict=True)):
        for label, height in zip(factor.levels, places, strict=True):
            panel.text(i, height, wrapped(label, 16), fontsize=7.5, ha="center", va="center", bbox=box, zorder=99)
    for i, (worst, best) in enumerate(ranges, len(grid.factors)):
        for value, height in ((worst, -0.02), (best, 1.02)):
            panel.text(i, height, f"{value:.4g}".replace("-", "−"), fontsize=7.5, ha="center",
                       va="top" if height < 0 else "bottom", color=GREY)
    titles = [*(factor.title for factor in grid.factors), *(metric.title for metric in metrics)]
    panel.set_xticks(range(count), [wrapped(title, 15) for title in titles])
    panel.tick_params(axis="x", length=0, pad=12, labelcolor="#111827")
    panel.set(xlim=(-0.5, count - 0.5), ylim=(-0.09, 1.09), yticks=[])
    panel.grid(visible=False)
    for spine in panel.spines.values():
        spine.set_visible(False)
