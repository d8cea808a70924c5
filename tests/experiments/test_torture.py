"""Runners and cells are killed at random, with two runners at work: nothing is lost, nothing is done twice."""

import os
import pathlib
import random
import signal
import time

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
CHANGES = TINY | {"steps": 120, "checkpoint_every": 10, "evaluate_every": 60}


def results(workdir: pathlib.Path) -> dict[str, dict]:
    """What every cell found; not what the clock wrote."""
    return {str(path.parent.relative_to(workdir)): {name: value for name, value in read_json(path).items()
                                                    if "seconds" not in name and name != "peak_memory_bytes"}
            for path in workdir.glob("*/*/*/result.json")}


def processes_of(workdir: pathlib.Path) -> list[int]:
    """The processes that work on cells of this study: those that write to a cell's log."""
    found = []
    for output in pathlib.Path("/proc").glob("[0-9]*/fd/1"):
        try:
            log = pathlib.Path(os.readlink(output))
        except OSError:  # it has ended, or is not ours
            continue
        if log.name == LOG_FILE and workdir in log.parents:
            found.append(int(output.parts[2]))
    return found


@pytest.mark.slow
def test_a_study_survives_kills_of_its_runners_and_cells(tmp_path):
    corpus, config = write_corpus(tmp_path / "text.txt"), tmp_path / "tiny.py"
    cache = cache_directory(None) / "test_runs"
    config.write_text(CONFIG.format(base=CHANGES | {"data.corpus": str(corpus), "data.cache_dir": str(cache)}))

    def command(workdir):
        return ["-m", "experiments.study", f"--config={config}", f"--workdir={workdir}", "--max_parallel=1",
                "--retries=100"]

    calm, hunted = tmp_path / "calm", tmp_path / "hunted"
    assert finish(start(command(calm)), timeout=1800).returncode == 0
    rng, runners, killed, finished_at = random.Random(0), [], {"runner": 0, "cell": 0}, {}
    while sum(killed.values()) < KILLS:
        runners = [runner for runner in runners if runner.poll() is None]
        while len(runners) < 2:
            runners.append(start(command(hunted)))
        time.sleep(rng.uniform(0.5, 8))
        cells = processes_of(hunted)
        if rng.random() < 0.5 or not cells:
            rng.choice(runners).kill()
            killed["runner"] += 1
        else:
            os.kill(rng.choice(cells), signal.SIGKILL)
            killed["cell"] += 1
        for path in hunted.glob("*/*/*/result.json"):  # once written, never written again
            assert finished_at.setdefault(path, path.stat().st_mtime_ns) == path.stat().st_mtime_ns
        if len(finished_at) == len(results(calm)):
            break
    for runner in runners:
        runner.kill()
    last = finish(start(command(hunted)), timeout=1800)
    assert last.returncode == 0, last.stderr
    assert results(hunted) == results(calm)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in finished_at.items())
    assert (hunted / "report.html").exists()
    print(f"killed: {killed}")
