"""A table as a value that the HTML page, the Markdown page and the terminal all print, and how numbers are written."""

import dataclasses
from collections.abc import Callable

from arch_zoo.analysis.statistics import format_number
from experiments.report.record import Study


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


def in_brackets(mark: str) -> str:
    """A footnote's mark in plain text."""
    return mark if mark.startswith("[") else f"({mark})"


def arm_entry(study: Study, slug: str, small: str = "") -> Entry:
    return Entry(study.names[slug], small, arm=slug)


def signed(value: float) -> str:
    """A number that always shows its sign."""
    text = format_number(value)
    return text if text.startswith("−") else f"+{text}"


def bounds(low: float | None, high: float | None, form: Callable[[float], str] = format_number) -> str:
    return "" if low is None else f"[{form(low)}, {form(high)}]"


def columns(*names: str) -> tuple[Entry, ...]:
    return tuple(Entry(name) for name in names)


def short_p(p: float | None) -> str:
    if p is None:
        return "–"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


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
