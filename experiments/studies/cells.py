"""The cells of a planned study: what each is to run and after which others, written to its directory."""

import os
import pathlib
from typing import Any

from arch_zoo.config import EvaluationConfig, RunConfig
from arch_zoo.files import write_json_atomic
from arch_zoo.settings import from_dict, to_dict
from experiments.studies.config import StudyConfig
from experiments.studies.layout import CELL_FILE
from experiments.studies.queue import QueuedCell


def write_cells(study: StudyConfig, workdir: pathlib.Path, record: dict[str, Any]) -> list[QueuedCell]:
    """cell.json of every cell that the record plans; the cells in an order in which each comes after what it needs."""
    runs = {arm["slug"]: from_dict(RunConfig, record["configs"][arm["slug"]]) for arm in record["arms"]}
    slugs = sorted(runs, key=lambda slug: len(study.line_of(slug)))
    cells: dict[tuple[str, int], QueuedCell] = {}
    tried: dict[str, dict[float, QueuedCell]] = {slug: {} for slug in slugs}
    for seed in record["seeds"]:
        for arm in (study.arm(slug) for slug in slugs):
            before = cells.get((arm.starts_from, seed))
            if seed == record["seeds"][0]:
                tried[arm.slug] = _tuning_cells(study, workdir, record, arm, runs[arm.slug].replace(seed=seed), before)
            directory = workdir / record["cells"].format(arm=arm.slug, seed=seed)
            cells[arm.slug, seed] = _write(directory, f"{arm.name}, seed {seed}", runs[arm.slug].replace(seed=seed),
                                           study.evaluation_of(arm.slug), before, tried[arm.slug])
    return [*(cell for of_arm in tried.values() for cell in of_arm.values()), *cells.values()]


def _tuning_cells(study: StudyConfig, workdir: pathlib.Path, record: dict[str, Any], arm, run: RunConfig,
                  before: QueuedCell | None) -> dict[float, QueuedCell]:
    """{learning rate: its short run} of one arm; none where the study tunes nothing."""
    steps = max(1, round(study.tuning.share * run.steps))
    return {rate: _write(workdir / record["tuning"]["cells"].format(arm=arm.slug, rate=rate),
                         f"{arm.name}, learning rate {rate:g} on trial",
                         run.replace(steps=steps, optimizer=run.optimizer.replace(learning_rate=rate)),
                         EvaluationConfig(metrics=()), before, {}, trial=True)
            for rate in study.tuning.rates}


def _write(directory: pathlib.Path, label: str, run: RunConfig, evaluation: EvaluationConfig,
           before: QueuedCell | None, tried: dict[float, QueuedCell], trial: bool = False) -> QueuedCell:
    def relative(cell: QueuedCell) -> str:  # so that the study's directory may be moved
        return os.path.relpath(cell.directory, directory)

    write_json_atomic(directory / CELL_FILE, {
        "label": label, "run": to_dict(run), "evaluation": to_dict(evaluation),
        "trial": trial, "starts_from": before and relative(before),
        "learning_rates": [[rate, relative(cell)] for rate, cell in tried.items()]})
    return QueuedCell(directory, label, (*([before] if before else []), *tried.values()))
