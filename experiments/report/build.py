"""Write the report's files, and its short version for the terminal."""

import csv
import io
import os
import pathlib
import textwrap
from typing import Any

from arch_zoo.files import write_bytes_atomic, write_json_atomic, write_text_atomic
from experiments.report.config_tables import ledger_table, rates_in_words
from experiments.report.content import Content, gather
from experiments.report.effects import Effects, effects_in_words
from experiments.report.figures import draw_plots
from experiments.report.findings import Comparison, answer, find, metrics_in_words
from experiments.report.page import html_page, markdown_page
from experiments.report.paper import paper_json, paper_table
from experiments.report.pareto import front_in_words, fronts_json, told_apart
from experiments.report.record import Study, load_study
from experiments.report.table import Entry, Table, in_brackets
from experiments.report.tables import results_table


def build_report(workdir: str | os.PathLike) -> pathlib.Path:
    """Write report.html, report.md, results.csv, results.json and plots/ into a study's directory; returns the page.

    Raises UserError where the directory holds no study. Failed and missing cells are reported, not raised.
    """
    workdir = pathlib.Path(workdir)
    study = load_study(workdir)
    content = gather(find(study))
    plots = draw_plots(content)
    for name, images in plots.items():
        write_bytes_atomic(workdir / "plots" / f"{name}.png", images["png"])
    write_text_atomic(workdir / "results.csv", results_csv(study))
    write_json_atomic(workdir / "results.json", results_json(content))
    write_text_atomic(workdir / "report.md", markdown_page(content, list(plots)))
    vector = {name: images["svg"] for name, images in plots.items()}
    write_text_atomic(workdir / "report.html", html_page(content, vector))
    return workdir / "report.html"


def terminal_summary(workdir: str | os.PathLike) -> str:
    """The main table, the verdicts and what is missing, as plain text."""
    content = gather(find(load_study(pathlib.Path(workdir))))
    findings, record = content.findings, content.findings.study.record
    parts = [f"Stand-in: {record['stand_in']}"] if record.get("stand_in") else []
    parts += [f"{len(cells)} of {len(findings.study.cells)} cells have no result: "
             + "; ".join(f"{findings.study.names[cell.arm]}, seed {cell.seed} ({cell.problem})" for cell in cells)
             for cells in [findings.study.unfinished()] if cells]
    if findings.study.metrics:
        parts += [plain(results_table(findings)), metrics_in_words(findings)]
    else:
        parts.append(plain(ledger_table(findings.study)))
    if content.effects is not None and len(content.design.factors) > 1:
        parts.append(effects_in_words(content.effects))
    parts += [f"By {front.cost}: {front_in_words(findings, front)}" for front in content.fronts
              if front.cost in told_apart(content.fronts)]
    parts += [plain(paper_table(findings, column)) for column in content.paper]
    if "tuning" in record:
        parts.append(rates_in_words(findings.study))
    parts += [f"{judged.verdict}: {judged.claim['text']} ({judged.claim['source']}). {judged.words}"
              for judged in findings.claims]
    return "\n\n".join(part if "\n" in part else textwrap.fill(part, 110) for part in parts)


def plain(table: Table) -> str:
    """A table for the terminal."""
    rows = [[_text(entry) for entry in row] for row in table.rows]
    titles = [textwrap.wrap(entry.text, 18) for entry in table.head]
    height = max(map(len, titles))
    head = list(zip(*([""] * (height - len(title)) + title for title in titles), strict=True))
    widths = [max(len(row[i]) for row in [*head, *rows]) for i in range(len(titles))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
             for row in [*head, *rows]]
    notes = [f"{in_brackets(mark)} {text}" for mark, text in table.notes]
    return "\n".join([*lines[:height], "─" * max(map(len, lines)), *lines[height:], *notes])


def _text(entry: Entry) -> str:
    star = "*" if entry.strong else ""
    mark = f" {in_brackets(entry.mark)}" if entry.mark else ""
    return f"{entry.text}{star}{' ' + entry.aside if entry.small else ''}{mark}"


def results_csv(study: Study) -> str:
    """Tidy: one row for each arm, seed and metric, and a reason where there is no value. Floats are exact."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["arm", "seed", "metric", "value", "count", "reason"])
    for cell in study.cells.values():
        for metric in study.metrics:
            measured = cell.measured(metric.key)
            value, count = ("" if v is None else repr(v) for v in (measured.value, measured.count))
            writer.writerow([cell.arm, cell.seed, metric.key, value, count, measured.reason])
    return text.getvalue()


def results_json(content: Content) -> dict[str, Any]:
    """Everything the report computes, for programs."""
    findings, study = content.findings, content.findings.study
    return {
        "title": study.record["title"], "answer": answer(findings), "seeds": study.seeds, "reference": study.reference,
        "means": [{"arm": slug, "metric": key, "mean": i.mean, "low": i.low, "high": i.high, "seeds": i.count}
                  for (slug, key), i in findings.intervals.items()],
        "best": {metric.key: findings.best(metric.key) for metric in study.metrics},
        "comparisons": [_comparison_json(c) for c in findings.comparisons],
        "claims": [{**judged.claim, "verdict": str(judged.verdict), "words": judged.words,
                    "comparison": judged.comparison and _comparison_json(judged.comparison)}
                   for judged in findings.claims],
        "without_result": [{"arm": cell.arm, "seed": cell.seed, "problem": cell.problem}
                           for cell in study.unfinished()],
        "effects": _effects_json(content.effects), "pareto": fronts_json(content.fronts),
        "paper": paper_json(content.paper),
    }


def _effects_json(effects: Effects | None) -> list[dict[str, Any]]:
    if effects is None:
        return []
    factors = effects.design.factors
    return [{"metric": one.metric.key, "factors": [factors[axis - 1].title for axis in one.axes],
             "from_to": [[factors[axis - 1].levels[end] for end in ends] for axis, ends in one.ends.items()],
             "advantage": one.paired.mean, "low": one.paired.interval.low, "high": one.paired.interval.high,
             "share": one.tested.share, "f": one.tested.f, "p": one.tested.p, "p_holm": one.p}
            for one in effects.judged]


def _comparison_json(c: Comparison) -> dict[str, Any]:
    record = {"metric": c.metric.key, "first": c.first, "second": c.second, "seeds": list(c.seeds)}
    if c.paired is None:
        return record
    interval = c.paired.interval
    return {**record, "advantage": interval.mean, "low": interval.low, "high": interval.high,
            "by_seed": list(c.paired.differences), "spread": c.paired.spread, "effect_size": c.paired.effect_size,
            "p": c.paired.p, "p_holm": c.p}
