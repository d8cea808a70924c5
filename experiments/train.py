"""Train one model: one config, one seed, one directory. Running the same command again goes on where it stopped.

Without --config, a directory that has a config.json is trained by that.
"""

import pathlib

from absl import flags, logging

from arch_zoo.config import RunConfig
from arch_zoo.errors import UserError
from arch_zoo.training.layout import CONFIG_FILE, RESULT_FILE
from experiments import program
from experiments.environment import restart_in_fast_environment
from experiments.studies.layout import STUDY_FILE

WORKDIR = flags.DEFINE_string("workdir", None, "directory of the run (required); an unfinished run in it is resumed")
PLAN = flags.DEFINE_bool("plan", False, "say what the run would need (memory, the largest batch, tokens/s), and end")


def main(config: RunConfig, arguments: list[str]) -> int | None:
    """Claim the directory, train, write result.json."""
    if PLAN.value:
        return _plan(config)
    if WORKDIR.value is None:
        raise UserError("--workdir=DIR is required: the directory of the run")
    from arch_zoo.data.prepare import prepare_data
    from arch_zoo.files import read_json, write_json_atomic
    from arch_zoo.training import loop
    from arch_zoo.training.workdir import claim, describe_environment
    from experiments.studies.plan import record_of_run

    workdir = pathlib.Path(WORKDIR.value)
    with claim(workdir, config):
        if (workdir / RESULT_FILE).exists():
            result = read_json(workdir / RESULT_FILE)
            logging.info("%s is done already", workdir)
        else:
            program.use_compilation_cache(config.data.cache_dir)
            data = prepare_data(config.data, config.require)
            if not (workdir / STUDY_FILE).exists():
                write_json_atomic(workdir / STUDY_FILE, record_of_run(config, data, f"Run {workdir.name}",
                                                                        describe_environment(data), program.command()))
            result = loop.train(config, data, workdir)
            write_json_atomic(workdir / RESULT_FILE, result)
    print(f"{workdir}: {result['steps']} steps, {result['tokens']:,} tokens, held-out loss of "
          f"{config.objective.name} {result['evaluation_loss']:.4f}, {result['train_seconds']:.0f} s of training; "
          f"python -m experiments.report {workdir} draws it")


def _plan(config: RunConfig) -> None:
    from experiments.planning import plan_text

    program.use_compilation_cache(config.data.cache_dir)
    print(plan_text(config))


def config_of_directory() -> str | None:
    """The config.json of --workdir, where there is one."""
    path = pathlib.Path(WORKDIR.value or "", CONFIG_FILE)
    return str(path) if WORKDIR.value and path.exists() else None


if __name__ == "__main__":
    restart_in_fast_environment()  # before the config is loaded: its variants import JAX, which would be done twice
    program.run(main, __doc__, RunConfig, default_config=config_of_directory)
