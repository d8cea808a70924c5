"""The cells of a planned study: what each is to run and after which others, written to its directory and read there."""

import os
import pathlib
from typing import Any

from arch_zoo.config import EvaluationConfig, RunConfig
from arch_zoo.errors import UserError
from arch_zoo.files import read_json, write_json_atomic
from arch_zoo.settings import from_dict, to_dict
from arch_zoo.training.layout import RESULT_FILE
from arch_zoo.training.programs import name_of_programs
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
            places = {one: workdir / record["cells"].format(arm=arm.slug, seed=one) for one in record["seeds"]}
            group = [("seeds", place) for one, place in places.items() if one != seed]
            cells[arm.slug, seed] = _write(places[seed], f"{arm.name}, seed {seed}", runs[arm.slug].replace(seed=seed),
                                           study.evaluation_of(arm.slug), before, tried[arm.slug], group)
    return [*(cell for of_arm in tried.values() for cell in of_arm.values()), *cells.values()]


def resolved(workdir: pathlib.Path, cell: dict[str, Any]) -> RunConfig:
    """What the cell trains, now that the cells before it are done: where it begins, and the best learning rate."""
    config = from_dict(RunConfig, cell["run"])
    if cell["starts_from"] is not None:
        config = config.replace(start_from=str((workdir / cell["starts_from"]).resolve()))
    losses = {rate: read_json(workdir / tried / RESULT_FILE)["evaluation_loss"]
              for rate, tried in cell["learning_rates"]}
    if not losses:
        return config
    finite = {rate: loss for rate, loss in losses.items() if loss is not None}
    if not finite:
        raise UserError(f"the loss did not stay finite at any of the learning rates "
                        f"{', '.join(f'{rate:g}' for rate in losses)}")
    return config.replace(optimizer=config.optimizer.replace(learning_rate=min(finite, key=finite.get)))


def _tuning_cells(study: StudyConfig, workdir: pathlib.Path, record: dict[str, Any], arm, run: RunConfig,
                  before: QueuedCell | None) -> dict[float, QueuedCell]:
    """{learning rate: its short run} of one arm; none where the study tunes nothing."""
    steps = study.tuning.steps_of(run.steps)
    places = {rate: workdir / record["tuning"]["cells"].format(arm=arm.slug, rate=rate) for rate in study.tuning.rates}
    return {rate: _write(place, f"{arm.name}, learning rate {rate:g} on trial",
                         run.replace(steps=steps, optimizer=run.optimizer.replace(learning_rate=rate)),
                         EvaluationConfig(metrics=()), before, {},
                         [("learning_rate", one) for one in places.values() if one != place], trial=True)
            for rate, place in places.items()}


def _write(directory: pathlib.Path, label: str, run: RunConfig, evaluation: EvaluationConfig,
           before: QueuedCell | None, tried: dict[float, QueuedCell], group: list[tuple[str, pathlib.Path]],
           trial: bool = False) -> QueuedCell:
    def relative(place: pathlib.Path) -> str:  # so that the study's directory may be moved
        return os.path.relpath(place, directory)

    program = name_of_programs(run)
    write_json_atomic(directory / CELL_FILE, {
        "program": program, "label": label, "run": to_dict(run), "evaluation": to_dict(evaluation),
        "trial": trial, "starts_from": before and relative(before.directory),
        "learning_rates": [[rate, relative(cell.directory)] for rate, cell in tried.items()],
        "group": [[kind, relative(place)] for kind, place in group]})
    return QueuedCell(directory, label, (*([before] if before else []), *tried.values()), program)
