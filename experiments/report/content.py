"""Everything that the report shows, computed once."""

import dataclasses

from experiments.report.effects import Effects, find_effects
from experiments.report.findings import Findings
from experiments.report.grid import Design, design
from experiments.report.paper import PaperColumn, paper_columns
from experiments.report.pareto import Front, find_fronts


@dataclasses.dataclass(frozen=True)
class Content:
    """The findings, and what follows from them for grids, costs and papers."""

    findings: Findings
    design: Design
    effects: Effects | None
    fronts: list[Front]
    paper: list[PaperColumn]


def gather(findings: Findings) -> Content:
    """All of it, from what `find` found."""
    study = findings.study
    return Content(findings, design(study), find_effects(study), find_fronts(findings), paper_columns(study))
