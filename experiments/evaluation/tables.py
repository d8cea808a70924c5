"""Results as tables: at the terminal, and in Markdown."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from arch_zoo.tasks.base import Measured, Metric, Outcome, Task

_ABSENT = Measured(None)
_HEAD = ("", "metric", "value", "± error", "items", "chance")


def rows(label: str, task: Task, outcome: Outcome) -> Iterator[tuple[str, ...]]:
    """The task itself, then its groups; parts are in results.json."""
    for name, values, count in [(label, outcome.values, outcome.count),
                                *((f"  {name}", part.values, part.count)
                                  for name, part in outcome.groups.items())]:
        for metric in task.metrics():
            if values.get(metric.name, _ABSENT).value is not None:
                yield _row(name, metric, values[metric.name], count)


def _row(name: str, metric: Metric, measured: Measured, count: int) -> tuple[str, ...]:
    arrow = "↑" if metric.better == "higher" else "↓"
    value = f"{measured.value:.4g}"
    error = "" if measured.error is None else f"{measured.error:.2g}"
    return (name, f"{metric.name} {arrow}", value, error, f"{count:,}",
            "" if metric.chance is None else f"{metric.chance:.3g}")


def print_table(label: str, task: Task, outcome: Outcome, console: Console) -> None:
    """The numbers, how they came about, and what should be known of them."""
    table = Table(*_HEAD, box=None, pad_edge=False, header_style="dim")
    table.columns[1].no_wrap = True
    for number in range(2, len(_HEAD)):
        table.columns[number].justify = "right"
    for row in rows(label, task, outcome):
        table.add_row(*row, style="" if row[0].startswith(" ") else "bold")
    console.print(table)
    for remark in remarks(outcome):
        console.print(remark, style="dim", markup=False)


def remarks(outcome: Outcome) -> list[str]:
    """What stands below a table."""
    missing: dict[str, list[str]] = {}
    for name, one in outcome.values.items():
        if one.value is None:
            missing.setdefault(one.reason, []).append(name)
    found = [f"scored by {outcome.how}", *(f"no {', '.join(names)}: {why}" for why, names in missing.items())]
    if outcome.notes.get("truncated"):
        lost = outcome.notes.get("truncated_tokens")
        found.append(f"{outcome.notes['truncated']:,} of {outcome.count:,} texts were too long and cut"
                     f"{f': {lost:,} tokens at their beginnings' if lost else ''}")
    return found


def markdown(label: str, task: Task, outcome: Outcome) -> str:
    """The same table, and one of the parts where there are some."""
    lines = [f"# {label}", "", *_markdown_table(_HEAD, rows(label, task, outcome)), "",
             *(f"{remark[:1].upper()}{remark[1:]}." for remark in remarks(outcome))]
    if outcome.parts:
        lines += ["", "## Parts", "", *_markdown_table(("part", "group", *_HEAD[1:]), (
            (name, part.group, *_row(name, metric, part.values[metric.name], part.count)[1:])
            for name, part in outcome.parts.items() for metric in task.metrics() if metric.name in part.values))]
    return "\n".join(lines) + "\n"


def _markdown_table(head: tuple[str, ...], body: Iterator[tuple[str, ...]]) -> list[str]:
    numbers = len(head) - 4
    return [f"| {' | '.join(head)} |", f"|{'---|' * numbers}{'---:|' * 4}",
            *(f"| {' | '.join(cell.strip() for cell in row)} |" for row in body)]
