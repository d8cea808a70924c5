"""From a study's record to what it found: intervals, paired comparisons, verdicts, and the answer in words."""

import dataclasses
import statistics
from typing import Any

from arch_zoo.analysis.statistics import (
    SIGNIFICANCE,
    Interval,
    Paired,
    Verdict,
    comparison_in_words,
    format_number,
    holm_with_gaps,
    mean_interval,
    paired_comparison,
    verdict,
)
from experiments.report.record import Metric, Study

_NAMED = 6  # names that a sentence can hold


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two arms on one metric: positive differences mean that `first` is better, whichever way the metric points."""

    metric: Metric
    first: str
    second: str
    seeds: tuple[int, ...]
    paired: Paired | None
    p: float | None = None  # after Holm's correction within its table

    @property
    def significant(self) -> bool:
        return self.p is not None and self.p < SIGNIFICANCE


@dataclasses.dataclass(frozen=True)
class JudgedClaim:
    """A claim with what this study has to say on it."""

    claim: dict[str, Any]
    comparison: Comparison | None
    verdict: Verdict
    words: str


@dataclasses.dataclass(frozen=True)
class Findings:
    """Everything that the report computes."""

    study: Study
    intervals: dict[tuple[str, str], Interval]   # by (arm, metric)
    comparisons: list[Comparison]                # every other arm against the reference
    standings: dict[str, list[Comparison]]       # by metric: the arm with the best mean against each other one
    claims: list[JudgedClaim]

    def leader(self, key: str) -> str | None:
        """The arm with the best mean, however little that may say."""
        have = [slug for slug in self.study.compared if (slug, key) in self.intervals]
        standing = self.standings[key]
        return standing[0].first if standing else have[0] if have else None

    def best(self, key: str) -> str | None:
        """The arm that is better than every other one beyond the noise, if there is one."""
        standing = self.standings[key]
        return standing[0].first if standing and all(c.significant for c in standing) else None

    def typical_spread(self, key: str) -> float | None:
        """Median over the comparisons with the reference of the standard deviation of paired differences."""
        spreads = [c.paired.spread for c in self.comparisons
                   if c.metric.key == key and c.paired is not None and c.paired.spread is not None]
        return statistics.median(spreads) if spreads else None

    def at_chance(self, slug: str, metric: Metric) -> bool:
        """Whether an arm's interval holds the chance level."""
        interval = self.intervals.get((slug, metric.key))
        return metric.chance is not None and interval is not None and interval.contains(metric.chance)


def find(study: Study) -> Findings:
    """Compute everything there is to say about a study, however much of it has run."""
    values = {(slug, m.key): study.values(slug, m.key) for slug in study.compared for m in study.metrics}
    intervals = {place: mean_interval(list(by_seed.values())) for place, by_seed in values.items() if by_seed}
    others = [slug for slug in study.compared if slug != study.reference]
    comparisons = corrected([compare(study, metric, slug, study.reference)
                              for metric in study.metrics for slug in others])
    standings = {metric.key: _standing(study, metric, intervals) for metric in study.metrics}
    return Findings(study, intervals, comparisons, standings, _judge(study))


def compare(study: Study, metric: Metric, first: str, second: str) -> Comparison:
    """Pair two arms by the seeds that both have."""
    a, b = study.values(first, metric.key), study.values(second, metric.key)
    seeds = tuple(seed for seed in study.seeds if seed in a and seed in b)
    if not seeds:
        return Comparison(metric, first, second, seeds, None)
    a, b = [a[seed] for seed in seeds], [b[seed] for seed in seeds]
    return Comparison(metric, first, second, seeds,
                      paired_comparison(a, b) if metric.better == "higher" else paired_comparison(b, a))


def corrected(family: list[Comparison]) -> list[Comparison]:
    """The same with p values after Holm's correction within this family."""
    p_values = holm_with_gaps([c.paired and c.paired.p for c in family])
    return [dataclasses.replace(c, p=p) for c, p in zip(family, p_values, strict=True)]


def _standing(study: Study, metric: Metric, intervals: dict[tuple[str, str], Interval]) -> list[Comparison]:
    have = [slug for slug in study.compared if (slug, metric.key) in intervals]
    if not have:
        return []
    sign = 1 if metric.better == "higher" else -1
    best = max(have, key=lambda slug: sign * intervals[slug, metric.key].mean)
    return corrected([compare(study, metric, best, slug) for slug in have if slug != best])


def _judge(study: Study) -> list[JudgedClaim]:
    claims = study.record.get("claims", [])
    known = [(claim, study.metric(claim["metric"])) for claim in claims]
    family = iter(corrected([compare(study, metric, claim["better_arm"], claim["worse_arm"])
                              for claim, metric in known if metric is not None]))
    judged = []
    for claim, metric in known:
        if metric is None:
            judged.append(JudgedClaim(claim, None, Verdict.NONE, f"This study has no metric {claim['metric']}."))
            continue
        c = next(family)
        band = claim.get("band", 0.0)
        word = verdict(c.paired, c.p, claim.get("expectation", "holds"), band)
        names = study.quoted
        words = comparison_in_words(names[c.first], names[c.second], c.paired, c.p, metric.unit, band)
        judged.append(JudgedClaim(claim, c, word, words))
    return judged


def answer(findings: Findings) -> str:
    """The study's answer in one paragraph: every metric, then every claim."""
    claims = "; ".join(f"“{judged.claim['text']}” ({judged.claim['source']}): {judged.verdict}"
                       for judged in findings.claims)
    return metrics_in_words(findings) + (f" Claims: {claims}." if claims and findings.intervals else "")


def metrics_in_words(findings: Findings) -> str:
    """Which arm is ahead on each metric, and whether that is more than noise."""
    study = findings.study
    if not findings.intervals:
        return "No cell of this study has a result yet, so there is no answer."
    if len(study.seeds) == 1:
        return _one_seed_in_words(findings)
    return " ".join([f"Over {len(study.seeds)} seeds for each of {len(study.compared)} arms:",
                     *(_metric_in_words(findings, metric) for metric in study.metrics)])


def _one_seed_in_words(findings: Findings) -> str:
    study = findings.study
    best = {metric: findings.leader(metric.key) for metric in study.metrics}
    values = [f"{metric.title}: {study.quoted[slug]} ({format_number(findings.intervals[slug, metric.key].mean)})"
              for metric, slug in best.items() if slug is not None]
    return (f"One seed for each arm cannot tell a difference from noise, so this is no answer yet. Best values: "
            f"{'; '.join(values)}.")


def _metric_in_words(findings: Findings, metric: Metric) -> str:
    names, standing = findings.study.quoted, findings.standings[metric.key]
    have = [slug for slug in findings.study.compared if (slug, metric.key) in findings.intervals]
    if not have:
        return f"{metric.title}: no arm has a value."
    best = findings.leader(metric.key)
    value = f"({format_number(findings.intervals[best, metric.key].mean)})"
    if len(have) == 1:
        return f"{metric.title}: only {names[best]} has a value {value}."
    chance = [names[slug] for slug in have if findings.at_chance(slug, metric)]
    if len(chance) == len(have):
        return f"{metric.title}: no arm can be told from chance ({format_number(metric.chance)})."
    tail = f"; {listed(chance, _NAMED)} cannot be told from chance ({format_number(metric.chance)})" if chance else ""
    beyond = [names[c.second] for c in standing if c.significant]
    if len(beyond) == len(standing):
        return f"{metric.title}: {names[best]} is best {value}, beyond the noise{tail}."
    if not any(c.p is not None for c in standing):
        return f"{metric.title}: {names[best]} has the best value {value}, which no pair of seeds could test{tail}."
    led = f"beyond the noise over {listed(beyond, _NAMED)} only" if beyond else "but no lead beyond the noise"
    return f"{metric.title}: {names[best]} has the best mean {value}, {led}{tail}."


def listed(names: list[str], most: int | None = None) -> str:
    """'a, b and c'; of more than `most` names only how many arms they are."""
    if most is not None and len(names) > most:
        return f"{len(names)} arms"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
