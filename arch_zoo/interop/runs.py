"""Checkpoints into run directories and back."""

import pathlib
from collections.abc import Collection
from typing import Any

from arch_zoo.config import DataConfig, ModelConfig, OptimizerConfig, RunConfig, TokenizerConfig
from arch_zoo.data.tokenizers import Tokenizer, open_tokenizer
from arch_zoo.data.tokenizers.files import copy_tokenizer, tokenizer_files
from arch_zoo.errors import UserError
from arch_zoo.files import atomic_directory, read_json, write_json_atomic
from arch_zoo.interop.huggingface import export_checkpoint, find_dialect, import_checkpoint
from arch_zoo.interop.tokenizer_files import export_tokenizer
from arch_zoo.layers.visibility import Visibility
from arch_zoo.settings import to_dict
from arch_zoo.tensor_files import flatten_tree
from arch_zoo.training.layout import CONFIG_FILE, TOKENIZER
from arch_zoo.training.starting import load_parameters, write_given_parameters
from arch_zoo.training.trained import tokenizer_of_run
from arch_zoo.training.workdir import load_config, write_parameters

RECORD_FILE = "import.json"
_LENGTH = 128  # tokens in a window, where the model's positions reach so far


def import_run(source: pathlib.Path, workdir: pathlib.Path, ignore_fields: Collection[str] = ()) -> dict[str, Any]:
    """Make a run's directory of a checkpoint: config, parameters, tokenizer; what was found, for the person.

    The directory appears when it is whole. UserError where it is there already or the checkpoint cannot be read.
    """
    refuse_filled(workdir)
    imported = import_checkpoint(source, ignore_fields)
    with atomic_directory(workdir) as home:
        files = copy_tokenizer(tokenizer_files(source), home / TOKENIZER)
        tokenizer = open_tokenizer(home / TOKENIZER) if files else None
        config = run_config(imported.model, tokenizer, workdir / TOKENIZER,
                            imported.values.get("decoder_start_token_id"))
        write_given_parameters(home, imported.parameters)
        write_parameters(home, imported.parameters)
        write_json_atomic(home / RECORD_FILE, {"source": str(source), "model_type": imported.model_type,
                                               "config": dict(imported.values)})
        write_json_atomic(home / CONFIG_FILE, to_dict(config))
    size = sum(array.size for array in flatten_tree(imported.parameters).values())
    return {"model_type": imported.model_type, "tensors": imported.tensors, "parameters": size, "tokenizer": files,
            "config": config}


def run_config(model: ModelConfig, tokenizer: Tokenizer | None, where: pathlib.Path,
               decoder_start_id: int | None = None) -> RunConfig:
    """A run of an imported model: by the objective of its architecture that the tokenizer has the symbols for."""
    length = min(_LENGTH, model.max_len) if model.position.needs_max_len else _LENGTH
    if model.architecture.stacks == 1:
        objective = "masked_lm" if model.architecture.visibility is Visibility.BIDIRECTIONAL else "causal_lm"
    elif tokenizer is None or tokenizer.vocabulary.sentinel_ids:
        objective = "span_corruption"
    else:
        objective = "prefix_lm" if tokenizer.vocabulary.mask_id is None else "denoising"
    chosen = TokenizerConfig()
    if tokenizer is not None:
        differs = decoder_start_id not in (None, tokenizer.vocabulary.start_id)
        chosen = TokenizerConfig(model=str(where), decoder_start_id=decoder_start_id if differs else None)
    # A tenth or less of what random weights take: these are not random.
    return RunConfig(model=model, objective=objective, data=DataConfig(length=length, tokenizer=chosen),
                     optimizer=OptimizerConfig(learning_rate=1e-4))


def export_run(workdir: pathlib.Path, target: pathlib.Path, model_type: str | None = None) -> dict[str, Any]:
    """Write a run's model, as far as it has come, and its tokenizer as a checkpoint; what was written.

    Without a model type an imported model goes back to its own, where that still computes it. UserError where no type
    does, and where the directory is there already.
    """
    refuse_filled(target)
    config = load_config(workdir)
    parameters = config.objective.kept(load_parameters(workdir))
    model = config.model.replace(vocab_size=len(parameters["embedding"]["token_embedding"]))
    if model_type is None and (workdir / RECORD_FILE).exists():
        model_type = _if_it_computes(model, read_json(workdir / RECORD_FILE)["model_type"])
    find_dialect(model, model_type)  # before any time is spent
    tokenizer, said = _tokenizer_of(config, workdir, model.vocab_size)
    with atomic_directory(target) as home:
        written = export_checkpoint(home, model, parameters, model_type, _special_ids(tokenizer, model))
        if tokenizer is not None:
            said = export_tokenizer(tokenizer, home)
    return {"model_type": written, "class": read_json(target / CONFIG_FILE)["architectures"][0], "tokenizer": said}


def refuse_filled(directory: pathlib.Path) -> None:
    """UserError where a directory holds something already."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UserError(f"{directory}: is there already; name a new directory, or remove this one")


def _if_it_computes(model: ModelConfig, model_type: str) -> str | None:
    try:
        return find_dialect(model, model_type)[0].name
    except UserError:
        return None


def _tokenizer_of(config: RunConfig, workdir: pathlib.Path, rows: int) -> tuple[Tokenizer | None, str]:
    """The tokenizer whose ids the `rows` of the embedding stand for, or None and why there is none."""
    try:
        return tokenizer_of_run(workdir, config, rows), ""
    except UserError as error:
        return None, f"none ({error})"


def _special_ids(tokenizer: Tokenizer | None, model: ModelConfig) -> dict[str, int]:
    """The tokenizer's special ids by their names in config.json; a decoder of two stacks starts with ours."""
    if tokenizer is None:
        return {}
    v = tokenizer.vocabulary
    ids = {"pad_token_id": v.pad_id, "bos_token_id": v.bos_id, "eos_token_id": v.eos_id}
    if model.architecture.stacks == 2:
        ids["decoder_start_token_id"] = v.start_id
    return {name: i for name, i in ids.items() if i is not None and i >= 0}
