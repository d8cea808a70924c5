"""One cell of a study: train, measure the shared metrics, write result.json."""

import pathlib
import textwrap
import time
from typing import TYPE_CHECKING

from absl import logging

from arch_zoo.errors import Interrupted, NotFinite, UserError, out_of_memory
from arch_zoo.files import read_json, write_json_atomic
from arch_zoo.settings import from_dict
from arch_zoo.training.layout import RESULT_FILE
from experiments import program
from experiments.studies.layout import CELL_FILE, FAILED_FILE, TRAINING_FILE

if TYPE_CHECKING:
    from arch_zoo.training.programs import LastPrograms

_LONGEST_ERROR = 300  # characters; the log has all of it
_PATIENCE = 120.0  # seconds in which the process of a study that was killed should have saved this cell


def run_and_tell(workdir: pathlib.Path, kept: "LastPrograms | None" = None) -> None:
    """`run_cell`; a failure is left in failed.json as well as raised."""
    (workdir / FAILED_FILE).unlink(missing_ok=True)
    try:
        run_cell(workdir, kept)
    except Interrupted:
        raise
    except Exception as error:
        text = str(error) if isinstance(error, UserError) else \
            out_of_memory(error) or f"{type(error).__name__}: {error}"
        write_json_atomic(workdir / FAILED_FILE, {"error": textwrap.shorten(text, _LONGEST_ERROR)})
        raise


def run_cell(workdir: pathlib.Path, kept: "LastPrograms | None" = None) -> None:
    """The whole cell, in a claimed directory; `kept` as in `train`."""
    if (workdir / RESULT_FILE).exists():
        return
    from arch_zoo.config import EvaluationConfig
    from arch_zoo.data.prepare import prepare_data
    from arch_zoo.training.programs import LastPrograms
    from arch_zoo.training.workdir import claim
    from experiments.studies.cells import resolved
    from experiments.studies.metrics import groups

    began, kept = time.monotonic(), kept or LastPrograms()
    cell = read_json(workdir / CELL_FILE)
    config, evaluation = resolved(workdir, cell), from_dict(EvaluationConfig, cell["evaluation"])
    with claim(workdir, config, patience=_PATIENCE):
        program.use_compilation_cache(config.data.cache_dir)
        data = prepare_data(config.data)
        try:
            training = _training(workdir, cell, config, data, kept)
        except NotFinite as error:
            if not cell["trial"]:
                raise
            write_json_atomic(workdir / RESULT_FILE, {"evaluation_loss": None, "problem": str(error)})
            return
        metrics, samples = _measured(workdir, config, data, evaluation, kept) if groups(evaluation) else ({}, [])
        write_json_atomic(workdir / RESULT_FILE, {**training, "seconds": time.monotonic() - began, "metrics": metrics,
                                                  "samples": samples})


def _measured(workdir: pathlib.Path, config, data, evaluation, kept: "LastPrograms") -> tuple[dict, list]:
    """(the shared metrics, samples) of the trained parameters."""
    from arch_zoo.evaluation.samples import sample
    from arch_zoo.training.checkpoints import Checkpoints
    from arch_zoo.training.setup import Setup
    from experiments.studies.metrics import Evaluated, groups, measure

    setup = Setup.of(config, data)
    programs = kept.of(config, setup.vocab_size)
    abstract = programs.abstract_state(setup.train.batch_at(0, programs.alone.rows))
    checkpoints = Checkpoints(workdir / "checkpoints")
    state, _ = checkpoints.restore(config.steps, abstract)
    checkpoints.close()
    run = Evaluated(setup, state.parameters, evaluation)
    metrics = {}
    for name in groups(evaluation):
        logging.info("measuring %s", name)
        metrics |= _once(workdir / "shared_metrics" / f"{name}.json", lambda name=name: measure(name, run))
    return metrics, [sample(setup, state.parameters)]


def _training(workdir: pathlib.Path, cell: dict, config, data, kept: "LastPrograms") -> dict:
    """What the training gave, of this process or of an earlier one; cells that may be trained with it are, too."""
    from arch_zoo.training.loop import train_together
    from experiments.studies.together import joined

    path = workdir / TRAINING_FILE
    if not path.exists():
        with joined(workdir, cell, config, data.tokenizer.vocabulary) as group:
            found = train_together(list(group.values()), data, list(group), cell["label"], kept)
            for place, one in zip(group, found, strict=True):
                if not isinstance(one, NotFinite):
                    write_json_atomic(place / TRAINING_FILE, one)
        if isinstance(found[0], NotFinite):
            raise found[0]
    return read_json(path)


def _once(path: pathlib.Path, make) -> dict:
    """What an earlier, interrupted run of this cell left in the file, or what `make()` gives, kept there."""
    if not path.exists():
        write_json_atomic(path, make())
    return read_json(path)
