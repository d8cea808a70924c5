"""A run's directory: whose it is, what made it, whether it is done."""

import contextlib
import fcntl
import importlib.metadata
import os
import pathlib
import platform
import shutil
import subprocess
import textwrap
import time
from collections.abc import Iterator, Mapping
from typing import IO, Any

import jax

from arch_zoo.config import RunConfig
from arch_zoo.data.mixing import MixedCorpus
from arch_zoo.data.prepare import Data
from arch_zoo.data.tokenizers.files import copy_tokenizer
from arch_zoo.errors import UserError
from arch_zoo.files import read_json, write_json_atomic, write_text_atomic
from arch_zoo.machine import usable_cores, xla_threads
from arch_zoo.registry import did_you_mean
from arch_zoo.settings import Settings, from_dict, to_dict
from arch_zoo.settings_view import difference
from arch_zoo.training.layout import CONFIG_FILE, ENVIRONMENT_FILE, LOCK_FILE, METRICS_FILE, TOKENIZER
from arch_zoo.training.starting import PARAMETERS

_HOW_IT_IS_SPREAD = ("parallel", "devices", "mesh")  # over devices: numbers change by the order of summation only
_LIBRARIES = ("jax-cuda", "nvidia-cublas", "nvidia-cuda-nvcc", "nvidia-cudnn", "libtpu")  # of the vendor, as packages
_DRIVER = pathlib.Path("/sys/module/nvidia/version")
_TRACES = (METRICS_FILE, "cells")  # of a run, and of a study, that has begun


@contextlib.contextmanager
def claim(workdir: pathlib.Path, config: Settings, patience: float = 0.0) -> Iterator[None]:
    """Hold the directory for this process and this config; a second process, or another config, is refused.

    A start that is refused, before anything was trained, takes back what it wrote: the directory stays free for the
    command that puts it right. `patience`: seconds to wait for another process that is about to end.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    with open(workdir / LOCK_FILE, "w") as lock:
        _lock(lock, workdir, time.monotonic() + patience)
        check_config(workdir, config)
        there = set(workdir.iterdir())
        write_json_atomic(workdir / CONFIG_FILE, to_dict(config))
        try:
            yield
        except UserError:
            if not any((workdir / trace).exists() for trace in _TRACES):
                for path in set(workdir.iterdir()) - there:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            raise


def _lock(file: IO, workdir: pathlib.Path, deadline: float) -> None:
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise UserError(f"{workdir}: another process is working in this directory") from None
            time.sleep(0.1)


def check_config(workdir: pathlib.Path, config: Settings) -> None:
    """UserError, naming the fields, where the directory belongs to another config."""
    path = workdir / CONFIG_FILE
    if not path.exists():
        return
    there = _read_config(path, type(config))
    differing = [(field, values) for field, values in sorted(difference(there, config).items())
                 if field.partition(".")[0] not in _HOW_IT_IS_SPREAD]
    if (workdir / PARAMETERS).exists() and not (workdir / METRICS_FILE).exists():
        # It was given parameters and nothing more: how to train them is free, what they are is not.
        differing = [(field, values) for field, values in differing if field.startswith("model.")]
    if differing:
        shown = ", ".join(f"{p} ({_short(there)} there, {_short(now)} now)" for p, (there, now) in differing[:5])
        more = f" and {len(differing) - 5} more" if len(differing) > 5 else ""
        raise UserError(f"{workdir}: this directory belongs to another config: {shown}{more}; use another --workdir")


def _read_config(path: pathlib.Path, kind: type[Settings]) -> Settings | Mapping[str, Any]:
    """A config that is there: fields that came later have their defaults, which are what was done before them.

    The bare values where fields that it has are no more.
    """
    values = read_json(path)
    try:
        return from_dict(kind, values)
    except UserError:
        return values


def _short(value: Any) -> str:
    return textwrap.shorten(str(value), 50, placeholder=" …")


def write_environment(workdir: pathlib.Path, data: Data) -> None:
    """environment.json: versions, the machine, git commit, hashes of corpus and tokenizer. A copy of the tokenizer."""
    if not (workdir / TOKENIZER).is_dir():  # an imported run came with its own
        copy_tokenizer(data.tokenizer.files, workdir / TOKENIZER)
    write_json_atomic(workdir / ENVIRONMENT_FILE, describe_environment(data))


def describe_environment(data: Data) -> dict[str, Any]:
    """What may change numbers without being in the config; it starts the device."""
    return describe_origin(data) | _describe_machine()


def describe_origin(data: Data) -> dict[str, Any]:
    """The part that is the same on every machine where this is installed: versions, commit, corpus, tokenizer."""
    versions = {name: importlib.metadata.version(name)
                for name in ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "sentencepiece")}
    return {"python": platform.python_version(), **versions, "git_commit": git_commit(),
            "corpus_sha256": data.corpus_fingerprint, **_corpora_of_a_mixture(data),
            "tokenizer_sha256": data.tokenizer.sha256}


def _describe_machine() -> dict[str, Any]:
    """What computes, and what this process was told about how."""
    device = jax.devices()[0]
    return {"device": device.device_kind, "devices": jax.device_count(),
            **({} if device.platform == "cpu" else _accelerator(device)), "cores": len(usable_cores()),
            "threads": xla_threads(), "xla_flags": os.environ.get("XLA_FLAGS", ""),
            "glibc_tunables": os.environ.get("GLIBC_TUNABLES", "")}


def _accelerator(device: jax.Device) -> dict[str, str]:
    """Versions of what stands between XLA and an accelerator: its runtime, its driver, the libraries of its vendor."""
    packages = {name: one.version for one in importlib.metadata.distributions()
                if (name := one.name or "").startswith(_LIBRARIES)}  # what is half installed has none
    driver = {"driver": _DRIVER.read_text().strip()} if _DRIVER.exists() else {}
    return {"runtime": " ".join(device.client.platform_version.split()), **driver, **dict(sorted(packages.items()))}


def _corpora_of_a_mixture(data: Data) -> dict[str, str]:
    if not isinstance(data.corpus, MixedCorpus):
        return {}
    return {f"corpus_sha256 of {corpus.name}": corpus.fingerprint for corpus in data.corpus.corpora}


def git_commit() -> str:
    """The commit of the code, and whether it was changed since; "unknown" outside of a repository."""
    here = pathlib.Path(__file__).parent
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True)
        dirty = subprocess.run(["git", "status", "--porcelain", "-uno"], cwd=here, capture_output=True, text=True)
        return commit.stdout.strip() + (" with changes" if dirty.stdout.strip() else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def write_parameters(workdir: pathlib.Path, parameters: Any) -> None:
    """parameters.txt: every array with its path, shape and size, and the total."""
    leaves = jax.tree_util.tree_leaves_with_path(parameters)
    rows = [("/".join(key.key for key in path), str(tuple(leaf.shape)), f"{leaf.size:,}") for path, leaf in leaves]
    rows.append(("total", "", f"{sum(leaf.size for _, leaf in leaves):,}"))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    text = "".join(f"{r[0]:<{widths[0]}}  {r[1]:<{widths[1]}}  {r[2]:>{widths[2]}}\n" for r in rows)
    write_text_atomic(workdir / "parameters.txt", text)


def load_config(workdir: pathlib.Path) -> RunConfig:
    """The config of a run's directory."""
    if not (workdir / CONFIG_FILE).is_file():
        siblings = [str(path.parent) for path in workdir.parent.glob(f"*/{CONFIG_FILE}")]
        raise UserError(f"{workdir}: not the directory of a run: it has no {CONFIG_FILE}."
                        f"{did_you_mean(str(workdir), siblings)}")
    return from_dict(RunConfig, read_json(workdir / CONFIG_FILE))
