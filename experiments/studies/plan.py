"""From a study's config to the runs it consists of: solve what must match, and print what it costs."""

import bisect
import dataclasses
import functools
from typing import Any

from arch_zoo.analysis.ledger import Ledger, make_ledger
from arch_zoo.config import RunConfig
from arch_zoo.data.prepare import Data
from arch_zoo.data.tokenizers import Vocabulary
from arch_zoo.errors import UserError
from arch_zoo.training.timing import time_steps
from experiments.studies.config import Arm, StudyConfig, refuse_undeclared

_TOLERANCE = {"tokens": 0.01, "steps": 0.0, "flops": 0.02, "params": 0.05, "seconds": 0.05}


@dataclasses.dataclass(frozen=True)
class Plan:
    """The runs of a study (each still without its seed), and their cost."""

    configs: dict[str, RunConfig]
    ledgers: dict[str, Ledger]


def make_plan(study: StudyConfig, data: Data) -> Plan:
    """Solve `study.match` against the reference arm; UserError where no solution comes near enough."""
    vocabulary = data.tokenizer.vocabulary
    configs = study.arm_configs()
    reference = configs[study.reference_arm]
    solved, path = _SOLVERS[study.match](study, configs, reference, data)
    refuse_undeclared(solved, (*study.varies, *path))
    ledgers = {slug: make_ledger(config, vocabulary) for slug, config in solved.items()}
    _assert_matched(study.match, ledgers, study.reference_arm)
    return Plan(solved, ledgers)


def _by_steps(wanted_steps):
    """A solver that sets each arm's number of steps, and with it the schedule."""
    def solve(study, configs, reference, data):
        steps = {slug: max(1, round(wanted_steps(config, reference, data))) for slug, config in configs.items()}
        return {slug: config.replace(steps=steps[slug]) for slug, config in configs.items()}, ("steps",)
    return solve


def _steps_of_equal_tokens(config: RunConfig, reference: RunConfig, data: Data) -> float:
    return reference.steps * reference.batch_size * reference.data.length / (config.batch_size * config.data.length)


def _steps_of_equal_flops(config: RunConfig, reference: RunConfig, data: Data) -> float:
    vocabulary = data.tokenizer.vocabulary
    wanted = make_ledger(reference, vocabulary).flops
    return wanted / make_ledger(config.replace(steps=1), vocabulary).flops


def _steps_of_equal_seconds(config: RunConfig, reference: RunConfig, data: Data) -> float:
    fastest = [time_steps(run, data, steps=5).seconds[0] for run in (reference, config)]
    return reference.steps * fastest[0] / fastest[1]


def _solve_params(study: StudyConfig, configs: dict[str, RunConfig], reference: RunConfig, data: Data):
    """Change the width (in whole heads) or the depth of each arm until its parameters come nearest the reference's."""
    vocabulary = data.tokenizer.vocabulary
    wanted = make_ledger(reference, vocabulary).params

    def nearest(config: RunConfig) -> RunConfig:
        candidates = _candidates(config, study.match_params_by)  # ascending, in parameters too
        params = functools.cache(lambda i: make_ledger(candidates[i], vocabulary).params)
        above = bisect.bisect_left(range(len(candidates)), wanted, key=params)
        around = (i for i in (above - 1, above) if 0 <= i < len(candidates))
        return candidates[min(around, key=lambda i: abs(params(i) - wanted))]

    solved = {slug: config if slug == study.reference_arm else nearest(config) for slug, config in configs.items()}
    return solved, (f"model.{study.match_params_by}",)


def _candidates(config: RunConfig, by: str) -> list[RunConfig]:
    model = config.model
    unit = 2 * model.heads if by == "width" else 1  # an even size of head, as rotary needs
    start = getattr(model, by)
    sizes = range(unit, 3 * start + unit, unit) if by == "depth" else range(unit * 2, 3 * start + unit, unit)
    return [config.replace(model=model.replace(**{by: size})) for size in sizes]


def _unchanged_steps(config: RunConfig, reference: RunConfig, data: Data) -> float:
    return reference.steps


_SOLVERS = {"tokens": _by_steps(_steps_of_equal_tokens), "steps": _by_steps(_unchanged_steps),
            "flops": _by_steps(_steps_of_equal_flops), "seconds": _by_steps(_steps_of_equal_seconds),
            "params": _solve_params}


def _assert_matched(match: str, ledgers: dict[str, Ledger], reference: str) -> None:
    if match == "seconds":  # solved from a measurement; the ledger has no seconds before the runs
        return
    wanted = getattr(ledgers[reference], match)
    for slug, ledger in ledgers.items():
        have = getattr(ledger, match)
        if abs(have - wanted) > _TOLERANCE[match] * wanted:
            raise UserError(f"arm {slug}: {match} cannot be matched: {have:,.0f} against {wanted:,.0f} of {reference}, "
                            f"{abs(have / wanted - 1):.1%} off; allowed are {_TOLERANCE[match]:.0%}")


def ledger_text(plan: Plan, vocabulary: Vocabulary) -> str:
    """The ledger as a table for the terminal."""
    head = ["arm", "params", "non-emb.", "FLOPs/token", "FLOPs", "tokens", "≤ with loss", "steps"]
    rows = [[slug, *(_short(getattr(ledger, name)) for name in ("params", "non_embedding_params", "flops_per_token",
                                                                "flops", "tokens", "loss_tokens")), str(ledger.steps)]
            for slug, ledger in plan.ledgers.items()]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = ["  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in
                       enumerate(zip(row, widths, strict=True))) for row in [head, *rows]]
    return "\n".join(lines)


def _short(number: float) -> str:
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.3g}"


def record_of_run(config: RunConfig, data: Data, title: str, environment: dict[str, Any],
                  command: str) -> dict[str, Any]:
    """study.json of a single run: a study of one arm and one seed, whose cell is the directory itself."""
    arm = Arm(f"{config.model.architecture.name}, {config.objective.name}", {})
    study = StudyConfig(title=title, base=config, arms=(arm,), match="steps")
    record = study_record(study, make_plan(study, data), environment, command, metrics=[])
    return {**record, "seeds": [config.seed], "cells": "."}


def study_record(study: StudyConfig, plan: Plan, environment: dict[str, Any], command: str,
                 metrics: list[dict[str, Any]]) -> dict[str, Any]:
    """study.json: everything the report needs to know besides the cells, and where they lie."""
    from arch_zoo.settings import to_dict
    from arch_zoo.settings_view import flatten
    from experiments.studies.config import differing_fields

    differs = differing_fields(plan.configs)
    any_config = next(iter(plan.configs.values()))
    return {"name": study.title, "title": study.title, "question": study.question, "command": command,
            "arms": [{"name": arm.name, "slug": arm.slug, "overrides": arm.overrides} for arm in study.arms],
            "varies": list(study.varies), "match": study.match, "seeds": list(range(study.seeds)),
            "cells": "cells/{arm}/seed_{seed}", "reference": study.reference_arm, "metrics": metrics,
            "claims": [to_dict(claim) for claim in study.claims],
            "configs": {slug: to_dict(config) for slug, config in plan.configs.items()},
            "asserted_equal": {path: value for path, value in flatten(any_config).items() if path not in differs},
            "differs": differs, "ledger": {slug: dataclasses.asdict(ledger) for slug, ledger in plan.ledgers.items()},
            "environment": environment}
