"""How a benchmark times things and prints what it found."""

import pathlib
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from arch_zoo.errors import UserError, out_of_memory
from arch_zoo.files import write_json_atomic, write_text_atomic
from benchmarks.conditions import conditions


def seconds_of(action: Callable[[int], object], repeats: int, warm_up: int = 2) -> list[float]:
    """Seconds of `action(i)` for i = 0, 1, …, sorted; the first `warm_up` calls are not counted."""
    seconds = []
    for i in range(warm_up + repeats):
        began = time.perf_counter()
        action(i)
        seconds.append(time.perf_counter() - began)
    return sorted(seconds[warm_up:])


def median(values: Sequence[float]) -> float:
    """The middle value of sorted ones."""
    return values[len(values) // 2]


def spread(values: Sequence[float]) -> dict[str, Any]:
    """What a file of numbers says of something that was measured several times."""
    values = sorted(values)
    return {"repeats": len(values), "median": median(values), "range": [values[0], values[-1]], "values": values}


def reason_of(error: Exception) -> str:
    """One line for what went wrong; where nobody foresaw it the traceback is printed, and the measuring goes on."""
    if isinstance(error, UserError):
        return " ".join(str(error).split())
    traceback.print_exception(error)
    if line := out_of_memory(error, "sizes that need less would run"):
        return line
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0]}" if said else type(error).__name__


def footnote(notes: list[str], text: str) -> str:
    """The number, in brackets, under which a table's notes say so, from now on."""
    if text not in notes:
        notes.append(text)
    return f"({notes.index(text) + 1})"


def publish(title: str, head: list[str], rows: list[list[str]], out: str | None, notes: Sequence[str] = (),
            numbers: Any = None, device: str | None = None, libraries: Sequence[str] = ()) -> None:
    """Print a Markdown table with what it was measured on; with `out`, write it to that file as well.

    `notes` are numbered below the table, from 1. Beside the file stands one in JSON, with the same and, where they are
    given, the `numbers` behind the table. `device` and `libraries`: as `conditions` takes them.
    """
    content = {"title": title, "head": head, "rows": rows, "notes": list(notes),
               "conditions": conditions(device, libraries), "numbers": numbers}
    text = markdown(content)
    print(text, flush=True)
    if out is not None:
        write_text_atomic(pathlib.Path(out), text)
        write_json_atomic(pathlib.Path(out).with_suffix(".json"), content)


def table_lines(head: list[str], rows: list[list[str]]) -> list[str]:
    """A table in Markdown, its first column to the left."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.ljust(w) if i == 0 else cell.rjust(w)
                                 for i, (cell, w) in enumerate(zip(cells, widths, strict=True))) + " |"

    rule = "|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|"
    return [line(head), rule, *map(line, rows)]


def markdown(content: dict[str, Any]) -> str:
    """The table, of what `publish` keeps in JSON."""
    notes = [f"{i}. {note}" for i, note in enumerate(content["notes"], 1)]
    return "\n".join([f"## {content['title']}", "", *table_lines(content["head"], content["rows"]), "",
                      *notes, *[""] * bool(notes), content["conditions"], ""])
