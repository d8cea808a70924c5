"""A paper's table beside ours: values, gaps to its baseline, and both gaps as shares of their own range.

The range of a table is the distance from its baseline to its worst arm, or to the arm furthest away where nothing is
worse; a gap of −1 is then the worst arm of either table, 0 the baseline, and above 0 better than it.
"""

import dataclasses
from typing import Any

from arch_zoo.analysis.statistics import format_number
from experiments.report.findings import Comparison, Findings, compare
from experiments.report.record import Metric, Study
from experiments.report.table import Entry, Table, arm_entry, bounds, columns, signed

UNVERIFIED = ("[M]", "from memory of the literature, not verified")


@dataclasses.dataclass(frozen=True)
class PaperRow:
    """One arm of the paper's table in one column; what is not known is None. Gaps are positive where better."""

    arm: str
    name: str
    paper: float | None
    gap: float | None
    share: float | None
    verified: bool
    ours: Comparison | None    # the arm against the baseline
    our_share: float | None

    @property
    def our_gap(self) -> float | None:
        return None if self.ours is None or self.ours.paired is None else self.ours.paired.mean


@dataclasses.dataclass(frozen=True)
class PaperColumn:
    """One column of the paper's table, and the metric of this study that stands beside it, if one does."""

    title: str
    metric: Metric | None
    deviation: float | None    # the paper's own standard deviation over runs
    rows: tuple[PaperRow, ...]


def paper_columns(study: Study) -> list[PaperColumn]:
    """Of study.json's "paper"; none where there is no such record.

    A column stands beside the metric of the same title or key, or the one that "beside" names: {column: key}. It points
    the way of its metric unless "better" says otherwise: {column: "higher" or "lower"}. "deviations" are by column too.
    """
    paper = study.record.get("paper") or {}
    return [_column(study, paper, title) for title in paper.get("columns", [])]


def _column(study: Study, paper: dict[str, Any], title: str) -> PaperColumn:
    key = paper.get("beside", {}).get(title)
    metric = next((m for m in study.metrics if m.key == key or (key is None and title in (m.title, m.key))), None)
    same_kind = metric is not None and key is None
    better = paper.get("better", {}).get(title, metric.better if same_kind else "higher")
    sign, baseline = (1 if better == "higher" else -1), paper.get("baseline")
    values = {row["arm"]: row.get("values", {}).get(title) for row in paper.get("rows", [])}
    start = values.get(baseline)
    gaps = {arm: None if value is None or start is None else sign * (value - start) for arm, value in values.items()}
    ours = {arm: compare(study, metric, arm, baseline) if metric and {arm, baseline} <= set(study.compared) else None
            for arm in values}
    our_gaps = {arm: c.paired.mean if c is not None and c.paired is not None else None for arm, c in ours.items()}
    shares, our_shares = _shares(gaps), _shares(our_gaps)
    rows = tuple(PaperRow(arm, study.names.get(arm, row.get("name", arm)), values[arm], gaps[arm], shares[arm],
                          row.get("verified", paper.get("verified", True)), ours[arm], our_shares[arm])
                 for row in paper.get("rows", []) for arm in [row["arm"]])
    return PaperColumn(title, metric, paper.get("deviations", {}).get(title), rows)


def _shares(gaps: dict[str, float | None]) -> dict[str, float | None]:
    """Each gap by the distance from the baseline to the worst, or to the furthest where none is worse."""
    known = [gap for gap in gaps.values() if gap is not None]
    scale = -min(known, default=0.0) or max(map(abs, known), default=0.0)
    return {arm: None if gap is None or not scale else gap / scale for arm, gap in gaps.items()}


def paper_table(findings: Findings, column: PaperColumn) -> Table:
    """Arms by: the paper's value, gap and share of its range; ours."""
    study, metric = findings.study, column.metric
    rows, memory = [], False
    for row in column.rows:
        memory |= not row.verified and row.paper is not None
        rows.append((_name(study, row), *_papers(row, row.arm == study.record["paper"].get("baseline")),
                     *_ours(findings, row, metric, row.arm == study.record["paper"].get("baseline"))))
    spread = "" if column.deviation is None else f"sd of one run {column.deviation:g}"
    beside = "no metric of this study" if metric is None else f"{metric.title}, {metric.unit}".removesuffix(", ")
    head = (Entry("Arm"), Entry(f"Paper: {column.title}", spread), *columns("Paper’s gap", "of its range"),
            Entry("Ours", beside), Entry("Our gap", "95 % interval"), Entry("of our range"))
    return Table(head, tuple(rows), (UNVERIFIED,) if memory else ())


def _name(study: Study, row: PaperRow) -> Entry:
    small = "baseline" if row.arm == study.record["paper"].get("baseline") else ""
    return arm_entry(study, row.arm, small) if row.arm in study.names else Entry(row.name, small or "not run here")


def _papers(row: PaperRow, is_baseline: bool) -> tuple[Entry, ...]:
    mark = "" if row.verified or row.paper is None else UNVERIFIED[0]
    return (Entry("–" if row.paper is None else f"{row.paper:g}", mark=mark), *_gap(row.gap, row.share, is_baseline))


def _gap(gap: float | None, share: float | None, is_baseline: bool, interval: str = "") -> tuple[Entry, Entry]:
    if is_baseline or gap is None:
        return Entry("–"), Entry("0.00" if is_baseline and share is not None else "–")
    return Entry(signed(gap), interval), Entry(_share(share))


def _share(share: float | None) -> str:
    if share is None:
        return "–"
    return "0.00" if abs(share) < 0.005 else f"{share:+.2f}".replace("-", "−")


def _ours(findings: Findings, row: PaperRow, metric: Metric | None, is_baseline: bool) -> tuple[Entry, ...]:
    interval = metric and findings.intervals.get((row.arm, metric.key))
    value = Entry("–") if interval is None else Entry(format_number(interval.mean))
    paired = row.ours and row.ours.paired
    if paired is None:
        return value, Entry("–"), Entry("–")
    return value, *_gap(paired.mean, row.our_share, is_baseline,
                        bounds(paired.interval.low, paired.interval.high, signed))


def paper_json(columns: list[PaperColumn]) -> list[dict[str, Any]]:
    """For results.json."""
    return [{"column": column.title, "metric": column.metric and column.metric.key,
             "rows": [{"arm": row.arm, "paper": row.paper, "gap": row.gap, "share_of_range": row.share,
                       "verified": row.verified, "our_share_of_range": row.our_share,
                       "our_gap": row.our_gap}
                      for row in column.rows]} for column in columns]
