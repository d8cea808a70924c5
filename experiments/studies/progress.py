"""What a study shows while it runs: a line for each cell that ended, and, at a terminal, what the others do."""

import pathlib
import shutil
import sys
import time

from arch_zoo.training.metrics import clock
from experiments.studies.layout import LOG_FILE

_TAIL = 400  # bytes of a log in which its last line is looked for
_NARROW = 40  # columns for one cell, at least: of a thousand that wait on a cluster the first few are shown


class StudyProgress:
    """Counts cells and prints. `before` cells were done when the study was started again."""

    def __init__(self, labels: dict[pathlib.Path, str], before: int):
        self._labels, self._before, self._ended = labels, before, 0
        self._began = time.monotonic()
        self._live = sys.stdout.isatty()

    def running(self, cells: list[pathlib.Path]) -> None:
        """The last line that each running cell has logged, in one line that is written over; nothing in a file."""
        if self._live:
            width = shutil.get_terminal_size().columns
            cells = cells[:max(1, width // _NARROW)]
            share = width // max(len(cells), 1) - 3
            line = " │ ".join(self._doing(cell)[:share].ljust(share) for cell in cells)
            print(f"\r{line[:width - 1]}\033[K", end="", flush=True)

    def ended(self, cell: pathlib.Path, outcome: str) -> None:
        """One line that stays: which cell, how it ended, how long the others will take."""
        self._ended += 1
        waiting = len(self._labels) - self._before - self._ended
        left = (time.monotonic() - self._began) / self._ended * waiting
        print(f"{self._clear}[{self._before + self._ended:>2}/{len(self._labels)}] "
              f"{self._labels[cell]:<45} {outcome}   left {clock(left)}", flush=True)

    def tell(self, what: str) -> None:
        """One line that stays."""
        print(f"{self._clear}{what}", flush=True)

    @property
    def _clear(self) -> str:
        return "\r\033[K" if self._live else ""

    def _doing(self, cell: pathlib.Path) -> str:
        """'LABEL step 20/120  loss …' as the log says it, or the label with what else was logged last."""
        log = cell / LOG_FILE
        if not log.exists():
            return f"{self._labels[cell]}: waiting"
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL))
            lines = file.read().decode(errors="replace").strip().splitlines()
        last, label = lines[-1] if lines else "starting", self._labels[cell]
        return last if last.startswith(label) else f"{label}: {last}"
