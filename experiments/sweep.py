"""Run every combination of some values with every seed, as a study. The same command resumes it.

    python -m experiments.sweep --config=configs/base.py --sweep='model.depth=2,4,8' --sweep='model.gated=true,false'
    python -m experiments.sweep --config=configs/base.py --sweep_file=configs/sweeps/positions.py

Several --sweep make a grid. A value that holds commas stands in brackets: --sweep='model.windows=[0],[0,128]'.
--study.FIELD=VALUE sets a field of the study, e.g. --study.pairs=200; python -m experiments.study --help lists them.
--match=steps, the default here, leaves each combination the run that its values say; to sweep steps, use --match=none.
"""

import ast
import pathlib

from absl import flags

from arch_zoo.config import RunConfig
from arch_zoo.errors import UserError
from arch_zoo.settings import FieldError, Settings
from experiments import program
from experiments.environment import heed_flag
from experiments.studies import running, sweeps
from experiments.studies.config import StudyConfig

SWEEP = flags.DEFINE_multi_string("sweep", [], "FIELD=VALUE,VALUE,…, once for each field; a grid of them all is run")
SWEEP_FILE = flags.DEFINE_string("sweep_file", None, "a Python file with get_hyper(hyper), which returns what "
                                                     "hyper.sweep, product, zipit and chainit make; with --sweep as "
                                                     "well, a grid of both")
MAX_CELLS = flags.DEFINE_integer("max_cells", 200, "refuse a sweep of more cells, those of learning rates on trial "
                                              "included", lower_bound=1)
flags.adopt_module_key_flags(running)


def load(source: str | None, overrides: dict[str, str], config_class: type[Settings]) -> running.Asked:
    """The whole study, so that every mistake in it is found before anything runs."""
    how, overrides = running.split(overrides)
    of_study = {path.removeprefix("study."): text for path, text in overrides.items() if path.startswith("study.")}
    of_run = {path: text for path, text in overrides.items() if not path.startswith("study.")}
    base = program.load_config(source, of_run, config_class)
    parts, title = [(f"--sweep={text}", sweeps.parse_sweep(text)) for text in SWEEP.value], ""
    if SWEEP_FILE.value is not None:
        found = program.call_in_file("sweep_file", SWEEP_FILE.value, "get_hyper", sweeps.Hyper)
        found = sweeps.checked_combinations(found, f"{SWEEP_FILE.value}: what get_hyper(hyper) returns")
        parts.insert(0, (SWEEP_FILE.value, found))
        title = _first_line_about(SWEEP_FILE.value.partition(":")[0])
    if not parts:
        raise UserError("nothing to sweep: --sweep='FIELD=VALUE,VALUE' or --sweep_file=FILE is required")
    combinations = sweeps.Hyper.product([part for _, part in parts])
    try:
        return running.Asked(sweeps.make_study(base, combinations, of_study, MAX_CELLS.value, title), how)
    except FieldError as error:
        giver = next((giver for giver, part in parts if any(error.path in combination for combination in part)), None)
        raise error if giver is None else UserError(f"{giver}: {error}") from None


def _first_line_about(path: str) -> str:
    about = ast.get_docstring(ast.parse(pathlib.Path(path).read_text(encoding="utf-8"))) or ""
    return about.partition("\n")[0].rstrip(".")


def main(asked: running.Asked, arguments: list[str]) -> int | None:
    """Run it as any study is run."""
    return running.run_study(asked.config, asked.running)


if __name__ == "__main__":
    program.run(main, __doc__, RunConfig, load=load,
                aliases={"study": "study", "seeds": "study.seeds", "match": "study.match", **running.aliases()},
                beside={"running": running.Running, "study": StudyConfig}, before=heed_flag)
