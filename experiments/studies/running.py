"""Run a study, whoever made it: plan it once, work on its queue, build its report. The same call resumes it."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from absl import flags

from arch_zoo.config import RunConfig
from arch_zoo.errors import UserError
from arch_zoo.files import read_json, write_json_atomic
from arch_zoo.settings import Settings, override, setting
from experiments import program
from experiments.engines.base import ENGINES, Crew
from experiments.environment import restart_in_fast_environment
from experiments.studies.config import StudyConfig
from experiments.studies.layout import STUDY_FILE

WORKDIR = flags.DEFINE_string("workdir", None, "directory of the study, required to run it; an unfinished study is "
                                               "resumed")
DRY_RUN = flags.DEFINE_bool("dry_run", False, "print what would run, its ledger and an estimate of the time")
_PATIENCE = 600.0  # seconds in which another runner should have planned the study


@dataclasses.dataclass(frozen=True)
class Running(Settings):
    """How cells come to run: nothing that changes a result."""

    engine: Any = setting("local", "where cells run", variant=ENGINES)
    retries: int = setting(1, "how often a cell that fails is tried again", low=0)


@dataclasses.dataclass(frozen=True)
class Asked:
    """What the flags of a program that runs studies say."""

    config: Any
    running: Running


def aliases() -> dict[str, str]:
    """{flag: path} of the options of running: each engine's under their own names."""
    options = {field.name: f"running.engine.{field.name}" for engine in ENGINES.entries()
               for field in dataclasses.fields(engine)}
    return {"engine": "running.engine", "retries": "running.retries", **options}


def load(source: str | None, overrides: Mapping[str, str], config_class: type[Settings]) -> Asked:
    """How `program.run` makes what was asked from the flags."""
    running, rest = split(overrides)
    return Asked(program.load_config(source, rest, config_class), running)


def split(overrides: Mapping[str, str]) -> tuple[Running, dict[str, str]]:
    """How to run, and the overrides that are of the config."""
    ours = {path.removeprefix("running."): text for path, text in overrides.items() if path.startswith("running.")}
    rest = {path: text for path, text in overrides.items() if not path.startswith("running.")}
    _refuse_options_of_another_engine(ours)
    return override(Running(), ours), rest


def _refuse_options_of_another_engine(ours: Mapping[str, str]) -> None:
    options = {engine.name: {field.name for field in dataclasses.fields(engine)} for engine in ENGINES.entries()}
    chosen = ours.get("engine", Running().engine.name)
    for option in (path.removeprefix("engine.") for path in ours if path.startswith("engine.")):
        owners = [f"--engine={name}" for name, fields in options.items() if option in fields]
        if owners and f"--engine={chosen}" not in owners and chosen in options:
            raise UserError(f"--{option} needs {' or '.join(owners)}")


def run_study(study: StudyConfig, running: Running) -> int | None:
    """What is left of the study in --workdir, or with --dry_run only what it would be; an exit code."""
    if DRY_RUN.value:
        return dry_run(study, running)
    if WORKDIR.value is None:
        raise UserError("--workdir=DIR is required: the directory of the study")
    if study.match == "seconds":  # steps are timed as cells will make them
        restart_in_fast_environment()
    workdir = pathlib.Path(WORKDIR.value)
    with running.engine.crew() as crew:  # what it lacks is said before anything runs, and it gets ready meanwhile
        cells = _planned_cells(study, workdir, prepare_data_of(study))
        failed = _work(cells, crew, running.retries)
    from experiments.report import build_report, terminal_summary

    page = build_report(workdir)
    print(f"\n{terminal_summary(workdir)}\n\nreport: {page}")
    return program.FAILED if failed else None


def dry_run(study: StudyConfig, running: Running, data_of: Callable[[RunConfig], Any] | None = None) -> None:
    """Print what would run, its ledger and an estimate of its time; of the study's own data, or of other `data_of`."""
    restart_in_fast_environment()
    from experiments.studies.dry_run import show

    show(study, data_of or prepare_data_of(study), getattr(running.engine, "max_parallel", 1))


def prepare_data_of(study: StudyConfig):
    """{arm's config: its data}, each tokenized once and before any cell needs it."""
    from arch_zoo.data.prepare import prepare_data

    arms = study.arm_configs().values()

    @functools.cache
    def prepared(data):
        return prepare_data(data, lambda tokenizer: [arm.require(tokenizer) for arm in arms if arm.data == data])

    for arm in arms:
        prepared(arm.data)
    return lambda config: prepared(config.data)


def _planned_cells(study: StudyConfig, workdir: pathlib.Path, data_of) -> list:
    """The study's cells, written to their directories; a resumed study keeps its plan."""
    from arch_zoo.training.workdir import claim, describe_origin
    from experiments.studies.cells import write_cells
    from experiments.studies.metrics import describe, optimum
    from experiments.studies.plan import ledger_text, make_plan, study_record

    program.leave_devices_to_others()
    with claim(workdir, study, patience=_PATIENCE):
        if not (workdir / STUDY_FILE).exists():
            plan = make_plan(study, data_of)
            print(ledger_text(plan), flush=True)
            metrics = describe(study.evaluation, study.base.data)
            data = data_of(study.base)
            record = study_record(study, plan, describe_origin(data), program.command(), metrics)
            write_json_atomic(workdir / STUDY_FILE, {**record, "optimum": optimum(study.evaluation, study.base, data)})
        return write_cells(study, workdir, read_json(workdir / STUDY_FILE))


def _work(cells: list, crew: Crew, retries: int) -> list:
    """Run what is not done; returns the cells that failed."""
    from experiments.studies.progress import StudyProgress
    from experiments.studies.queue import Queue

    if done := sum(cell.done for cell in cells):
        print(f"{done} of {len(cells)} cells are done already", flush=True)
    progress = StudyProgress({cell.directory: cell.label for cell in cells}, done)
    return Queue(cells, crew, retries, progress).run()
