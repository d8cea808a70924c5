"""Run a study: every arm with every seed, the shared metrics, and the report. The same command resumes it.

    python -m experiments.study --config=configs/studies/families.py --workdir=runs/families

Several runners may work in one directory, here or on machines that share it: none runs a cell that another one has.
"""

from absl import flags

from arch_zoo.errors import UserError
from experiments import program
from experiments.environment import heed_flag
from experiments.studies import running
from experiments.studies.config import StudyConfig

flags.adopt_module_key_flags(running)


def main(asked: running.Asked, arguments: list[str]) -> int | None:
    """Plan, run the cells that are not done, build the report."""
    if not asked.config.arms:
        raise UserError("--config=FILE is required: a study with arms, e.g. --config=configs/studies/families.py")
    return running.run_study(asked.config, asked.running)


if __name__ == "__main__":
    program.run(main, __doc__, StudyConfig, aliases={"match": "match", "seeds": "seeds", **running.aliases()},
                load=running.load, beside={"running": running.Running}, before=heed_flag)
