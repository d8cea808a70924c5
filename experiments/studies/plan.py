"""From a study's config to the runs it consists of: solve what must match, and print what it costs."""

import bisect
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from arch_zoo.analysis.ledger import Ledger, make_ledger, parameter_shapes
from arch_zoo.config import RunConfig
from arch_zoo.data.prepare import Data
from arch_zoo.errors import UserError
from arch_zoo.training.timing import time_steps_apart
from experiments.studies.config import Arm, StudyConfig, refuse_undeclared

_TOLERANCE = {"tokens": 0.01, "steps": 0.0, "flops": 0.02, "params": 0.05}
_ADDED_UP = ("flops", "tokens", "loss_tokens", "steps")  # of a ledger, over the arms that an arm starts from

DataOf = Callable[[RunConfig], Data]  # the prepared data of an arm


@dataclasses.dataclass(frozen=True)
class Plan:
    """The runs of a study (each still without its seed), and their cost, that of the arms they start from included."""

    configs: dict[str, RunConfig]
    ledgers: dict[str, Ledger]


def make_plan(study: StudyConfig, data_of: DataOf) -> Plan:
    """Solve `study.match` against the reference arm; UserError where no solution comes near enough."""
    solved = solve(study, data_of)
    path = f"model.{study.match_params_by}" if study.match == "params" else "steps"
    compared = {slug: solved[slug] for slug in study.compared}
    refuse_undeclared(compared, (*study.varies, path))
    _refuse_other_shapes(study, solved, data_of)
    own = {slug: make_ledger(config, data_of(config).tokenizer.vocabulary) for slug, config in solved.items()}
    whole = {slug: _added_up([own[before] for before in study.line_of(slug)], ledger) for slug, ledger in own.items()}
    matched = whole if study.count_preparation else own
    _assert_matched(study.match, {slug: matched[slug] for slug in compared}, study.reference_arm)
    return Plan(solved, whole)


def _added_up(before: list[Ledger], last: Ledger) -> Ledger:
    sums = {name: sum(getattr(one, name) for one in (*before, last)) for name in _ADDED_UP}
    return dataclasses.replace(last, **sums)


def _refuse_other_shapes(study: StudyConfig, configs: dict[str, RunConfig], data_of: DataOf) -> None:
    """UserError where an arm cannot start from another one: now, and not after that one was trained."""
    shapes = {slug: parameter_shapes(config, data_of(config).tokenizer.vocabulary) for slug, config in configs.items()
              if any(slug in (arm.slug, arm.starts_from) for arm in study.arms if arm.starts_from)}
    for arm in study.arms:
        if arm.starts_from and shapes[arm.slug] != shapes[arm.starts_from]:
            raise UserError(f"arm {arm.slug} cannot start from {arm.starts_from}: their parameters differ in "
                            f"{min(shapes[arm.slug].items() ^ shapes[arm.starts_from].items())[0]}")


# --- what must match, solved -------------------------------------------------------------------------------------

def solve(study: StudyConfig, data_of: DataOf) -> dict[str, RunConfig]:
    """{slug: run} with the steps, or the sizes, that make the arms match."""
    configs = study.arm_configs()
    if study.match == "none":
        return configs
    return (_solve_params if study.match == "params" else _solve_steps)(study, configs, data_of)


def _solve_steps(study: StudyConfig, configs: dict[str, RunConfig], data_of: DataOf) -> dict[str, RunConfig]:
    """Set the number of steps, and with it the schedule, of every arm that is compared."""
    price = {slug: _PRICES[study.match](config, data_of) for slug, config in configs.items()}
    solved = dict(configs)

    def spent_before(slug: str) -> float:
        line = study.line_of(slug) if study.count_preparation else []
        return sum(solved[before].steps * price[before] for before in line)

    reference = study.reference_arm
    wanted = spent_before(reference) + configs[reference].steps * price[reference]
    for slug in sorted(study.compared, key=lambda slug: len(study.line_of(slug))):
        left, line = wanted - spent_before(slug), study.line_of(slug)
        if left <= 0 and line:
            raise UserError(f"arm {slug}: nothing is left for it: what it starts from has used up the {study.match} "
                            f"that {reference} has; give {line[-1]} fewer steps, mark it as "
                            f"preparation, or set count_preparation=False")
        solved[slug] = configs[slug].replace(steps=max(1, round(left / price[slug])) if wanted else 0)
    return solved


def _price_in_tokens(config: RunConfig, data_of: DataOf) -> float:
    return config.batch_size * config.data.length


def _price_in_flops(config: RunConfig, data_of: DataOf) -> float:
    return make_ledger(config.replace(steps=1), data_of(config).tokenizer.vocabulary).flops


def _price_in_seconds(config: RunConfig, data_of: DataOf) -> float:
    return time_steps_apart(config, steps=5).seconds[0]  # of the fastest


_PRICES = {"tokens": _price_in_tokens, "flops": _price_in_flops, "seconds": _price_in_seconds,
           "steps": lambda config, data_of: 1}


def _solve_params(study: StudyConfig, configs: dict[str, RunConfig], data_of: DataOf) -> dict[str, RunConfig]:
    """Change the width (in whole heads) or the depth of each arm until its parameters come nearest the reference's."""
    def params_of(config: RunConfig) -> int:
        return make_ledger(config, data_of(config).tokenizer.vocabulary).params

    wanted = params_of(configs[study.reference_arm])

    def nearest(config: RunConfig) -> RunConfig:
        candidates = _candidates(config, study.match_params_by)  # ascending, in parameters too
        params = functools.cache(lambda i: params_of(candidates[i]))
        above = bisect.bisect_left(range(len(candidates)), wanted, key=params)
        around = (i for i in (above - 1, above) if 0 <= i < len(candidates))
        return candidates[min(around, key=lambda i: abs(params(i) - wanted))]

    return configs | {slug: nearest(configs[slug]) for slug in study.compared if slug != study.reference_arm}


def _candidates(config: RunConfig, by: str) -> list[RunConfig]:
    model = config.model
    unit = 2 * model.heads if by == "width" else 1  # an even size of head, as rotary needs
    start = getattr(model, by)
    sizes = range(unit, 3 * start + unit, unit) if by == "depth" else range(unit * 2, 3 * start + unit, unit)
    return [config.replace(model=model.replace(**{by: size})) for size in sizes]


def _assert_matched(match: str, ledgers: dict[str, Ledger], reference: str) -> None:
    if match in ("seconds", "none"):  # seconds are solved from a measurement, of which the ledger knows nothing
        return
    wanted = getattr(ledgers[reference], match)
    for slug, ledger in ledgers.items():
        have = getattr(ledger, match)
        if abs(have - wanted) > _TOLERANCE[match] * wanted:
            raise UserError(f"arm {slug}: {match} cannot be matched: {have:,.0f} against {wanted:,.0f} of {reference}, "
                            f"{abs(have / wanted - 1):.1%} off; allowed are {_TOLERANCE[match]:.0%}")


def ledger_text(plan: Plan) -> str:
    """The ledger as a table for the terminal."""
    head = ["arm", "params", "non-emb.", "FLOPs/token", "FLOPs", "tokens", "≤ with loss", "steps"]
    rows = [[slug, *(short(getattr(ledger, name)) for name in ("params", "non_embedding_params", "flops_per_token",
                                                                "flops", "tokens", "loss_tokens")), str(ledger.steps)]
            for slug, ledger in plan.ledgers.items()]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = ["  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in
                       enumerate(zip(row, widths, strict=True))) for row in [head, *rows]]
    return "\n".join(lines)


def short(number: float) -> str:
    """Three digits and a unit, Z to k."""
    for unit, size in (("Z", 1e21), ("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.3g}"


def record_of_run(config: RunConfig, data: Data, title: str, environment: dict[str, Any],
                  command: str) -> dict[str, Any]:
    """study.json of a single run: a study of one arm and one seed, whose cell is the directory itself."""
    arm = Arm(f"{config.model.architecture.name}, {config.objective.name}", {})
    return {**record_of_runs(config, (arm,), data, title, environment, command), "seeds": [config.seed], "cells": "."}


def record_of_runs(config: RunConfig, arms: tuple[Arm, ...], data: Data, title: str, environment: dict[str, Any],
                   command: str) -> dict[str, Any]:
    """study.json of runs that nothing but their training joins: no metric is shared but their own losses."""
    varies = tuple(dict.fromkeys(path for arm in arms for path in arm.overrides))
    study = StudyConfig(title=title, base=config, arms=arms, varies=varies, match="steps")
    return study_record(study, make_plan(study, lambda _: data), environment, command, metrics=[])


def study_record(study: StudyConfig, plan: Plan, environment: dict[str, Any], command: str,
                 metrics: list[dict[str, Any]]) -> dict[str, Any]:
    """study.json: everything the report needs to know besides the cells, and where they lie."""
    from arch_zoo.settings import to_dict
    from arch_zoo.settings_view import flatten
    from experiments.studies.config import differing_fields

    differs = differing_fields(plan.configs)
    any_config = next(iter(plan.configs.values()))
    return {"name": study.title, "title": study.title, "question": study.question, "command": command,
            "arms": [{**to_dict(arm), "slug": arm.slug} for arm in study.arms],
            "varies": list(study.varies), "match": study.match, "seeds": list(range(study.seeds)),
            "cells": "cells/{arm}/seed_{seed}", "reference": study.reference_arm, "metrics": metrics,
            "tuning": {**to_dict(study.tuning), "cells": "tuning/{arm}/rate_{rate:g}"} if study.tuning.rates else None,
            "scale": study.scale, "stand_in": study.stand_in, "paper": study.paper and to_dict(study.paper),
            "claims": [to_dict(claim) for claim in study.claims],
            "configs": {slug: to_dict(config) for slug, config in plan.configs.items()},
            "asserted_equal": {path: value for path, value in flatten(any_config).items() if path not in differs},
            "differs": differs, "ledger": {slug: dataclasses.asdict(ledger) for slug, ledger in plan.ledgers.items()},
            "environment": environment}
