"""Quality against cost: which arms nothing else beats at their cost."""

import dataclasses
from typing import Any

from arch_zoo.analysis.statistics import format_number
from experiments.report.findings import Comparison, Findings, compare, corrected, listed
from experiments.report.record import Metric
from experiments.report.table import quantity

COSTS = {"flops": "training FLOPs", "params": "parameters"}  # fields of the ledger
_NAMED = 6     # names that a sentence can hold
_EQUAL = 0.01  # costs within this share of each other are the same: what a study matches is matched no better


@dataclasses.dataclass(frozen=True)
class Front:
    """One metric against one cost. `order` is by cost; an arm of the front is better than every cheaper one."""

    metric: Metric
    cost: str
    costs: dict[str, float]
    order: tuple[str, ...]
    front: tuple[str, ...]
    behind: dict[str, Comparison]  # by arm off the front: the best arm of the front at its cost against it


def find_fronts(findings: Findings) -> list[Front]:
    """For each cost in which the arms differ, and each metric that two arms of different cost have."""
    study = findings.study
    fronts = []
    for cost in COSTS:
        known = {slug: study.record["ledger"].get(slug, {}).get(cost) for slug in study.compared}
        for metric in study.metrics:
            costs = {slug: value for slug, value in known.items() if value and (slug, metric.key) in findings.intervals}
            if costs and max(costs.values()) > (1 + _EQUAL) * min(costs.values()):
                fronts.append(_front(findings, metric, cost, costs))
    return fronts


def _front(findings: Findings, metric: Metric, cost: str, costs: dict[str, float]) -> Front:
    sign = 1 if metric.better == "higher" else -1
    quality = {slug: sign * findings.intervals[slug, metric.key].mean for slug in costs}

    def beats(a: str, b: str) -> bool:
        """At no more cost, and better; or as good and cheaper."""
        no_dearer = costs[a] <= (1 + _EQUAL) * costs[b]
        cheaper = costs[a] * (1 + _EQUAL) < costs[b]
        return no_dearer and (quality[a] > quality[b] or (quality[a] == quality[b] and cheaper))

    order = tuple(sorted(costs, key=lambda slug: (costs[slug], -quality[slug])))
    front = tuple(slug for slug in order if not any(beats(other, slug) for other in costs))
    rivals = {slug: max((other for other in front if beats(other, slug)), key=quality.get, default=None)
              for slug in order if slug not in front}
    compared = corrected([compare(findings.study, metric, rival or front[0], slug) for slug, rival in rivals.items()])
    return Front(metric, cost, costs, order, front, dict(zip(rivals, compared, strict=True)))


def told_apart(fronts: list[Front]) -> list[str]:
    """The costs whose fronts are worth showing: not those in which every metric has the fronts of the cost before."""
    shown: list[str] = []
    for cost in dict.fromkeys(front.cost for front in fronts):
        own = {front.metric.key: (front.order, front.front) for front in fronts if front.cost == cost}
        if all(own != {front.metric.key: (front.order, front.front) for front in fronts if front.cost == other}
               for other in shown):
            shown.append(cost)
    return shown


def front_in_words(findings: Findings, front: Front) -> str:
    """The arms of the front with their cost and value, and those that seeds cannot tell from it."""
    names = findings.study.quoted
    unit = {"flops": " FLOPs", "params": " parameters"}[front.cost]
    shown = [f"{i}\u00a0{names[slug]} ({_cost(front.costs[slug])}{unit if i == 1 else ''}: "
             f"{format_number(findings.intervals[slug, front.metric.key].mean)})"
             for i, slug in enumerate(front.front, 1)]
    words = f"{front.metric.title}: nothing else beats {listed(shown)} at {'its' if len(shown) == 1 else 'their'} cost."
    near = [names[slug] for slug, c in front.behind.items() if c.p is not None and not c.significant]
    if near:
        words += f" Behind the front, but not beyond the noise: {listed(near, _NAMED)}."
    return words


def _cost(value: float) -> str:
    return quantity(value).replace(" ", "\u00a0")


def fronts_json(fronts: list[Front]) -> list[dict[str, Any]]:
    """For results.json."""
    return [{"metric": front.metric.key, "cost": front.cost, "front": list(front.front),
             "not_told_from_it": [slug for slug, c in front.behind.items() if not c.significant]} for front in fronts]
