"""Run one cell of a study: train, measure the shared metrics, write result.json. Started by an engine.

Where the engine keeps its processes, this one then goes on with cells like it.
"""

import pathlib

from absl import flags

from experiments import program
from experiments.engines import local, workers

WORKDIR = flags.DEFINE_string("workdir", None, "directory of the cell, with the cell.json that the study wrote")


def main(arguments: list[str]) -> int | None:
    """Train and measure; what is done already is not done again. A failure is left in failed.json."""
    local.settle_in()
    from arch_zoo.training.programs import LastPrograms
    from experiments.studies.one_cell import run_and_tell

    kept = LastPrograms()
    for workdir in workers.cells(pathlib.Path(WORKDIR.value)):
        run_and_tell(workdir, kept)


if __name__ == "__main__":
    program.run(main, __doc__)
