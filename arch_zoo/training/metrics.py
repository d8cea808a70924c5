"""What a run writes down: metrics.jsonl, TensorBoard events, and a line of progress."""

import json
import os
import pathlib
import sys
import time
from typing import Any

from absl import logging

from arch_zoo.training.layout import METRICS_FILE


class MetricsWriter:
    """One JSON object a logged step, appended and flushed; resuming drops what lies beyond the restored step."""

    def __init__(self, workdir: pathlib.Path, resume_step: int):
        self._path = workdir / METRICS_FILE
        _drop_beyond(self._path, resume_step)
        self._file = open(self._path, "a", encoding="utf-8")
        self._events = event_writer()(str(workdir / "tensorboard"), purge_step=resume_step + 1)

    def write(self, step: int, values: dict[str, float | int]) -> None:
        """Append `values` under the number of steps done."""
        self._file.write(json.dumps({"step": step, **values}, allow_nan=False) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._events.add_scalar(name, value, step)

    def sync(self) -> None:
        """Make sure that what was written is on disk: called before a checkpoint refers to it."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Flush and close both files."""
        self._file.close()
        self._events.close()


class NoMetrics:
    """Of a process that writes none, since another one does."""

    def write(self, step: int, values: dict[str, float | int]) -> None:
        """See MetricsWriter."""

    sync = close = lambda self: None


def event_writer() -> type:
    """tensorboardX's SummaryWriter: imported here since only runs write events, and without torch.

    It would load all of torch, where that is installed, only to recognise its tensors: seconds of every start.
    """
    hidden = "torch" not in sys.modules
    if hidden:
        sys.modules["torch"] = None  # an import of it fails as where it is not installed
    try:
        from tensorboardX import SummaryWriter
    finally:
        if hidden:
            del sys.modules["torch"]
    return SummaryWriter


def part_values(prefix: str, sums: list[dict[str, float]]) -> dict[str, float]:
    """{"train/loss_vocabulary", "train/accuracy_sentence", …}: means over all steps of what `step.part_sums` gave."""
    values = {}
    for key in sums[0] if sums else ():
        what, _, part = key.partition("/")
        if what in ("loss", "accuracy"):
            weight = sum(s[f"weight/{part}"] for s in sums)
            values[f"{prefix}/{what}_{part}"] = sum(s[key] for s in sums) / max(weight, 1.0)
    return values


def read_metrics(workdir: pathlib.Path) -> list[dict[str, Any]]:
    """The whole lines of a run's metrics.jsonl; a last line cut off by a kill is left out."""
    path = workdir / METRICS_FILE
    if not path.exists():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines


def _drop_beyond(path: pathlib.Path, step: int) -> None:
    if not path.exists():
        return
    from arch_zoo.files import write_text_atomic

    kept = [line for line in read_metrics(path.parent) if line["step"] <= step]
    write_text_atomic(path, "".join(json.dumps(line) + "\n" for line in kept))


class Progress:
    """A line with step/total, loss, rate and time left, through absl's log; of several runs, their mean and range."""

    def __init__(self, label: str, total: int, start: int):
        self._label, self._total, self._start, self._began = label, total, start, time.monotonic()

    def line(self, step: int, written: list[dict[str, float]]) -> None:
        """Log where the runs stand; `written` holds what each has just written to its metrics."""
        if not written:
            return
        elapsed = time.monotonic() - self._began
        left = elapsed / max(1, step - self._start) * (self._total - step)
        def shown(name: str, form: str) -> str:
            low, high = (f"{edge(values[f'train/{name}'] for values in written):{form}}" for edge in (min, max))
            return low if low == high else f"{low}–{high}"

        rate, model, executed = (sum(values[f"train/{name}"] for values in written) for name in (
            "tokens_per_second", "flop_utilisation", "executed_flop_utilisation"))
        logging.info("%s step %d/%d  loss %s  lr %s  |g| %s  %s tok/s  MFU %.0f%% (executed %.0f%%)  left %s",
                     self._label, step, self._total, shown("loss", ".3f"), shown("learning_rate", ".2e"),
                     shown("gradient_norm", ".2f"), f"{rate:,.0f}", 100 * model, 100 * executed, clock(left))


def clock(seconds: float) -> str:
    """75 -> '1:15', 3700 -> '1:01:40'."""
    minutes, seconds = divmod(int(round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
