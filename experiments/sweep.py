"""Run every combination of some values with every seed, as a study. The same command resumes it.

    python -m experiments.sweep --config=configs/base.py --sweep='model.depth=2,4,8' --sweep='model.gated=true,false'
    python -m experiments.sweep --config=configs/base.py --sweep_file=configs/sweeps/positions.py

Several --sweep make a grid. A value that holds commas stands in brackets: --sweep='model.windows=[0],[0,128]'.
--study.FIELD=VALUE sets a field of the study, e.g. --study.pairs=200; python -m experiments.study --help lists them.
"""

import ast
import os
import pathlib
import typing

from absl import flags

from arch_zoo.config import RunConfig
from arch_zoo.errors import UserError
from arch_zoo.machine import usable_cores
from arch_zoo.settings import Settings, field_types
from experiments import program
from experiments.environment import heed_flag, restart_in_fast_environment
from experiments.studies import running, sweeps
from experiments.studies.config import StudyConfig

SWEEP = flags.DEFINE_multi_string("sweep", [], "FIELD=VALUE,VALUE,…, once for each field; a grid of them all is run")
SWEEP_FILE = flags.DEFINE_string("sweep_file", None, "a Python file with get_hyper(hyper), which returns what "
                                                     "hyper.sweep, product, zipit and chainit make; with --sweep as "
                                                     "well, a grid of both")
SEEDS = flags.DEFINE_integer("seeds", 3, "seeds 0, 1, … of every combination", lower_bound=1)
MATCH = flags.DEFINE_enum("match", "steps", typing.get_args(field_types(StudyConfig)["match"]),
                          "what all combinations must have equal. steps: each is the run that its values say, and "
                          "nothing else differs; none: nothing, which a sweep of steps needs; any other match changes "
                          "steps or size, which nobody has swept")
MAX_CELLS = flags.DEFINE_integer("max_cells", 200, "refuse a sweep of more cells, combinations × seeds", lower_bound=1)
flags.adopt_module_key_flags(running)


def load(source: str | None, overrides: dict[str, str], config_class: type[Settings]) -> running.Asked:
    """The whole study, so that every mistake in it is found before anything runs."""
    how, overrides = running.split(overrides)
    of_study = {path.removeprefix("study."): text for path, text in overrides.items() if path.startswith("study.")}
    of_run = {path: text for path, text in overrides.items() if not path.startswith("study.")}
    base = program.load_config(source, of_run, config_class)
    parts, title = [sweeps.parse_sweep(text) for text in SWEEP.value], ""
    if SWEEP_FILE.value is not None:
        found = program.call_in_file("sweep_file", SWEEP_FILE.value, "get_hyper", sweeps.Hyper)
        parts.insert(0, sweeps.checked_combinations(found, f"{SWEEP_FILE.value}: what get_hyper(hyper) returns"))
        title = _first_line_about(SWEEP_FILE.value.partition(":")[0])
    if not parts:
        raise UserError("nothing to sweep: --sweep='FIELD=VALUE,VALUE' or --sweep_file=FILE is required")
    changes = {"seeds": SEEDS.value, "match": MATCH.value, **of_study}
    study = sweeps.make_study(base, sweeps.Hyper.product(parts), changes, MAX_CELLS.value, title)
    return running.Asked(study, how)


def _first_line_about(path: str) -> str:
    about = ast.get_docstring(ast.parse(pathlib.Path(path).read_text(encoding="utf-8"))) or ""
    return about.partition("\n")[0].rstrip(".")


def main(asked: running.Asked, arguments: list[str]) -> int | None:
    """Run the study, or print what it would run and how long that takes."""
    if running.DRY_RUN.value:
        return dry_run(asked.config, getattr(asked.running.engine, "max_parallel", 1))
    return running.run_study(asked.config, asked.running)


def dry_run(study: StudyConfig, max_parallel: int) -> None:
    """Print the cells, the ledger, and an estimate that is timed on the share of cores that a cell will have."""
    restart_in_fast_environment()
    cores, load = usable_cores(), os.getloadavg()[0]
    at_once = min(max_parallel, len(cores), len(study.arms) * study.seeds)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores[::at_once])  # before JAX starts its threads
    data_of = running.prepare_data_of(study)
    from experiments.studies import estimate
    from experiments.studies.plan import ledger_text, make_plan

    program.use_compilation_cache(study.base.data.cache_dir)
    plan = make_plan(study, data_of)
    print(f"{len(study.arms) * study.seeds} cells: {len(study.arms)} combinations × {study.seeds} seeds, compared with "
          f"{study.reference_arm}\n\n{ledger_text(plan)}\n", flush=True)
    times = estimate.estimate(plan, data_of)
    share = f"{len(cores[::at_once])} of {len(cores)} cores"
    print(estimate.estimate_text(times, study.seeds, estimate.workers_here(at_once), share, load))


if __name__ == "__main__":
    program.run(main, __doc__, RunConfig, aliases={"study": "study", **running.aliases()}, load=load,
                beside={"running": running.Running, "study": StudyConfig}, before=heed_flag)
