"""A picture of a task that has groups: each group with its parts."""

from arch_zoo.tasks.base import Metric, Outcome, Part
from experiments.report.plots import PALETTE, STYLE, rendered

_GREY, _INK = "#6b7280", "#1f2937"
_NORMAL_95 = 1.96


def groups_plot(title: str, metric: Metric, outcome: Outcome) -> bytes:
    """PNG: a row for all, then one for each group, best first: the mean with its 95 % interval, and its parts as dots.
    """
    import matplotlib
    from matplotlib.figure import Figure

    ranked = sorted(outcome.groups.items(), key=lambda named: -named[1].values[metric.name].value)
    shown = [("all", Part(outcome.values, outcome.count, members=tuple(outcome.parts))), *ranked]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.6, 1.3 + 0.34 * len(shown)), layout="constrained")
        panel = figure.subplots()
        for row, (_, part) in enumerate(shown):
            _draw(panel, row, part, metric, outcome)
        if metric.chance is not None:
            panel.axvline(metric.chance, color=_GREY, lw=0.9, ls=(0, (4, 3)), zorder=0)
            panel.annotate("chance", (metric.chance, 1), xycoords=("data", "axes fraction"), xytext=(3, 2),
                           textcoords="offset points", fontsize=7, color=_GREY)
        panel.axhline(0.5, color="#d7dae0", lw=0.8)
        names = [f"{name.replace('_', ' ')} ({len(part.members)})" for name, part in shown]
        panel.set_yticks(range(len(shown)), names)
        panel.get_yticklabels()[0].set_fontweight("bold")
        panel.set(title=title, ylim=(len(shown) - 0.4, -0.6), xlim=(-0.02, 1.02),
                  xlabel=f"{metric.unit}: mean over paradigms with 95 % interval; small dots: each paradigm")
        panel.tick_params(axis="y", length=0, labelcolor=_INK)
        panel.grid(axis="y", visible=False)
        return rendered(figure)["png"]


def _draw(panel, row: int, part: Part, metric: Metric, outcome: Outcome) -> None:
    colour, mean = PALETTE[0] if row else "#000000", part.values[metric.name]
    if row:
        dots = [outcome.parts[name].values[metric.name].value for name in part.members]
        panel.plot(dots, [row] * len(dots), "o", ms=4, mfc="none", mec=colour, mew=0.8, alpha=0.6)
    if mean.error is not None:
        half = _NORMAL_95 * mean.error
        panel.errorbar([mean.value], [row], xerr=[half], color=colour, lw=2, capsize=3, zorder=3)
    panel.plot([mean.value], [row], "o", ms=6.5, color=colour, zorder=4)
    panel.annotate(f"{mean.value:.3f}", (1, row), xycoords=("axes fraction", "data"), xytext=(6, 0),
                   textcoords="offset points", va="center", fontsize=8, color=_INK)
