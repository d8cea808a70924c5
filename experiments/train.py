"""Train one model: one config, one seed, one directory. Running the same command again goes on where it stopped.

Without --config, a directory that has a config.json is trained by that. With --config.vectorize=seeds --seeds=N, or
--config.vectorize=learning_rate --learning_rates=1e-3,3e-3, or both, several are trained as one program, each in a
directory of its own below --workdir that is a run like any other.
"""

import contextlib
import pathlib

from absl import flags, logging

from arch_zoo.config import RunConfig
from arch_zoo.errors import UserError
from arch_zoo.training.layout import CONFIG_FILE, RESULT_FILE
from experiments import program, several
from experiments.environment import restart_in_fast_environment
from experiments.studies.layout import STUDY_FILE

WORKDIR = flags.DEFINE_string("workdir", None, "directory of the run (required); an unfinished run in it is resumed")
PLAN = flags.DEFINE_bool("plan", False, "say what the run would need (memory, the largest batch, tokens/s), and end")
SEEDS = flags.DEFINE_integer("seeds", None, "with vectorize=seeds: how many, from config.seed on", lower_bound=1)
RATES = flags.DEFINE_list("learning_rates", None, "with vectorize=learning_rate: which")
flags.adopt_module_key_flags(several)


def main(config: RunConfig, arguments: list[str]) -> int | None:
    """Claim the directory, train, write result.json; of several processes, the first one claims and writes."""
    for name, flag in (("seeds", SEEDS), ("learning_rate", RATES)):
        if (name in config.vectorize) != (flag.value is not None):
            raise UserError(f"--config.vectorize={name} and --{flag.name} belong together: give both or neither")
    if RATES.value == []:
        raise UserError("--learning_rates= names none; expected for instance --learning_rates=1e-3,3e-3")
    if PLAN.value:
        return _plan(config)
    if WORKDIR.value is None:
        raise UserError("--workdir=DIR is required: the directory of the run")
    several.join_the_others()
    from arch_zoo.data.prepare import prepare_data
    from arch_zoo.files import read_json, write_json_atomic
    from arch_zoo.training import loop, processes
    from arch_zoo.training.workdir import claim, describe_environment
    from experiments.studies.plan import record_of_run

    workdir, held = pathlib.Path(WORKDIR.value), contextlib.ExitStack()
    if SEEDS.value is not None or RATES.value is not None:
        from experiments.studies.together import train_group

        processes.require_one("vectorize")
        return train_group(config, workdir, SEEDS.value or 1, RATES.value)
    processes.told_by_first(lambda: held.enter_context(claim(workdir, config)))
    with held:
        if processes.told_by_first((workdir / RESULT_FILE).exists):
            result = read_json(workdir / RESULT_FILE)
            logging.info("%s is done already", workdir)
        else:
            program.use_compilation_cache(config.data.cache_dir)
            data = prepare_data(config.data, config.require)
            if processes.is_first() and not (workdir / STUDY_FILE).exists():
                write_json_atomic(workdir / STUDY_FILE, record_of_run(config, data, f"Run {workdir.name}",
                                                                        describe_environment(data), program.command()))
            result = loop.train(config, data, workdir)
            if processes.is_first():
                write_json_atomic(workdir / RESULT_FILE, result)
    if processes.is_first():
        print(f"{workdir}: {result['steps']} steps, {result['tokens']:,} tokens, held-out loss of "
              f"{config.objective.name} {result['evaluation_loss']:.4f}, {result['train_seconds']:.0f} s of training; "
              f"python -m experiments.report {workdir} draws it")


def _plan(config: RunConfig) -> None:
    several.refuse("--plan is for one process and the devices that it sees", "python -m benchmarks.mesh_memory says "
                   "what each device of another mesh would hold")
    from experiments.planning import plan_text
    from experiments.studies.together import count_members

    program.use_compilation_cache(config.data.cache_dir)
    print(plan_text(config, count_members(config, SEEDS.value or 1, RATES.value)))


def config_of_directory() -> str | None:
    """The config.json of --workdir, where there is one."""
    path = pathlib.Path(WORKDIR.value or "", CONFIG_FILE)
    return str(path) if WORKDIR.value and path.exists() else None


if __name__ == "__main__":
    program.run(main, __doc__, RunConfig, default_config=config_of_directory, before=restart_in_fast_environment)
