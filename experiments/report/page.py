"""The report as one HTML page and as Markdown: templates filled with the same tables and sentences."""

import base64
import pathlib
from typing import Any

from arch_zoo.analysis.statistics import seeds_in_words
from experiments.report import config_tables, tables
from experiments.report.content import Content
from experiments.report.effects import effects_in_words, effects_table, marginal_table
from experiments.report.findings import answer
from experiments.report.paper import paper_table
from experiments.report.pareto import COSTS, front_in_words, told_apart
from experiments.report.plots import colours
from experiments.report.samples import samples
from experiments.templates import environment

TEMPLATES = pathlib.Path(__file__).parent
_OPTIONAL = {"scale": "", "stand_in": "", "optimum": {}, "question": "", "command": "", "varies": []}  # in a record
_UNFOLDED = 40  # rows of comparisons that a page shows without being asked


def html_page(content: Content, plots: dict[str, bytes]) -> str:
    """One file that needs no other: style inside, plots as data. `plots` are SVG files by name."""
    study = content.findings.study
    return environment(TEMPLATES, escape=True).get_template("page.html.jinja").render(
        _filled(content), plots=as_data(plots), colours=colours(study), samples=samples(study))


def as_data(plots: dict[str, bytes]) -> dict[str, str]:
    """SVG files as addresses that hold them."""
    return {name: "data:image/svg+xml;base64," + base64.b64encode(svg).decode() for name, svg in plots.items()}


def markdown_page(content: Content, plots: list[str]) -> str:
    """The same in Markdown, with the plots as files beside it."""
    return environment(TEMPLATES, escape=False).get_template("page.md.jinja").render(_filled(content), plots=plots)


def _filled(content: Content) -> dict[str, Any]:
    findings, study = content.findings, content.findings.study
    comparisons = tables.comparisons_table(findings)
    return {
        "study": study, "record": _OPTIONAL | study.record, "answer": answer(findings), "problems": study.unfinished(),
        "has_results": bool(findings.intervals), "judged": findings.claims,
        "results": tables.results_table(findings), "comparisons": comparisons,
        "folded": len(comparisons.rows) > _UNFOLDED, "counted": tables.comparisons_in_words(findings),
        "claims": tables.claims_table(findings), "definitions": tables.definitions_table(),
        "seeds_words": seeds_in_words(len(study.seeds)), "detectable": tables.detectable_table(findings),
        "ledger": config_tables.ledger_table(study), "differs": config_tables.differs_table(study),
        "equal": config_tables.equal_table(study), "environment": config_tables.environment_table(study),
        "rates": config_tables.rates_table(study),
        "rates_words": config_tables.rates_in_words(study) if "tuning" in study.record else "",
        **_grid(content),
        "paper": [(column, paper_table(findings, column)) for column in content.paper],
        "fronts": {cost: [front_in_words(findings, front) for front in content.fronts if front.cost == cost]
                   for cost in told_apart(content.fronts)},
        "same_fronts": [cost for cost in dict.fromkeys(front.cost for front in content.fronts)
                        if cost not in told_apart(content.fronts)],
        "cost_names": COSTS,
    }


def _grid(content: Content) -> dict[str, Any]:
    effects = content.effects
    if effects is None or not effects.seeds:
        return {"effects": None}
    return {"effects": effects, "effects_words": effects_in_words(effects),
            "marginal": marginal_table(effects, content.findings.study), "tested": effects_table(effects),
            "factors": effects.design.factors}
