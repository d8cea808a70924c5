"""Two finished studies side by side: which arms, configs and metrics they share, and how their results differ.

Differences are B less A, and positive where B is better.
"""

import dataclasses

from arch_zoo.analysis.statistics import (
    SIGNIFICANCE,
    Interval,
    Paired,
    Unpaired,
    holm_with_gaps,
    mean_interval,
    paired_comparison,
    welch_comparison,
)
from arch_zoo.errors import UserError
from arch_zoo.settings_view import difference
from experiments.report.record import Metric, Study

_UNIMPORTANT = ("seed", "data.cache_dir")
_DECIDE_BATCHES = ("data.", "batch_size")            # with the seed, these decide what a step reads
_DECIDE_TEXT = ("corpus_sha256", "tokenizer_sha256")  # of the environment
SIDES = ("A", "B")


@dataclasses.dataclass(frozen=True)
class Difference:
    """One arm on one metric, in both studies. `unpaired_because` is '' where seeds are paired."""

    metric: Metric
    arm: str
    sides: tuple[Interval | None, Interval | None]
    tested: Paired | Unpaired | None
    seeds: tuple[int, ...]      # the paired ones
    unpaired_because: str
    p: float | None = None      # after Holm's correction over all differences

    @property
    def significant(self) -> bool:
        return self.p is not None and self.p < SIGNIFICANCE


@dataclasses.dataclass(frozen=True)
class SideBySide:
    """Everything that the comparison shows."""

    studies: tuple[Study, Study]
    arms: tuple[str, ...]
    only: tuple[tuple[str, ...], tuple[str, ...]]                # slugs of arms that one side alone has
    only_metrics: tuple[tuple[str, ...], tuple[str, ...]]        # titles
    fields: dict[str, dict[str, tuple[object, object]]]          # {path: {slug: (in A, in B)}}
    declared: dict[str, dict[str, tuple[object, object]]]        # the same, of paths that either declares to vary
    differences: list[Difference]


def put_side_by_side(a: Study, b: Study) -> SideBySide:
    """Match arms by slug and metrics by key; UserError where nothing is common."""
    arms = tuple(slug for slug in a.compared if slug in b.compared)
    if not arms:
        raise UserError(f"the two studies have no arm in common: A has {', '.join(a.compared)}; "
                        f"B has {', '.join(b.compared)}")
    metrics = [metric for metric in a.metrics if (other := b.metric(metric.key)) and other.better == metric.better]
    if not metrics:
        raise UserError(f"the two studies have no metric in common: A has {_keys(a)}; B has {_keys(b)}")
    fields, declared = _fields(a, b, arms)
    keys = {metric.key for metric in metrics}
    found = [_difference(a, b, metric, slug) for metric in metrics for slug in arms]
    corrected = holm_with_gaps([one.tested and one.tested.p for one in found])
    found = [dataclasses.replace(one, p=p) for one, p in zip(found, corrected, strict=True)]
    only = tuple(tuple(slug for slug in study.compared if slug not in arms) for study in (a, b))
    only_metrics = tuple(tuple(m.title for m in study.metrics if m.key not in keys) for study in (a, b))
    return SideBySide((a, b), arms, only, only_metrics, fields, declared, found)


def _keys(study: Study) -> str:
    return ", ".join(metric.key for metric in study.metrics) or "none"


def _fields(a: Study, b: Study, arms: tuple[str, ...]) -> tuple[dict, dict]:
    """({path: {slug: (in A, in B)}}, the same of what is declared to vary), of matched arms."""
    varies = (*a.record.get("varies", []), *b.record.get("varies", []))
    fields: dict[str, dict] = {}
    declared: dict[str, dict] = {}
    for slug in arms:
        for path, values in difference(a.record["configs"][slug], b.record["configs"][slug]).items():
            if path in _UNIMPORTANT:
                continue
            below = any(path == one or path.startswith(f"{one}.") for one in varies)
            (declared if below else fields).setdefault(path, {})[slug] = values
    return fields, declared


def _difference(a: Study, b: Study, metric: Metric, slug: str) -> Difference:
    values = [study.values(slug, metric.key) for study in (a, b)]
    sides = tuple(mean_interval(list(found.values())) if found else None for found in values)
    seeds = tuple(seed for seed in values[0] if seed in values[1])
    why = _not_pairable(a, b, slug) or (
        "" if len(seeds) > 1 or max(map(len, values)) < 2 and seeds else "fewer than two seeds are common")
    if None in sides:
        return Difference(metric, slug, sides, None, (), "")
    first, second = ([found[seed] for seed in (found if why else seeds)] for found in values)
    if metric.better == "higher":
        first, second = second, first
    tested = welch_comparison(first, second) if why else paired_comparison(first, second)
    return Difference(metric, slug, sides, tested, () if why else seeds, why)


def _not_pairable(a: Study, b: Study, slug: str) -> str:
    """Why the same seed is not the same data in both studies; '' where it is."""
    paths = [path for path in difference(a.record["configs"][slug], b.record["configs"][slug])
             if path.startswith(_DECIDE_BATCHES) and path not in _UNIMPORTANT]
    environments = [study.record.get("environment", {}) for study in (a, b)]
    hashes = [name for name in _DECIDE_TEXT if None not in (found := [e.get(name) for e in environments])
              and found[0] != found[1]]
    differing = ", ".join([*paths, *hashes])
    return f"the same seed reads other data, by {differing}" if differing else ""
