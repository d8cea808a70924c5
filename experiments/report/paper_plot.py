"""A paper's gaps beside ours, each as a share of its own table's range."""

from typing import Any

from experiments.report.findings import Findings
from experiments.report.paper import PaperColumn, PaperRow
from experiments.report.plots import GREY, PALETTE, panels, wrapped

_FURTHEST = 3.0  # shares beyond this are drawn at the edge: one runaway arm would flatten the rest


def paper_figure(findings: Findings, columns: list[PaperColumn]) -> Any | None:
    """A panel for each column: a row for each arm, hollow the paper, filled ours. None where nothing has a share."""
    drawn = [column for column in columns if any(row.share is not None for row in column.rows)]
    if not drawn:
        return None
    rows = max(len(column.rows) for column in drawn)
    figure, axes = panels(len(drawn), 1.2 + 0.34 * rows)
    for i, (panel, column) in enumerate(zip(axes, drawn, strict=True)):
        _paper_panel(panel, column, named=i % 3 == 0, baseline=findings.study.record["paper"].get("baseline"))
    return figure


def _paper_panel(panel: Any, column: PaperColumn, named: bool, baseline: str) -> None:
    for y, row in enumerate(column.rows):
        paper, ours = _inside(row.share), _inside(row.our_share)
        if paper is not None and ours is not None:
            panel.plot([paper, ours], [y, y], "-", color="#c3c8d0", lw=1, zorder=1)
        if (ends := _interval(row)) is not None:
            panel.plot(ends, [y, y], "-", color=PALETTE[0], lw=2, solid_capstyle="butt", zorder=2)
        if paper is not None:
            panel.plot([paper], [y], "D", ms=7.5, mfc="none", mec=PALETTE[1], mew=1.3, zorder=4,
                       label="paper" if row.verified else "paper [M]")
        if ours is not None:
            panel.plot([ours], [y], "o", ms=5.5, color=PALETTE[0], zorder=3, label="ours")
    panel.axvline(0, color=GREY, lw=0.9, ls=(0, (4, 3)), zorder=0)
    names = [f"{row.name} (baseline)" if row.arm == baseline else row.name for row in column.rows]
    panel.set_yticks(range(len(names)), [wrapped(name, 34) for name in names] if named else [""] * len(names))
    panel.set(ylim=(len(names) - 0.5, -0.6), title=wrapped(column.title, 42),
              xlabel="gap, as a share of its own table’s range\n(0: baseline; right is better)")
    panel.locator_params(axis="x", nbins=6)
    panel.tick_params(axis="y", length=0, labelcolor="#1f2937")
    panel.grid(axis="y", visible=False)
    handles, labels = panel.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    panel.legend(unique.values(), unique.keys(), frameon=False, fontsize=7.5, ncols=len(unique), loc="lower left",
                 bbox_to_anchor=(-0.02, 0.985), handletextpad=0.2, columnspacing=1.0, borderpad=0)
    panel.title.set_position((0, 1))
    panel.set_title(panel.get_title(loc="left"), loc="left", pad=18)


def _inside(share: float | None) -> float | None:
    return None if share is None else max(-_FURTHEST, min(_FURTHEST, share))


def _interval(row: PaperRow) -> tuple[float, float] | None:
    """Ours, in the same shares: the interval of the gap by the same range."""
    if row.our_share is None or row.ours is None or row.ours.paired is None or not row.ours.paired.mean:
        return None
    paired = row.ours.paired
    if paired.interval.low is None:
        return None
    scale = row.our_share / paired.mean
    return _inside(paired.interval.low * scale), _inside(paired.interval.high * scale)
