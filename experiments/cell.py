"""Run one cell of a study: train, measure the shared metrics, write result.json. Started by an engine."""

import pathlib

from absl import flags

from experiments import program
from experiments.engines import local

WORKDIR = flags.DEFINE_string("workdir", None, "directory of the cell, with the cell.json that the study wrote")


def main(arguments: list[str]) -> int | None:
    """Train and measure; what is done already is not done again. A failure is left in failed.json."""
    local.settle_in()
    from experiments.studies.one_cell import run_and_tell

    run_and_tell(pathlib.Path(WORKDIR.value))


if __name__ == "__main__":
    program.run(main, __doc__)
