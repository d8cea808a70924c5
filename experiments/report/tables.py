"""The report's tables, as values that the HTML page, the Markdown page and the terminal all print."""

import dataclasses
import statistics
from collections.abc import Callable
from typing import Any

from arch_zoo.analysis.statistics import (
    DEFINITIONS,
    detectable_difference,
    format_number,
    item_noise,
)
from experiments.report.findings import Comparison, Findings
from experiments.report.record import Metric, Study

_SEEDS_IN_LINE = 5


@dataclasses.dataclass(frozen=True)
class Entry:
    """One cell of a table: its text, a smaller second line, a footnote's mark, emphasis, and the arm that it names."""

    text: str
    small: str = ""
    mark: str = ""
    strong: bool = False
    arm: str = ""

    @property
    def aside(self) -> str:
        """The second line where there is one line only."""
        return self.small if not self.small or self.small.startswith("[") else f"({self.small})"


@dataclasses.dataclass(frozen=True)
class Table:
    """A table; the first `labels` columns are words, the rest numbers. Every footnote's mark appears in some entry."""

    head: tuple[Entry, ...]
    rows: tuple[tuple[Entry, ...], ...]
    notes: tuple[tuple[str, str], ...] = ()
    labels: int = 1


class Notes:
    """Footnotes: the same text gets the same letter."""

    def __init__(self) -> None:
        self._marks: dict[str, str] = {}

    def mark(self, text: str) -> str:
        return self._marks.setdefault(text, _letter(len(self._marks)))

    def all(self) -> tuple[tuple[str, str], ...]:
        return tuple((mark, text) for text, mark in self._marks.items())


def _letter(n: int) -> str:
    return chr(ord("a") + n % 26) * (n // 26 + 1)


def arm_entry(study: Study, slug: str, small: str = "") -> Entry:
    return Entry(study.names[slug], small, arm=slug)


def signed(value: float) -> str:
    """A number that always shows its sign."""
    text = format_number(value)
    return text if text.startswith("−") else f"+{text}"


def bounds(low: float | None, high: float | None, form: Callable[[float], str] = format_number) -> str:
    return "" if low is None else f"[{form(low)}, {form(high)}]"


def results_table(findings: Findings) -> Table:
    """Arms by shared metrics: mean, 95 % interval over seeds; the best only where it can be told from all others."""
    study, notes = findings.study, Notes()
    arrows = {"higher": "↑", "lower": "↓"}
    head = (Entry("Arm"), *(Entry(f"{m.title}\u00a0{arrows[m.better]}", m.unit) for m in study.metrics))
    rows = [(arm_entry(study, slug, "reference" if slug == study.reference else ""),
             *(_result(findings, slug, metric, notes) for metric in study.metrics)) for slug in study.names]
    if any(metric.chance is not None for metric in study.metrics):
        rows.append((Entry("Chance"), *(Entry("–" if m.chance is None else format_number(m.chance))
                                        for m in study.metrics)))
    return Table(head, tuple(rows), notes.all())


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
    if len({study.how(other, metric.key) for other in study.names} - {""}) > 1:
        remarks.append(study.how(slug, metric.key))
    small = bounds(interval.low, interval.high) or "one seed"
    return Entry(format_number(interval.mean), small, ", ".join(map(notes.mark, remarks)),
                 strong=findings.best(metric.key) == slug)


def comparisons_table(findings: Findings) -> Table:
    """Every other arm against the reference, metric by metric."""
    study = findings.study
    head = _columns("Metric", "Arm", "Advantage", "95 % interval", "by seed", "p", "Holm\u00a0p", "Reading")
    shown = [c for c in findings.comparisons if c.paired is not None]
    rows = []
    for before, c in zip([None, *shown], shown, strict=False):
        repeats = before is not None and before.metric == c.metric
        rows.append((Entry("") if repeats else Entry(c.metric.title, c.metric.unit), arm_entry(study, c.first),
                     *_paired(c), Entry(_reading(c), strong=c.significant)))
    return Table(head, tuple(rows), labels=2)


def _columns(*names: str) -> tuple[Entry, ...]:
    return tuple(Entry(name) for name in names)


def _paired(c: Comparison) -> tuple[Entry, ...]:
    """Mean, interval, differences by seed, p, corrected p."""
    if c.paired is None:
        return (Entry("–"),) * 5
    lines = [c.paired.differences[i:i + _SEEDS_IN_LINE] for i in range(0, len(c.paired.differences), _SEEDS_IN_LINE)]
    by_seed = "\n".join("  ".join(map(signed, line)) for line in lines)
    return (Entry(signed(c.paired.mean)), Entry(bounds(c.paired.interval.low, c.paired.interval.high, signed) or "–"),
            Entry(by_seed), Entry(_p(c.paired.p)), Entry(_p(c.p)))


def _p(p: float | None) -> str:
    if p is None:
        return "–"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


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
    head = _columns("", "Claimed", "Advantage", "95 % interval", "by seed", "p", "Holm\u00a0p", "Verdict")
    return Table(head, tuple(rows), labels=2)


def definitions_table() -> Table:
    rows = tuple((Entry(str(word), strong=True), Entry(meaning)) for word, meaning in DEFINITIONS.items())
    return Table(_columns("Verdict", "Meaning"), rows, labels=2)


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


_LEDGER = (("Parameters", "params"), ("Non-embedding", "non_embedding_params"), ("FLOPs/token", "flops_per_token"),
           ("FLOPs", "flops"), ("Tokens seen", "tokens"))


def ledger_table(study: Study) -> Table:
    """What each arm cost: planned quantities from study.json, measured ones as means over its finished cells."""
    head = _columns("Arm", *(title for title, _ in _LEDGER), "With loss", "Steps", "Training", "Compiling",
                    "Peak memory")
    return Table(head, tuple(_costs(study, slug) for slug in study.names))


def _costs(study: Study, slug: str) -> tuple[Entry, ...]:
    planned = study.record["ledger"][slug]
    results = [cell.result for cell in study.cells_of(slug) if cell.done]

    def mean(key: str, form: Callable[[float], str]) -> Entry:
        found = [result[key] for result in results if result.get(key) is not None]
        return Entry(form(statistics.fmean(found)) if found else "–")

    return (arm_entry(study, slug), *(Entry(quantity(planned[key])) for _, key in _LEDGER),
            mean("loss_tokens", quantity), Entry(f"{planned['steps']:,}"), mean("train_seconds", duration),
            mean("compile_seconds", duration), mean("peak_memory_bytes", memory))


def quantity(number: float) -> str:
    """Three figures and a unit prefix."""
    for prefix, size in (("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            scaled = number / size
            return f"{scaled:.{max(0, 2 - len(str(int(scaled))) + 1)}f} {prefix}"
    return f"{number:.3g}"


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.2f} h"


def memory(size: float) -> str:
    return f"{size / 2**30:.2f} GiB"


def differs_table(study: Study) -> Table:
    """The fields of the config in which arms differ, and nothing else."""
    rows = tuple((Entry(path), *(Entry(_value(values.get(slug))) for slug in study.names))
                 for path, values in study.record.get("differs", {}).items())
    return Table((Entry("Field"), *(arm_entry(study, slug) for slug in study.names)), rows, labels=1 + len(study.names))


def equal_table(study: Study) -> Table:
    """The fields asserted equal in all arms."""
    equal = study.record.get("asserted_equal", {})
    return Table(_columns("Field", "Value in every arm"),
                 tuple((Entry(path), Entry(_value(value))) for path, value in equal.items()), labels=2)


def environment_table(study: Study) -> Table:
    """Versions, device and hashes."""
    return Table((), tuple((Entry(name), Entry(_value(value)))
                           for name, value in study.record.get("environment", {}).items()), labels=2)


def _value(value: Any) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "–"
    return str(value)
