"""Runners and cells are killed at random, with two runners at work: nothing is lost, nothing is done twice."""

import collections
import os
import pathlib
import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from arch_zoo.files import cache_directory, read_json
from experiments.studies.layout import LOG_FILE
from tests.runs import TINY, finish, start, write_corpus

KILLS = int(os.environ.get("ARCH_ZOO_KILLS", "3"))
CONFIG = """
from arch_zoo.config import *
from arch_zoo.settings import override
from experiments.studies.config import *

def get_config():
    base = override(RunConfig(), {base})
    arms = (Arm("plain", {{}}), Arm("first", {{"steps": 40}}, preparation=True),
            Arm("masked", {{"objective": "masked_lm", "model.architecture": "encoder_only"}}, starts_from="first"))
    return StudyConfig(title="tiny", base=base, arms=arms, seeds=2, varies=("objective", "model.architecture"),
                       metrics=(), losses=("causal_lm", "masked_lm"), tuning=Tuning(rates=(1e-3, 1e-2), share=0.2))
"""
CHANGES = TINY | {"steps": 100 * KILLS, "checkpoint_every": 10, "evaluate_every": 60}


def results(workdir: pathlib.Path) -> dict[str, dict]:
    """What every cell found; not what the clock wrote."""
    return {str(path.parent.relative_to(workdir)): {name: value for name, value in read_json(path).items()
                                                    if "seconds" not in name and name != "peak_memory_bytes"}
            for path in workdir.glob("*/*/*/result.json")}


def begun(cell: pathlib.Path) -> int:
    """How often its training was begun or taken up, as its log says."""
    return len(re.findall(r"^compiled (?:in|before)", (cell / LOG_FILE).read_text(), re.MULTILINE))


def ancestors(process: int) -> Iterator[int]:
    """The process that started it, and so on; none where it has ended."""
    try:
        while process > 1:
            stat = pathlib.Path(f"/proc/{process}/stat").read_text()
            yield (process := int(stat.rpartition(")")[2].split()[1]))
    except OSError:
        return


class Hunt:
    """A study that is hunted: its runners, how often each cell was cut off, and what was seen of those that are done.
    """

    def __init__(self, workdir: pathlib.Path, command: list[str]):
        self.workdir, self.command = workdir, command
        self.runners: list[subprocess.Popen] = []
        self.cut_off, self.killed, self.done = collections.Counter(), collections.Counter(), {}

    def look(self) -> dict[int, pathlib.Path]:
        """{process: the cell whose log it writes}. AssertionError where two have one cell, or one that is done begins.
        """
        working = {}
        for output in pathlib.Path("/proc").glob("[0-9]*/fd/1"):
            try:
                log = pathlib.Path(os.readlink(output))
            except OSError:  # it has ended, or is not ours
                continue
            if log.name == LOG_FILE and self.workdir in log.parents:
                working[int(output.parts[2])] = log.parent
        assert len(set(working.values())) == len(working), f"two processes have one cell: {working}"
        for path in self.workdir.glob("*/*/*/result.json"):  # once written, never written again
            now = path.stat().st_mtime_ns, begun(path.parent)
            assert self.done.setdefault(path, now) == now, f"{path}: its cell was run again"
        return working

    def wait(self, seconds: float) -> None:
        """Two runners are there, so long from when a cell is at work, and are looked at all the time."""
        self.runners = [runner for runner in self.runners if runner.poll() is None]
        while len(self.runners) < 2:
            self.runners.append(start(self.command))
        while not self.look() and all(runner.poll() is None for runner in self.runners):
            time.sleep(0.1)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.look()
            time.sleep(0.1)

    def kill_cell(self, process: int, cell: pathlib.Path) -> None:
        os.kill(process, signal.SIGKILL)
        self.cut_off[cell] += 1
        self.killed["cell"] += 1

    def kill_runner(self, runner: subprocess.Popen) -> None:
        """Its cells save and stop."""
        self.cut_off.update(cell for process, cell in self.look().items() if runner.pid in ancestors(process))
        self.killed["runner"] += runner.poll() is None
        runner.kill()


@pytest.mark.slow(minutes=4)
def test_a_study_survives_kills_of_its_runners_and_cells(tmp_path, request):
    corpus, config = write_corpus(tmp_path / "text.txt"), tmp_path / "tiny.py"
    cache = cache_directory(None) / "test_runs"
    config.write_text(CONFIG.format(base=CHANGES | {"data.corpus": str(corpus), "data.cache_dir": str(cache)}))

    def command(workdir):
        return ["-m", "experiments.study", f"--config={config}", f"--workdir={workdir}", "--max_parallel=1",
                f"--retries={2 * KILLS}"]

    calm, hunted = tmp_path / "calm", tmp_path / "hunted"
    assert finish(start(command(calm)), timeout=1800).returncode == 0
    rng, hunt = random.Random(0), Hunt(hunted, command(hunted))
    request.addfinalizer(lambda: [runner.kill() for runner in hunt.runners])
    while hunt.killed.total() < KILLS and len(hunt.done) < len(results(calm)):
        hunt.wait(rng.uniform(0.5, 5))
        working = hunt.look()
        if rng.random() < 0.5 or not working:
            hunt.kill_runner(rng.choice(hunt.runners))
        else:
            hunt.kill_cell(*rng.choice(sorted(working.items())))
    print(f"killed: {dict(hunt.killed)}, cells cut off: {hunt.cut_off.total()}")
    assert hunt.killed.total() == KILLS, "the study was done before all the kills: it needs more steps"
    for runner in hunt.runners:
        hunt.kill_runner(runner)
    last = finish(start(command(hunted)), timeout=1800)
    assert last.returncode == 0, last.stderr
    assert results(hunted) == results(calm)
    hunt.look()
    assert len(hunt.done) == len(results(calm))
    for cell in (path.parent for path in hunt.done):
        assert 1 <= begun(cell) <= 1 + hunt.cut_off[cell], f"{cell}: it was begun more often than it was cut off"
    assert (hunted / "report.html").exists()
