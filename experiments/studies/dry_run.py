"""What a study would run, what that costs and how long it takes here: printed before anything runs."""

import os
import textwrap
from collections.abc import Mapping
from typing import Any

from arch_zoo.machine import usable_cores
from arch_zoo.settings import Settings
from arch_zoo.settings_view import flatten, not_default
from experiments import program
from experiments.studies import estimate
from experiments.studies.config import Arm, StudyConfig
from experiments.studies.plan import DataOf, ledger_text, make_plan, short
from experiments.studies.sweep_names import shown

# Said of every base, whether they are the defaults or not.
_MAIN = ("steps", "batch_size", "dtype", "model.architecture", "model.width", "model.depth", "model.heads", "objective",
         "data.corpus", "data.length", "optimizer.kind", "optimizer.learning_rate")
_WIDTH = 120


def show(study: StudyConfig, data_of: DataOf, max_parallel: int) -> None:
    """Print it all; steps are timed on the share of cores that a cell will have."""
    cores, load = usable_cores(), os.getloadavg()[0]
    at_once = min(max_parallel, len(cores), len(study.arms) * study.cells_of_arm)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores[::at_once])  # before JAX starts its threads
    program.use_compilation_cache(study.base.data.cache_dir)
    plan = make_plan(study, data_of)
    print(f"{description(study)}\n\n{ledger_text(plan)}\n", flush=True)
    if too_long := estimate.too_long(plan):
        slug, flops = too_long
        print(f"no estimate of time: a step of {slug} has {short(flops)}FLOPs, which takes long on this machine")
        return
    times = estimate.estimate(plan, data_of)
    share = f"{len(cores[::at_once])} of {len(cores)} cores"
    print(estimate.estimate_text(times, study, estimate.workers_here(at_once), share, load))


def description(study: StudyConfig) -> str:
    """The study in words: its cells, its base, how it is measured, its arms, and what is claimed of them."""
    lines = [*filter(None, (study.title, study.question)), *([f"stand-in: {study.stand_in}"] if study.stand_in else []),
             "", f"{len(study.arms) * study.cells_of_arm} cells: {len(study.arms)} arms × {study.cells_of_arm_text}, "
                 f"matched by {study.match}, compared with {study.reference_arm}",
             *([f"learning rates on trial: {', '.join(map(shown, study.tuning.rates))}, each for "
                f"{study.tuning.share:.0%} of the steps"] if study.tuning.rates else []),
             "", "the base: its main sizes, and all that is not as by default", _values(study.base, _MAIN),
             "", "measured by", _values(study.evaluation, ("metrics",)),
             "", "the arms", *map(_arm_text, study.arms)]
    claims = [f"  {claim.text} ({': '.join(filter(None, (claim.source, claim.numbers)))})"
              f"{'' if claim.verified else ' [M]'}; expected: {claim.expectation}" for claim in study.claims]
    return "\n".join([*lines, *(["", "claims, and what is expected here", *claims] if claims else [])])


def _values(settings: Settings, always: tuple[str, ...]) -> str:
    """Fields that are not as by default, and some that are said always."""
    chosen = {*always, *not_default(settings)}
    text = ", ".join(f"{path}={shown(value)}" for path, value in flatten(settings).items() if path in chosen)
    return textwrap.fill(text, _WIDTH, initial_indent="  ", subsequent_indent="  ", break_long_words=False,
                         break_on_hyphens=False)


def _arm_text(arm: Arm) -> str:
    changes: Mapping[str, Any] = {**arm.overrides, **{f"evaluation.{path}": v for path, v in arm.evaluation.items()}}
    said = ", ".join(f"{path}={value}" for path, value in changes.items()) or "the base"
    return f"  {arm.name}: {said}" + (f"; starts from {arm.starts_from}" if arm.starts_from else "") + \
        ("; only prepares others" if arm.preparation else "")
