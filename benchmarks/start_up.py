"""Seconds from the start of the process to the first step of training, at a run's first start and at its second.

    python -m benchmarks.start_up --config=configs/base.py

The first start makes everything: the tokenizer and the tokens (where --cache names no folder that has them), and the
compiled programs. It is stopped after its first step, as by Ctrl-C, and started again, so that the second one reads the
compiled programs and a checkpoint. Seconds of the processor stand beside those of the clock, since they are what a
machine that does other work, too, changes least.
"""

import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

from absl import flags

from arch_zoo.config import RunConfig
from arch_zoo.errors import UserError
from arch_zoo.files import write_json_atomic
from arch_zoo.settings import to_dict
from benchmarks.table import publish
from experiments import program

OUT = flags.DEFINE_string("out", None, "also write the table to this file")
CACHE = flags.DEFINE_string("cache", None, "cache directory of the runs; without it an empty one of their own")
STARTS = flags.DEFINE_integer("starts", 3, "starts in all, of which the first is cold", lower_bound=2)
_STEP = re.compile(r" step (\d+)/")


def main(config: RunConfig, arguments: list[str]) -> None:
    """Start the run several times over, each time up to its next step."""
    with tempfile.TemporaryDirectory() as folder:
        cache = CACHE.value or f"{folder}/cache"
        config = config.replace(log_every=1, data=config.data.replace(cache_dir=cache))
        if config.steps <= STARTS.value:
            raise UserError(f"steps={config.steps}: the run should not be done after {STARTS.value} starts of a step")
        source = pathlib.Path(folder, "config.json")
        write_json_atomic(source, to_dict(config))
        rows, numbers = [], []
        for number in range(STARTS.value):
            seconds, processor = _start(source, pathlib.Path(folder, "run"))
            numbers.append({"seconds": seconds, "of_the_processor": processor})
            rows.append([f"{number + 1}", f"{seconds:.1f}", f"{processor:.1f}"])
    publish("From the start of the process to its first step", ["start", "seconds", "seconds of the processor"], rows,
            OUT.value, numbers=numbers)


def _start(source: pathlib.Path, workdir: pathlib.Path) -> tuple[float, float]:
    """(seconds, seconds of the processor) up to the first logged step; the run is then told to stop, and saves."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "experiments.train", f"--config={source}", f"--workdir={workdir}"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    lines = []
    for line in process.stderr:
        lines.append(line)
        if _STEP.search(line):
            found = time.perf_counter() - began, _processor_seconds(process.pid)
            process.send_signal(signal.SIGINT)
            process.communicate()
            return found
    process.wait()
    raise UserError(f"the run ended before its first step: {''.join(lines[-3:])}")


def _processor_seconds(pid: int) -> float:
    """Of a process that runs, in user and system mode, all threads together."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    program.run(main, __doc__, RunConfig)
