"""A run's model as others use it: with its parameters, and with the tokenizer whose ids they stand for."""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import flax.linen as nn

from arch_zoo.config import RunConfig
from arch_zoo.data.prepare import prepare_data
from arch_zoo.data.tokenizers import Tokenizer, open_tokenizer
from arch_zoo.errors import UserError
from arch_zoo.files import read_json
from arch_zoo.settings import override
from arch_zoo.training.layout import ENVIRONMENT_FILE, TOKENIZER
from arch_zoo.training.starting import load_parameters
from arch_zoo.training.workdir import load_config


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedRun:
    """A run as far as it has come, or an imported one. `model` is the config's own, without what only trains it."""

    workdir: pathlib.Path
    config: RunConfig
    tokenizer: Tokenizer
    model: nn.Module
    parameters: Any


def open_run(workdir: pathlib.Path, changes: Mapping[str, Any] | None = None) -> TrainedRun:
    """The run in a directory; `changes` to its config by dotted path, such as another objective to be asked by.

    UserError where the directory holds no run, no parameters or no tokenizer, or the objective needs another one.
    """
    config = load_config(workdir)
    parameters = config.objective.kept(load_parameters(workdir))
    changed = override(config, changes or {})
    if changed.model != config.model:
        raise UserError(f"{workdir}: its model is trained; only what it is asked can be changed, not model.…")
    rows = len(parameters["embedding"]["token_embedding"])
    tokenizer = tokenizer_of_run(workdir, config, rows)
    changed.require(tokenizer)
    model = config.model.architecture.build(config.model, rows, config.dtype)
    return TrainedRun(workdir, changed, tokenizer, model, parameters)


def open_predicting_run(workdir: pathlib.Path, changes: Mapping[str, Any] | None = None) -> TrainedRun:
    """As `open_run`, of a run whose model predicts tokens; UserError where it has no head for them."""
    if not load_config(workdir).model.vocabulary_head:
        raise UserError(f"{workdir}: its model has no head that predicts tokens, so it gives texts no likelihood and "
                        f"writes none; it can be fine-tuned")
    return open_run(workdir, changes)


def tokenizer_of_run(workdir: pathlib.Path, config: RunConfig, rows: int) -> Tokenizer:
    """The tokenizer whose ids the `rows` of a run's embedding stand for: the copy in its directory, or its config's.

    UserError where there is none, or only another one than the run was trained with.
    """
    found, why = _candidates(workdir, config), "it came without a tokenizer and was not trained here"
    if (workdir / ENVIRONMENT_FILE).exists():
        trained_with = read_json(workdir / ENVIRONMENT_FILE).get("tokenizer_sha256")
        found = (one for one in found if one.sha256 == trained_with)
        why = "neither its directory nor its config has the tokenizer it was trained with"
    tokenizer = next(found, None)
    if tokenizer is None:
        raise UserError(f"{workdir}: {why}")
    if tokenizer.vocabulary.size > rows:
        raise UserError(f"{tokenizer.model_path} has {tokenizer.vocabulary.size} ids, the embedding of {workdir} only "
                        f"{rows} rows")
    tokenizer.vocabulary = dataclasses.replace(tokenizer.vocabulary,
                                               decoder_start_id=config.data.tokenizer.decoder_start_id)
    return tokenizer


def _candidates(workdir: pathlib.Path, config: RunConfig) -> Iterator[Tokenizer]:
    """The tokenizers that may be the run's, likeliest first; opened one at a time."""
    if (workdir / TOKENIZER).is_dir():
        yield open_tokenizer(workdir / TOKENIZER)
    if config.data.tokenizer.model is not None:
        yield open_tokenizer(config.data.tokenizer.model)
    elif (workdir / ENVIRONMENT_FILE).exists():
        yield prepare_data(config.data).tokenizer
