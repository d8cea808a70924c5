"""The report's tables, as values that the HTML page, the Markdown page and the terminal all print."""

from arch_zoo.analysis.statistics import DEFINITIONS, Interval, detectable_difference, format_number, item_noise
from experiments.report.findings import Comparison, Findings
from experiments.report.record import Metric
from experiments.report.table import Entry, Notes, Table, arm_entry, bounds, columns, short_p, signed

_SEEDS_IN_LINE = 5


def results_table(findings: Findings) -> Table:
    """Arms by shared metrics: mean, 95 % interval over seeds; the best only where it can be told from all others.

    A metric whose optimum is known has a second column, with the distance from it.
    """
    study, notes = findings.study, Notes()
    arrows = {"higher": "↑", "lower": "↓"}
    head, rows = [Entry("Arm")], [[arm_entry(study, slug, "reference" if slug == study.reference else "")]
                                  for slug in study.compared]
    levels = {"Chance": [metric.chance for metric in study.metrics],
              "Optimum": [study.optimum(metric) for metric in study.metrics]}
    below = {name: [Entry(name)] for name, found in levels.items() if any(value is not None for value in found)}
    for i, metric in enumerate(study.metrics):
        optimum = study.optimum(metric)
        head.append(Entry(f"{metric.title}\u00a0{arrows[metric.better]}", metric.unit))
        for slug, row in zip(study.compared, rows, strict=True):
            row.append(_result(findings, slug, metric, notes))
        for name, row in below.items():
            row.append(Entry("–" if levels[name][i] is None else format_number(levels[name][i])))
        if optimum is None:
            continue
        head.append(Entry("Above the optimum" if metric.better == "lower" else "Below the optimum", metric.unit))
        for slug, row in zip(study.compared, rows, strict=True):
            row.append(_from_optimum(findings.intervals.get((slug, metric.key)), optimum, metric))
        for row in below.values():
            row.append(Entry("–"))
    return Table(tuple(head), tuple(map(tuple, [*rows, *below.values()])), notes.all())


def _from_optimum(interval: Interval | None, optimum: float, metric: Metric) -> Entry:
    if interval is None:
        return Entry("–")
    ends = [None if value is None else value - optimum if metric.better == "lower" else optimum - value
            for value in (interval.mean, interval.low, interval.high)]
    low, high = ends[1:] if metric.better == "lower" else reversed(ends[1:])
    return Entry(format_number(ends[0]), bounds(low, high))


def _result(findings: Findings, slug: str, metric: Metric, notes: Notes) -> Entry:
    study = findings.study
    interval = findings.intervals.get((slug, metric.key))
    if interval is None:
        reasons = study.reasons(slug, metric.key) or ["no seed of this arm has a result"]
        return Entry("n/a", mark=notes.mark("; ".join(reasons)))
    remarks = []
    if interval.count < len(study.seeds):
        remarks.append(f"{interval.count} of {len(study.seeds)} seeds")
    elif findings.at_chance(slug, metric):
        remarks.append("the interval holds the chance level")
    if len({study.how(other, metric.key) for other in study.compared} - {""}) > 1:
        remarks.append(study.how(slug, metric.key))
    small = bounds(interval.low, interval.high) or "one seed"
    return Entry(format_number(interval.mean), small, ", ".join(map(notes.mark, remarks)),
                 strong=findings.best(metric.key) == slug)


def comparisons_table(findings: Findings) -> Table:
    """Every other arm against the reference, metric by metric."""
    study = findings.study
    head = columns("Metric", "Arm", "Advantage", "95 % interval", "by seed", "p", "Holm\u00a0p", "Reading")
    shown = [c for c in findings.comparisons if c.paired is not None]
    rows = []
    for before, c in zip([None, *shown], shown, strict=False):
        repeats = before is not None and before.metric == c.metric
        rows.append((Entry("") if repeats else Entry(c.metric.title, c.metric.unit), arm_entry(study, c.first),
                     *_paired(c), Entry(_reading(c), strong=c.significant)))
    return Table(head, tuple(rows), labels=2)


def comparisons_in_words(findings: Findings) -> str:
    """How many arms were found better and worse than the reference, metric by metric."""
    said = []
    for metric in findings.study.metrics:
        readings = [_reading(c) for c in findings.comparisons if c.metric == metric and c.paired is not None]
        better, worse = readings.count("better"), readings.count("worse")
        if readings:
            said.append(f"{metric.title}: {better} better, {worse} worse, {len(readings) - better - worse} neither "
                        "beyond the noise")
    return "; ".join(said) + "." if said else ""


def _paired(c: Comparison) -> tuple[Entry, ...]:
    """Mean, interval, differences by seed, p, corrected p."""
    if c.paired is None:
        return (Entry("–"),) * 5
    lines = [c.paired.differences[i:i + _SEEDS_IN_LINE] for i in range(0, len(c.paired.differences), _SEEDS_IN_LINE)]
    by_seed = "\n".join("  ".join(map(signed, line)) for line in lines)
    return (Entry(signed(c.paired.mean)), Entry(bounds(c.paired.interval.low, c.paired.interval.high, signed) or "–"),
            Entry(by_seed), Entry(short_p(c.paired.p)), Entry(short_p(c.p)))


def _reading(c: Comparison) -> str:
    if c.p is None:
        return "not tested"
    if abs(c.paired.mean) <= c.paired.standard_error:
        return "inside the noise"
    direction = "better" if c.paired.mean > 0 else "worse"
    return direction if c.significant else f"{direction}, not significant"


def claims_table(findings: Findings) -> Table:
    """Each claim: the arms, the difference here, and the verdict."""
    study, rows = findings.study, []
    for number, judged in enumerate(findings.claims, 1):
        c = judged.comparison
        arms = f"{study.names[judged.claim['better_arm']]} > {study.names[judged.claim['worse_arm']]}"
        numbers = _paired(c) if c is not None else (Entry("–"),) * 5
        rows.append((Entry(str(number)), Entry(arms, c.metric.title if c is not None else judged.claim["metric"]),
                     *numbers, Entry(judged.verdict, strong=True)))
    head = columns("", "Claimed", "Advantage", "95 % interval", "by seed", "p", "Holm\u00a0p", "Verdict")
    return Table(head, tuple(rows), labels=2)


def definitions_table() -> Table:
    rows = tuple((Entry(str(word), strong=True), Entry(meaning)) for word, meaning in DEFINITIONS.items())
    return Table(columns("Verdict", "Meaning"), rows, labels=2)


def detectable_table(findings: Findings) -> Table | None:
    """What could have been seen: by metric, for the seeds there are and for more. None with one seed."""
    counts = sorted({len(findings.study.seeds), 5, 10} - {1})
    rows, notes = [], Notes()
    for metric in findings.study.metrics:
        spread = findings.typical_spread(metric.key)
        if spread is None:
            continue
        rows.append((Entry(metric.title, metric.unit), Entry(format_number(spread)),
                     *(Entry(format_number(detectable_difference(spread, n))) for n in counts),
                     _item_noise(findings, metric, notes)))
    head = (Entry("Metric"), Entry("Spread", "sd of paired differences"),
            *(Entry(f"{n} seeds", "can detect") for n in counts), Entry("Test items", "95 % half-width"))
    return Table(head, tuple(rows), notes.all()) if rows else None


def _item_noise(findings: Findings, metric: Metric, notes: Notes) -> Entry:
    """Only a share of right answers has a sampling error that follows from its count."""
    counts = [m.count for cell in findings.study.cells.values() if (m := cell.measured(metric.key)).count]
    means = [i.mean for (_, key), i in findings.intervals.items() if key == metric.key]
    if metric.unit != "accuracy" or not counts or not all(0 <= mean <= 1 for mean in means):
        return Entry("–")
    return Entry(f"±{format_number(max(item_noise(mean, min(counts)) for mean in means))}",
                 mark=notes.mark("of one arm's accuracy, from the choice of test items alone; all arms and seeds share "
                                 "their items, so intervals over seeds leave it out"))
