"""Runs that differ in seed or learning rate alone, trained as one program: as a command of its own, and in studies."""

import contextlib
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
from absl import logging

from arch_zoo.config import RunConfig
from arch_zoo.data.prepare import Data, prepare_data
from arch_zoo.data.tokenizers import Vocabulary
from arch_zoo.errors import NotFinite, UserError
from arch_zoo.files import read_json, write_json_atomic
from arch_zoo.settings import override
from arch_zoo.training.layout import RESULT_FILE
from arch_zoo.training.loop import train_together
from arch_zoo.training.planning import members_that_fit
from arch_zoo.training.workdir import claim, describe_environment
from experiments import program
from experiments.studies.config import Arm
from experiments.studies.layout import CELL_FILE, STUDY_FILE, TRAINING_FILE
from experiments.studies.plan import record_of_runs
from experiments.studies.queue import QueuedCell, take

# --- a command of its own ----------------------------------------------------------------------------------------

def train_group(config: RunConfig, workdir: pathlib.Path, seeds: int, rates: Sequence[str] | None) -> int | None:
    """Train every member that has no result yet; each is a run of its own, in WORKDIR/seed_0 and the like."""
    arms = _arms(config, rates)
    numbers = range(config.seed, config.seed + seeds)
    places = "{arm}/seed_{seed}" if rates else "seed_{seed}"
    configs = {places.format(arm=arm.slug, seed=seed): override(config, {**arm.overrides, "seed": seed,
                                                                         "vectorize": ()})
               for arm in arms for seed in numbers}
    with claim(workdir, config):
        program.use_compilation_cache(config.data.cache_dir)
        data = prepare_data(config.data, config.require)
        _write_record(workdir, config, arms, numbers, data, places)
        waiting = {workdir / place: one for place, one in configs.items()
                   if not (workdir / place / RESULT_FILE).exists()}
        found = _trained(waiting, data, workdir.name)
        failed = [f"{place.name}: {one}" for place, one in found.items() if isinstance(one, NotFinite)]
        for place in configs:
            _tell(workdir / place, found.get(workdir / place))
    print(f"python -m experiments.report {workdir} draws them")
    return program.FAILED if failed else None


def _write_record(workdir: pathlib.Path, config: RunConfig, arms: Sequence[Arm], seeds: Sequence[int], data: Data,
                  places: str) -> None:
    """study.json of all members that were ever asked for here: a later command may name others."""
    before = read_json(workdir / STUDY_FILE) if (workdir / STUDY_FILE).exists() else {"arms": [], "seeds": []}
    known = {arm["name"]: Arm(arm["name"], arm["overrides"]) for arm in before["arms"]}
    every_arm = known | {arm.name: arm for arm in arms}
    every_seed = sorted({*before["seeds"], *seeds})
    if len(every_arm) > len(known) or every_seed != before["seeds"]:
        record = record_of_runs(config, tuple(every_arm.values()), data, f"Runs {workdir.name}",
                                describe_environment(data), program.command())
        write_json_atomic(workdir / STUDY_FILE, {**record, "seeds": every_seed, "cells": places})


def count_members(config: RunConfig, seeds: int, rates: Sequence[str] | None) -> int:
    """How many runs `train_group` would train together, were none done."""
    return seeds * len(_arms(config, rates))


def _arms(config: RunConfig, rates: Sequence[str] | None) -> tuple[Arm, ...]:
    path = "optimizer.learning_rate"
    if rates is None:
        return (Arm(f"{config.model.architecture.name}, {config.objective.name}"),)
    values = [override(config, {path: rate}).optimizer.learning_rate for rate in rates]  # refuses what is no rate
    return tuple(Arm(f"learning rate {rate:g}", {path: rate}) for rate in dict.fromkeys(values))


def _trained(waiting: dict[pathlib.Path, RunConfig], data: Data, label: str) -> dict[pathlib.Path, Any]:
    """What each gave; results are written down."""
    if not waiting:
        return {}
    with contextlib.ExitStack() as claims:
        for place, config in waiting.items():
            claims.enter_context(claim(place, config))
        found = dict(zip(waiting, train_together(list(waiting.values()), data, list(waiting), label), strict=True))
        for place, one in found.items():
            if not isinstance(one, NotFinite):
                write_json_atomic(place / RESULT_FILE, one)
    return found


def _tell(place: pathlib.Path, found: Any) -> None:
    if isinstance(found, NotFinite):
        print(f"{place}: FAILED: {found}")
        return
    result = found or read_json(place / RESULT_FILE)
    print(f"{place}: {result['steps']} steps, held-out loss {result['evaluation_loss']:.4f}")


# --- in a study --------------------------------------------------------------------------------------------------

def differ_in(config: RunConfig) -> tuple[str, ...]:
    """In what the runs of a program differ: as the config says, or, on a device that one small run cannot fill, seeds.
    """
    return config.vectorize or (() if jax.default_backend() == "cpu" else ("seeds", "learning_rate"))


@contextlib.contextmanager
def joined(workdir: pathlib.Path, cell: dict[str, Any], config: RunConfig,
           vocabulary: Vocabulary) -> Iterator[dict[pathlib.Path, RunConfig]]:
    """{directory: config} of the study's cells that are trained with this one, itself first.

    They are those of its group that have not begun and wait for nothing, as many as fit in memory, and they are held as
    by a runner. Once trained they are let go: whoever takes one next finds its training done and has only to measure
    it.
    """
    wanted = differ_in(config)
    open_places = [place for kind, relative in cell.get("group", [])
                   if kind in wanted and not ((place := (workdir / relative).resolve()) / TRAINING_FILE).exists()
                   and not (place / RESULT_FILE).exists()]
    room = members_that_fit(config, vocabulary, len(open_places) + 1) if open_places else 1
    with contextlib.ExitStack() as held:
        group = {workdir: config}
        for place in open_places:
            if len(group) == room:
                logging.info("no more than %d runs fit in memory together", room)
                break
            with contextlib.suppress(UserError):  # it is taken, or cannot be had: another time, by itself
                one = _held(place, held)
                if one is not None:
                    group[place] = one
        if len(group) > 1:
            logging.info("trained together with %s", ", ".join(os.path.relpath(place, workdir) for place in
                                                               list(group)[1:]))
        yield group


def _held(place: pathlib.Path, held: contextlib.ExitStack) -> RunConfig | None:
    """The config of a cell that is now held; None where it is taken already, or begins where another has not ended."""
    from experiments.studies.cells import resolved

    with contextlib.ExitStack() as until_it_fits:  # what is not trained here is let go at once, for other runners
        lock = take(QueuedCell(place, ""))
        if lock is None:
            return None
        until_it_fits.callback(os.close, lock)
        cell = read_json(place / CELL_FILE)
        needed = [*filter(None, [cell["starts_from"]]), *(relative for _, relative in cell["learning_rates"])]
        if any(not (place / relative / RESULT_FILE).exists() for relative in needed):
            return None
        config = resolved(place, cell)
        until_it_fits.enter_context(claim(place, config))
        held.push(until_it_fits.pop_all())
        return config
