"""Learning curves: a panel for each arm; arms of exactly the same objective share their scale, and see each other."""

import json
from typing import Any

from experiments.report.plots import FAINT, GREY, colours, panels, wrapped
from experiments.report.record import Study

_NARROW = 24  # characters that fit above a small panel
_FEW = 9      # with more arms, panels are smaller and four in a row


def has_curves(study: Study) -> bool:
    """Whether any cell has logged a training loss."""
    return any(_points(cell.curve, "train/loss") for cell in study.cells.values())


def curves_figure(study: Study) -> Any:
    """One panel per arm: its seeds, their mean and range, held-out losses; in pale, the arms of the same objective."""
    many = len(study.names) > _FEW
    lines = max(wrapped(name, _NARROW).count("\n") for name in study.names.values())
    figure, axes = panels(len(study.names), 1.85 + 0.13 * lines if many else 2.5, columns=4 if many else 3)
    alike: dict[str, list[str]] = {}
    for slug in study.names:
        objective = json.dumps(study.record["configs"][slug]["objective"], sort_keys=True)
        alike.setdefault(objective, []).append(slug)
    by_slug = dict(zip(study.names, axes, strict=True))
    for slugs in alike.values():
        means = {slug: _mean(study, slug) for slug in slugs}
        for slug in slugs:
            _curve_panel(by_slug[slug], study, slug, {s: m for s, m in means.items() if s != slug and m}, many)
        drawn = [by_slug[slug] for slug in slugs if means[slug]]
        limits = [panel.get_ylim() for panel in drawn]
        for panel in drawn:
            panel.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
    if many:
        _label_edges(study, axes, columns=4, one_objective=len(alike) == 1)
    return figure


def _label_edges(study: Study, axes: list[Any], columns: int, one_objective: bool) -> None:
    """Small panels: the step under the last row; the loss at the left where all panels have the same one."""
    for i, panel in enumerate(axes):
        if i + columns < len(axes):
            panel.set_xlabel("")
        if one_objective and i % columns:
            panel.set_ylabel("")
        if one_objective and i % columns == 0:
            panel.set_ylabel("loss (nats per target)")


def _curves(study: Study, slug: str) -> list[dict[int, float]]:
    return [points for cell in study.cells_of(slug) if (points := _points(cell.curve, "train/loss"))]


def _mean(study: Study, slug: str) -> dict[int, float]:
    """{step: mean over seeds}, at the steps that all seeds that have any logged."""
    curves = _curves(study, slug)
    shared = sorted(set.intersection(*(set(points) for points in curves))) if curves else []
    return {step: sum(points[step] for points in curves) / len(curves) for step in shared}


def _curve_panel(panel: Any, study: Study, slug: str, others: dict[str, dict[int, float]], many: bool) -> None:
    colour, curves = colours(study)[slug], _curves(study, slug)
    size = {"fontsize": 8} if many else {}
    panel.set_title(wrapped(study.names[slug], _NARROW if many else 44), **size)
    panel.set_xlabel("step")
    panel.set_ylabel(f"{wrapped(study.objective(slug), 16)}\nloss (own scale)" if many else
                     f"{study.objective(slug)} loss\n(nats per target, own scale)", **size)
    panel.locator_params(axis="x", nbins=4 if many else 6)
    if not curves:
        panel.text(0.5, 0.5, "nothing logged", transform=panel.transAxes, ha="center", color=GREY)
        return
    for other in others.values():
        panel.plot(other.keys(), other.values(), "-", lw=0.8, color=FAINT, zorder=0.5)
    for points in curves:
        panel.plot(points.keys(), points.values(), "-", lw=0.7, alpha=0.55, color=colour)
    mean = _mean(study, slug)
    across = [[points[step] for points in curves] for step in mean]
    panel.fill_between(list(mean), list(map(min, across)), list(map(max, across)), color=colour, alpha=0.15, lw=0)
    panel.plot(mean.keys(), mean.values(), "-", lw=1.8, color=colour, label="training, mean")
    held_out = [point for cell in study.cells_of(slug) for point in _points(cell.curve, "eval/loss").items()]
    if held_out:
        panel.plot(*zip(*held_out, strict=True), "o", ms=3 if many else 4, mfc="white", mec=colour, mew=1.1,
                   label="held out, each seed")
    if not many:
        panel.legend(frameon=False, fontsize=7.5, handlelength=1.4)


def _points(curve: list[dict[str, Any]], key: str) -> dict[int, float]:
    return {line["step"]: line[key] for line in curve if key in line}
