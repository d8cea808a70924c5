"""All plots of a report, drawn once and returned as files."""

from typing import Any

from experiments.report.content import Content
from experiments.report.cost_plot import cost_figures
from experiments.report.curves_plot import curves_figure, has_curves
from experiments.report.grid_plot import grid_figures
from experiments.report.metrics_plot import metrics_figure
from experiments.report.paper_plot import paper_figure
from experiments.report.plots import STYLE, rendered
from experiments.report.profiles_plot import profiles_figure


def draw_plots(content: Content) -> dict[str, dict[str, bytes]]:
    """{name: {"svg": …, "png": …}}: whatever the study has something to draw for."""
    import matplotlib

    findings = content.findings
    with matplotlib.rc_context(STYLE):
        figures: dict[str, Any] = {}
        if findings.intervals:
            figures["metrics"] = metrics_figure(findings)
        if (profiles := profiles_figure(findings.study)) is not None:
            figures["profiles"] = profiles
        if content.paper and (beside := paper_figure(findings, content.paper)) is not None:
            figures["paper"] = beside
        figures |= grid_figures(findings, content.effects, content.design)
        figures |= cost_figures(findings, content.fronts)
        if has_curves(findings.study):
            figures["learning_curves"] = curves_figure(findings.study)
        return {name: rendered(figure) for name, figure in figures.items()}
