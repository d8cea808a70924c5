"""The Slurm engine on a real cluster of one node, where it can be started; test_slurm.py has the rest of it."""

import json
import re
import shutil
import signal
import subprocess
import time
from functools import partial

import pytest

from arch_zoo.files import cache_directory, read_json
from experiments.engines import slurm
from tests import slurm_cluster
from tests.runs import TINY, assert_same_run, finish, heard_ctrl_c, start, write_corpus

STUDY = """
from arch_zoo.config import *
from experiments.studies.config import *

def get_config():
    base = override(RunConfig(), {base})
    return StudyConfig(title="tiny", question="Does it go on?", base=base, arms=({arms}), seeds={seeds},
                       varies=("optimizer.learning_rate",), suffixes=4, pairs=4, context_tokens=0,
                       fine_tuning=FineTuningConfig(examples=20, test_examples=20, epochs=1, batch_size=10, length=8))
"""
PLAIN, FAST, BROKEN = (f"Arm('{name}', {{'optimizer.learning_rate': {rate}}})," for name, rate in
                       (("plain", 1e-3), ("fast", 2e-3), ("broken", 1e30)))
LONG = {"steps": 4000, "optimizer.schedule": "constant", "checkpoint_every": 4000, "evaluate_every": 4000,
        "log_every": 20}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    pytest.importorskip("submitit")
    if why := slurm_cluster.missing():
        pytest.skip(why)
    try:
        with slurm_cluster.one_node(tmp_path_factory.mktemp("slurm")) as configuration:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("SLURM_CONF", configuration)
                yield
    except RuntimeError as error:
        pytest.skip(f"Slurm does not start here: {error}")


class Study:
    """A tiny study, and the command that runs it on the cluster."""

    def __init__(self, home, arms, seeds=1, **changes):
        corpus = write_corpus(home / "text.txt")
        base = TINY | {"data.corpus": str(corpus), "data.cache_dir": str(cache_directory(None) / "test_runs")} | changes
        (home / "tiny.py").write_text(STUDY.format(base=base, arms=arms, seeds=seeds))
        self.workdir = home / "study"
        self.command = ["-m", "experiments.study", f"--config={home}/tiny.py", f"--workdir={self.workdir}",
                        "--engine=slurm", "--cpus=1"]

    def start(self, *flags):
        with heard_ctrl_c():
            return start([*self.command, *flags])

    def cell(self, arm, seed=0):
        return self.workdir / "cells" / arm / f"seed_{seed}"

    @property
    def cells(self):
        return [path.parent for path in sorted(self.workdir.glob("cells/*/*/cell.json"))]


def text_of(path):
    return path.read_text(errors="replace") if path.exists() else ""


def wait_until(condition, what, seconds=600):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} has not come"
        time.sleep(0.2)


def last_step(cell):
    """The last step that the log of a cell tells of."""
    return max((int(step) for step in re.findall(r"step +(\d+)/", text_of(cell / "cell.log"))), default=0)


def starts(cell):
    """How many processes have trained in the cell."""
    return text_of(cell / "cell.log").count("compiled in ")


def has_passed(cell, step, number):
    """Whether so many processes have trained in it, and logged a later step."""
    return starts(cell) == number and last_step(cell) > step


def job_id(cell):
    """The job of a cell as Slurm numbers it."""
    place = slurm.place_of(cell)
    shown = subprocess.run(["squeue", "--array", "--noheader", "--format=%K %A %i", f"--name={place.name}"],
                           capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in shown.splitlines()]
    return next(full for index, _, full in rows if index in (str(place.index), "N/A"))


def slurm_does(*command):
    subprocess.run(command, check=True, capture_output=True, timeout=120)


@pytest.mark.slow(minutes=2)
def test_four_cells_in_one_array_all_end_with_a_result(cluster, tmp_path):
    study = Study(tmp_path, PLAIN + FAST, seeds=2)
    ended = finish(study.start("--array_parallelism=2"), timeout=1200)
    assert ended.returncode == 0, ended.stderr
    assert len(study.cells) == 4
    for cell in study.cells:
        assert read_json(cell / "result.json")["steps"] == TINY["steps"]
        assert starts(cell) == 1
    assert len({slurm.place_of(cell).name for cell in study.cells}) == 1
    assert sorted(slurm.place_of(cell).index for cell in study.cells) == [0, 1, 2, 3]
    [script] = (study.workdir / "slurm").glob("[0-9]*_submission.sh")
    assert "#SBATCH --array=0-3%2\n" in script.read_text()
    assert len(list((study.workdir / "slurm").glob("*result.pkl"))) == 4
    assert (study.workdir / "report.html").exists()


@pytest.mark.slow(minutes=2)
def test_a_cell_that_is_requeued_preempted_and_out_of_time_ends_as_if_nothing_had_happened(cluster, tmp_path):
    study = Study(tmp_path, PLAIN, seeds=2, **LONG)
    runner, cell = study.start("--retries=0"), study.cell("plain", seed=1)
    stops = {"requeued by somebody": ("scontrol", "requeue"),
             "told by Slurm that it is preempted": ("scancel", "--signal=TERM"),
             "told by Slurm that its time is nearly over": ("scancel", "--signal=USR2")}
    resumed = [0]
    for what, command in stops.items():
        wait_until(partial(has_passed, cell, resumed[-1], len(resumed)), "a step after the last start")
        slurm_does(*command, job_id(cell))
        wait_until(partial(has_passed, cell, 0, len(resumed) + 1), f"the start after it was {what}")
        resumed = [0, *map(int, re.findall(r"resuming at step (\d+) of", text_of(cell / "cell.log")))]
        assert resumed == sorted(set(resumed)), what
    assert len(resumed) == 4
    ended = finish(runner, timeout=1200)
    assert ended.returncode == 0, ended.stderr + ended.stdout
    assert "tried again" not in ended.stdout and not (cell / "failed.json").exists()
    assert starts(cell) == 4 and starts(study.cell("plain")) == 1
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(cell / "cell.json", alone)
    assert finish(start(["-m", "experiments.cell", f"--workdir={alone}"])).returncode == 0
    assert_same_run(cell, alone)


@pytest.mark.slow(minutes=2)
def test_a_failing_cell_is_retried_and_named_and_a_cancelled_one_is_retried(cluster, tmp_path):
    study = Study(tmp_path, PLAIN + BROKEN, **LONG)
    runner, cell = study.start("--retries=1"), study.cell("plain")
    wait_until(lambda: last_step(cell) > 0, "the first step")
    first = slurm.place_of(cell)
    slurm_does("scancel", job_id(cell))
    ended = finish(runner, timeout=1200)
    assert ended.returncode == 1, ended.stderr
    assert re.search(r"plain, seed 0: .*index \d: CANCELLED; .*; it is tried again", ended.stdout)
    assert re.search(r"broken, seed 0: the loss .*; it is tried again", ended.stdout)
    assert re.search(r"broken, seed 0 +FAILED: the loss or its gradient is not finite at step 2", ended.stdout)
    assert read_json(cell / "result.json")["steps"] == LONG["steps"]
    assert starts(cell) == 2 and slurm.place_of(cell) != first
    assert starts(study.cell("broken")) == 2
    assert "resuming at step" in text_of(cell / "cell.log")


@pytest.mark.slow(minutes=2)
def test_a_runner_that_was_killed_finds_its_jobs_again_and_ctrl_c_leaves_them(cluster, tmp_path):
    study = Study(tmp_path, PLAIN + FAST, **LONG)
    first = study.start("--array_parallelism=1")  # one runs, one waits
    wait_until(lambda: any(last_step(cell) for cell in study.cells), "the first step")
    first.kill()
    first.wait()
    places = [slurm.place_of(cell) for cell in study.cells]
    assert len(set(places)) == 2
    second = study.start("--array_parallelism=1")
    wait_until(lambda: (line := second.stdout.readline()) == "" or "Slurm has 2 of the cells already" in line, "a line")
    second.send_signal(signal.SIGINT)
    interrupted = finish(second)
    assert interrupted.returncode == 130
    assert f"scancel --name={places[0].name}\n" in interrupted.stdout
    ended = finish(study.start("--array_parallelism=1"), timeout=1200)
    assert ended.returncode == 0, ended.stderr
    assert [slurm.place_of(cell) for cell in study.cells] == places
    assert [starts(cell) for cell in study.cells] == [1, 1]
    assert all(json.loads((cell / "result.json").read_text())["steps"] == LONG["steps"] for cell in study.cells)
