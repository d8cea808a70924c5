"""How a benchmark times things and prints what it found."""

import importlib.metadata
import pathlib
import platform
import time
from collections.abc import Callable, Sequence
from typing import Any

from arch_zoo.files import write_json_atomic, write_text_atomic
from arch_zoo.machine import usable_cores
from experiments import program


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


def publish(title: str, head: list[str], rows: list[list[str]], out: str | None, notes: Sequence[str] = (),
            numbers: Any = None) -> None:
    """Print a Markdown table with what it was measured on; with `out`, write it to that file as well.

    `notes` are numbered below the table, from 1. Beside the file stands one in JSON, with the same and, where they are
    given, the `numbers` behind the table.
    """
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.ljust(w) if i == 0 else cell.rjust(w)
                                 for i, (cell, w) in enumerate(zip(cells, widths, strict=True))) + " |"

    rule = "|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|"
    text = "\n".join([f"## {title}", "", line(head), rule, *map(line, rows), "",
                      *(f"{i}. {note}" for i, note in enumerate(notes, 1)), *[""] * bool(notes), conditions(), ""])
    print(text, flush=True)
    if out is not None:
        write_text_atomic(pathlib.Path(out), text)
        write_json_atomic(pathlib.Path(out).with_suffix(".json"), {
            "title": title, "head": head, "rows": rows, "notes": list(notes), "conditions": conditions(),
            "numbers": numbers})


def conditions() -> str:
    """Command, versions, device and cores, in a sentence."""
    import jax

    device = jax.devices()[0]
    cores = len(usable_cores())
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("jax", "flax", "numpy"))
    command = program.command()
    return (f"`{command}`; {device.device_kind} ({_processor()}), {cores} core{'s' if cores != 1 else ''}; "
            f"Python {platform.python_version()}, {versions}.")


def _processor() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        flags = next(line for line in lines if line.startswith("flags")).split()
        return next(f for f in ("avx512f", "avx2", "avx", "sse2") if f in flags)
    except (OSError, StopIteration):
        return platform.machine()
