"""Tables of what was planned: costs, configs, environment, and learning rates that were tuned."""

import statistics
from collections.abc import Callable
from typing import Any

from experiments.report.findings import listed
from experiments.report.record import Study
from experiments.report.table import Entry, Notes, Table, arm_entry, columns, duration, memory, quantity

_EDGE = "the best rate lies at the edge of the grid that was tried"
_ARMS_AS_COLUMNS = 6  # with more, the table of differences is turned over

_LEDGER = (("Parameters", "params"), ("Non-embedding", "non_embedding_params"), ("FLOPs/token", "flops_per_token"),
           ("FLOPs", "flops"), ("Tokens seen", "tokens"))


def ledger_table(study: Study) -> Table:
    """What each arm cost: planned quantities from study.json, measured ones as means over its finished cells."""
    head = columns("Arm", *(title for title, _ in _LEDGER), "With loss", "Steps", "Training", "Compiling",
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


def differs_table(study: Study) -> Table:
    """The fields of the config in which arms differ, and nothing else. Of many arms, each is a row."""
    differs = study.record.get("differs", {})
    if len(study.names) > _ARMS_AS_COLUMNS:
        rows = tuple((arm_entry(study, slug), *(Entry(show(values.get(slug))) for values in differs.values()))
                     for slug in study.names)
        return Table((Entry("Arm"), *columns(*differs)), rows if differs else (), labels=1 + len(differs))
    rows = tuple((Entry(path), *(Entry(show(values.get(slug))) for slug in study.names))
                 for path, values in differs.items())
    return Table((Entry("Field"), *(arm_entry(study, slug) for slug in study.names)), rows, labels=1 + len(study.names))


def equal_table(study: Study) -> Table:
    """The fields asserted equal in all arms."""
    equal = study.record.get("asserted_equal", {})
    return Table(columns("Field", "Value in every arm"),
                 tuple((Entry(path), Entry(show(value))) for path, value in equal.items()), labels=2)


def environment_table(study: Study) -> Table:
    """Versions, device and hashes."""
    return Table((), tuple((Entry(name), Entry(show(value)))
                           for name, value in study.record.get("environment", {}).items()), labels=2)


def rates_table(study: Study) -> Table | None:
    """The learning rate that each cell chose, where the study tuned them; None where it did not."""
    if "tuning" not in study.record:
        return None
    rates, notes, rows = sorted(study.record["tuning"]["rates"]), Notes(), []
    for slug in study.names:
        entries = []
        for cell in study.cells_of(slug):
            text = "–" if cell.learning_rate is None else f"{cell.learning_rate:g}"
            edge = cell.learning_rate in (rates[0], rates[-1])
            entries.append(Entry(text, mark=notes.mark(_EDGE) if edge else ""))
        rows.append((arm_entry(study, slug), *entries))
    return Table((Entry("Arm"), *(Entry(f"seed {seed}") for seed in study.seeds)), tuple(rows), notes.all())


def rates_in_words(study: Study) -> str:
    """Which rates were tried at which cost, and a warning for the arms whose best one may lie outside."""
    tuning = study.record["tuning"]
    rates = sorted(tuning["rates"])
    chosen = {slug: [cell.learning_rate for cell in study.cells_of(slug)] for slug in study.names}
    at_edge = [study.quoted[slug] for slug, found in chosen.items() if {rates[0], rates[-1]} & set(found)]
    words = (f"Each arm tried {listed([f'{rate:g}' for rate in rates])}, each at {tuning['share']:.0%} of its steps, "
             "and trained with the best.")
    if not at_edge or len(rates) == 1:
        return words
    return (f"{words} The best rate lies at the edge of the grid for {listed(at_edge)}: a rate beyond it may be "
            "better, so these arms may be shown worse than they are.")


def show(value: Any) -> str:
    """A value of a config in a table."""
    if value is None or value == "":
        return "–"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "–"
    return str(value)
