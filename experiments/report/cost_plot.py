"""Quality against cost, with the front."""

from typing import Any

from experiments.report.findings import Findings
from experiments.report.pareto import COSTS, Front, told_apart
from experiments.report.plots import colours, panels, wrapped
from experiments.report.table import quantity

_SHORT = 50     # a range of costs in which powers of ten are too few ticks
_LOG_FROM = 4  # the dearest arm costs more than this many times the cheapest


def cost_figures(findings: Findings, fronts: list[Front]) -> dict[str, Any]:
    """{name: figure}, one for each cost in which arms differ."""
    figures = {}
    for cost in told_apart(fronts):
        chosen = [front for front in fronts if front.cost == cost]
        figure, axes = panels(len(chosen), 2.9)
        for panel, front in zip(axes, chosen, strict=True):
            _front_panel(panel, findings, front)
        figures[f"pareto_{cost}"] = figure
    return figures


def _front_panel(panel: Any, findings: Findings, front: Front) -> None:
    """Every arm at its cost; the front's arms are numbered by cost and joined."""
    colour, metric = colours(findings.study), front.metric
    for slug in front.order:
        interval, x = findings.intervals[slug, metric.key], front.costs[slug]
        if interval.low is not None:
            panel.plot([x, x], [interval.low, interval.high], "-", lw=1.3, color=colour[slug], alpha=0.8, zorder=2)
        on_front = slug in front.front
        panel.plot([x], [interval.mean], "o", ms=6.5 if on_front else 4.5, color=colour[slug], zorder=3,
                   mec="#111827" if on_front else colour[slug], mew=0.9)
    means = [findings.intervals[slug, metric.key].mean for slug in front.front]
    costs = [front.costs[slug] for slug in front.front]
    panel.step(costs, means, where="post", color="#374151", lw=1, zorder=1)
    above = metric.better == "higher"
    for i, (x, y) in enumerate(zip(costs, means, strict=True), 1):
        panel.annotate(str(i), (x, y), xytext=(-6, 5 if above else -6), textcoords="offset points", fontsize=8,
                       ha="right", va="bottom" if above else "top", fontweight="bold", color="#111827", zorder=4)
    optimum = findings.study.optimum(metric)
    if optimum is not None:
        panel.axhline(optimum, color="#111827", lw=1, zorder=0)
    if max(front.costs.values()) > _LOG_FROM * min(front.costs.values()):
        panel.set_xscale("log")
        _few_ticks(panel, front)
    else:
        panel.locator_params(axis="x", nbins=4)
    panel.xaxis.set_major_formatter(lambda value, _: quantity(value))
    panel.margins(x=0.12, y=0.14)
    panel.set(title=wrapped(metric.title, 42), xlabel=COSTS[front.cost],
              ylabel=f"{metric.unit} ({metric.better} is better)")


def _few_ticks(panel: Any, front: Front) -> None:
    """Of a logarithmic axis: whole powers of ten, and what lies between them where the range is short."""
    from matplotlib.ticker import LogLocator, NullLocator

    span = max(front.costs.values()) / min(front.costs.values())
    panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if span < _SHORT else (1.0,), numticks=8))
    panel.xaxis.set_minor_locator(NullLocator())
