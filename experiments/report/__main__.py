"""Build the report of a study from what its directory holds, finished or not.

    python -m experiments.report WORKDIR
"""

import pathlib

from arch_zoo.errors import UserError
from experiments import program


def main(arguments: list[str]) -> None:
    """Write the report's files into the study's directory and print the short version."""
    if len(arguments) != 1:
        raise UserError(f"one argument is needed, the directory of a study; got {len(arguments)}")
    from experiments.report import build_report, terminal_summary

    workdir = pathlib.Path(arguments[0])
    page = build_report(workdir)
    print(f"{terminal_summary(workdir)}\n\nreport: {page}")


if __name__ == "__main__":
    program.run(main, __doc__)
