"""A study of one arm with three seeds, planned to the last file, whose cells a test then runs."""

import os
import pathlib

from arch_zoo.config import RunConfig
from arch_zoo.data.prepare import prepare_data
from experiments.studies.cells import write_cells
from experiments.studies.config import Arm, StudyConfig
from experiments.studies.plan import make_plan, study_record
from tests.evaluation.toy_text import documents
from tests.toy import tiny_config


def base_in(folder: pathlib.Path) -> RunConfig:
    """A run of four steps on text that is written there."""
    for seed, (split, count) in enumerate({"train": 60, "validation": 12, "test": 12}.items()):
        (folder / f"{split}.txt").write_text("\n\n".join(documents(seed, count)))
    return tiny_config(model__depth=1, data__length=24, batch_size=4, steps=4, log_every=2, evaluate_every=4,
                       evaluate_batches=2, checkpoint_every=4, devices=1, data__corpus=str(folder),
                       data__tokenizer__vocab_size=340, data__cache_dir=str(folder / "cache"))


def study_of(base: RunConfig, **changes) -> StudyConfig:
    fields = {"base": base, "arms": (Arm("only", {}),), "seeds": 3, "match": "steps", "metrics": ()}
    return StudyConfig(**fields | changes)


def planned(study: StudyConfig, workdir: pathlib.Path) -> dict:
    """The study's cells by their place in the directory."""
    data = prepare_data(study.base.data)
    record = study_record(study, make_plan(study, lambda _: data), {}, "", metrics=[])
    cells = write_cells(study, workdir, record)
    return {os.path.relpath(cell.directory, workdir): cell for cell in cells}
