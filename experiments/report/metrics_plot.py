"""Dot plots of the shared metrics."""

from typing import Any

from experiments.report.findings import Findings
from experiments.report.plots import COLUMNS, GREY, colours, panels, wrapped
from experiments.report.record import Metric

_WIDE = 100  # values that differ by a larger factor are on a logarithmic axis


def metrics_figure(findings: Findings) -> Any:
    """A panel for each metric: a row for each arm, with every seed, the mean and its interval."""
    metrics = findings.study.metrics
    figure, axes = panels(len(metrics), 0.95 + 0.34 * len(findings.study.compared))
    for i, (panel, metric) in enumerate(zip(axes, metrics, strict=True)):
        _metric_panel(panel, findings, metric, named=i % COLUMNS == 0)
    return figure


def _metric_panel(panel: Any, findings: Findings, metric: Metric, named: bool) -> None:
    study, colour = findings.study, colours(findings.study)
    for row, slug in enumerate(study.compared):
        interval = findings.intervals.get((slug, metric.key))
        if interval is None:
            panel.text(0.5, row, "n/a", transform=panel.get_yaxis_transform(), ha="center", va="center", color=GREY)
            continue
        seeds = list(study.values(slug, metric.key).values())
        panel.plot(seeds, [row + 0.22] * len(seeds), "o", ms=3.2, mfc="white", mec=colour[slug], mew=0.9)
        if interval.low is not None:
            panel.plot([interval.low, interval.high], [row, row], "-", lw=2, color=colour[slug], solid_capstyle="butt")
        panel.plot([interval.mean], [row], "o", ms=6.5, color=colour[slug])
    if metric.chance is not None:
        panel.axvline(metric.chance, color=GREY, lw=0.9, ls=(0, (4, 3)), zorder=0)
        panel.annotate("chance", (metric.chance, 1), xycoords=("data", "axes fraction"), xytext=(3, -2),
                       textcoords="offset points", fontsize=7, color=GREY, va="top")
    optimum = study.optimum(metric)
    if optimum is not None:
        panel.axvline(optimum, color="#111827", lw=1.1, zorder=0)
        panel.annotate("optimum", (optimum, 1), xycoords=("data", "axes fraction"), xytext=(3, -2),
                       textcoords="offset points", fontsize=7, color="#111827", va="top")
    panel.set(title=wrapped(metric.title, 42), xlabel=f"{metric.unit} ({metric.better} is better)",
              ylim=(len(study.compared) - 0.5, -0.6))
    panel.set_yticks(range(len(study.compared)),
                     [wrapped(name, 44) if named else "" for name in study.compared.values()])
    panel.tick_params(axis="y", length=0, labelcolor="#1f2937")
    panel.grid(axis="y", visible=False)
    shown = [x for line in panel.lines for x in line.get_xdata()]
    if shown and 0 < _WIDE * min(shown) < max(shown):
        panel.set_xscale("log")
    else:
        panel.locator_params(axis="x", nbins=5)
