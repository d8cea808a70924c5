"""Reproduce a published ablation, and see the paper's numbers beside one's own.

    python -m experiments.reproduce                                              # those there are, and what they cost
    python -m experiments.reproduce --table=t5.t2 --scale=bench --data=FOLDER --workdir=runs/t5_t2
    python -m experiments.reproduce --table=t5.t2 --scale=paper --dry_run        # the paper's own sizes and recipe

--data names a folder with the protocol's data (docs/ablations.md), a text FILE.txt, a dataset tfds:NAME, or pairs as
SOURCES,TARGETS; without it built-in data stands in at bench scale, and TFDS's at others.
"""

import pathlib

from absl import flags

from arch_zoo.errors import UserError
from experiments import program
from experiments.environment import heed_flag
from experiments.studies import running
from experiments.studies.config import StudyConfig

TABLE = flags.DEFINE_string("table", None, "which ablation: the paper and its table; none lists them")
SCALE = flags.DEFINE_string("scale", "bench", "bench: minutes on two cores; gpu: half an hour on one; paper: its own")
DATA = flags.DEFINE_string("data", None, "folder with the text, pairs or labelled texts of the protocol, or FILE.txt, "
                                         "tfds:NAME, or pairs as SOURCES,TARGETS")
PAGE = flags.DEFINE_string("page", None, "folder for a short page about what was found, with a plot: docs/ablations")
flags.adopt_module_key_flags(running)


def main(asked: running.Asked, arguments: list[str]) -> int | None:
    """List them, or run one as any study is run."""
    from experiments.ablations import catalogue, listing

    study = asked.config
    if study is None:
        print(listing.table(catalogue.ablations().values()))
        return None
    if running.DRY_RUN.value and PAGE.value is not None:
        raise UserError("--page is about what was found, and --dry_run runs nothing; give one of them")
    if running.DRY_RUN.value:  # sizes are enough, but to match what is measured
        return running.dry_run(study, asked.running, None if study.match == "seconds" else listing.nominal_data)
    code = running.run_study(study, asked.running)
    if PAGE.value is not None:
        from experiments.ablations.page import write_page

        print(f"page: {write_page(pathlib.Path(running.WORKDIR.value), pathlib.Path(PAGE.value), TABLE.value)}")
    return code


def load(source: str | None, overrides: dict[str, str], config_class: type) -> running.Asked:
    """The study is named by --table, and what is overridden is applied to it; None where they are to be listed."""
    if source is not None:
        raise UserError(f"--config={source}: this program takes --table=NAME; experiments.study takes a config")
    how, rest = running.split(overrides)
    if TABLE.value is None:
        if overrides or any(flag.present for flag in (SCALE, DATA, PAGE, running.WORKDIR, running.DRY_RUN)):
            raise UserError("--table=NAME is required: the ablation to plan or to run; without any option they are "
                            "listed")
        return running.Asked(None, how)
    from experiments.ablations import catalogue

    return running.Asked(catalogue.find(TABLE.value, SCALE.value).study(SCALE.value, DATA.value, rest), how)


if __name__ == "__main__":
    program.run(main, __doc__, StudyConfig, aliases={"seeds": "seeds", "match": "match", **running.aliases()},
                load=load, beside={"running": running.Running}, before=heed_flag)
