"""The Slurm engine: with stand-ins for Slurm's commands, and, where it can start, on a real cluster of one node."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from arch_zoo.errors import UserError
from arch_zoo.files import cache_directory, read_json, write_json_atomic
from experiments.engines import slurm
from experiments.engines.slurm import Place, Slurm
from experiments.studies.progress import StudyProgress
from tests import slurm_cluster
from tests.runs import TINY, assert_one_line, assert_same_run, finish, many, start, write_corpus

# --- with stand-ins ----------------------------------------------------------------------------------------------


@pytest.fixture
def stand_ins(tmp_path, monkeypatch):
    """Commands that do what files say: queue.txt is what squeue prints; sbatch counts, and has refusal.txt to say."""
    pytest.importorskip("submitit")
    home = tmp_path / "bin"
    home.mkdir()
    scripts = {"srun": "true",
               "squeue": f"test -e {home}/down && {{ echo 'slurm_load_jobs error: no controller' >&2; exit 1; }}; "
                         f"echo x >> {home}/looks; cat {home}/queue.txt",
               "sbatch": f"cp \"$1\" {home}/script; "
                         f"test -e {home}/refusal.txt && {{ cat {home}/refusal.txt >&2; exit 1; }}; "
                         f"echo x >> {home}/submitted; echo Submitted batch job $(wc -l < {home}/submitted)"}
    for name, script in scripts.items():
        (home / name).write_text(f"#!/bin/sh\n{script}\n")
        (home / name).chmod(0o755)
    (home / "queue.txt").touch()
    monkeypatch.setenv("PATH", f"{home}:{os.environ['PATH']}")
    return home


@pytest.fixture
def cells(tmp_path):
    """Three cells of a study, with nothing in them."""
    study = tmp_path / "my study"
    write_json_atomic(study / "study.json", {})
    directories = [study / "cells" / "arm" / f"seed_{seed}" for seed in range(3)]
    for directory in directories:
        directory.mkdir(parents=True)
    return directories


def count(path):
    return len(path.read_text().splitlines()) if path.exists() else 0


def queue_says(home, **states):
    """squeue's rows: the state of every place, by `name_index`."""
    rows = [f"{key.rpartition('_')[0]}|{key.rpartition('_')[2]}|{state}\n" for key, state in states.items()]
    (home / "queue.txt").write_text("".join(rows))


def test_options_become_lines_for_sbatch(stand_ins, cells):
    options = Slurm(partition="long", account="lab", qos="low", constraint="a100", array_parallelism=2, time_minutes=30,
                    save_seconds=45, cpus=3, gpus=1, memory_gb=1.5, prelude="module load cuda")
    with options.crew() as crew:
        crew.start(cells, [])
    script = (stand_ins / "script").read_text()
    for line in ("--partition=long", "--account=lab", "--qos=low", "--constraint=a100", "--array=0-2%2", "--time=30",
                 "--signal=USR2@45", "--cpus-per-task=3", "--gpus-per-node=1", "--mem=1536MB", "--requeue",
                 f"--job-name={read_json(cells[0] / 'slurm.json')['name']}"):
        assert f"#SBATCH {line}\n" in script
    assert "\nmodule load cuda\n" in script and "srun --unbuffered" in script
    assert re.search(r"srun .* --cpus-per-task=3 .*submitit", script)
    assert (cells[0].parents[2] / "slurm").is_dir()


def test_options_that_are_not_given_leave_the_choice_to_the_cluster(stand_ins, cells):
    with Slurm().crew() as crew:
        crew.start(cells, [])
    script = (stand_ins / "script").read_text()
    for option in ("partition", "account", "qos", "constraint", "gpus", "mem"):
        assert f"#SBATCH --{option}" not in script


def test_time_outs_and_how_many_may_wait(stand_ins, cells):
    options = Slurm(time_outs=7, max_jobs=2)
    with options.crew() as crew:
        assert crew.room() == 2
        crew.start(cells[:1], [])
        assert crew.room() == 1
    [pickled] = (cells[0].parents[2] / "slurm").glob("*submitted.pkl")
    from submitit.core.utils import DelayedSubmission
    assert DelayedSubmission.load(pickled)._timeout_countdown == 7


def test_what_is_missing_is_one_line(stand_ins, tmp_path, monkeypatch):
    write_corpus(tmp_path / "text.txt")
    (stand_ins / "down").touch()
    with pytest.raises(UserError, match="squeue fails: no controller"), Slurm().crew():
        pass
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="needs Slurm's commands on PATH; missing: sbatch, squeue, srun"):
        with Slurm().crew():
            pass
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match=r"needs submitit: pip install 'arch_zoo\[slurm\]'"), Slurm().crew():
        pass


def test_wrong_options_are_one_line():
    study = "experiments.study"
    config = "--config=configs/studies/families.py"
    ended = many([(study, [config, "--engine=slurm", "--time_minutes=1", "--save_seconds=60"]),
                  (study, [config, "--partition=long"]),
                  (study, [config, "--engine=slrm"])])
    assert_one_line(ended[0], "save_seconds: 60 is not less than the time limit, time_minutes=1")
    assert_one_line(ended[1], ("there is no field 'partition' here", "max_parallel"))
    assert_one_line(ended[2], ("unknown engine 'slrm'", "Did you mean 'slurm'"))


def test_what_sbatch_refuses_is_one_line_and_nothing_is_watched(stand_ins, cells):
    (stand_ins / "refusal.txt").write_text("sbatch: error: invalid partition specified: x\nsbatch: error: Batch job "
                                           "submission failed: Invalid partition name specified\n")
    with Slurm(partition="x").crew() as crew:
        with pytest.raises(UserError, match="^sbatch refuses: invalid partition specified: x; Batch job sub[^\n]*$"):
            crew.start(cells, [])
        assert crew.room() == Slurm().max_jobs
        (stand_ins / "refusal.txt").unlink()
        assert len(crew.start(cells, [])) == 3
    assert count(stand_ins / "submitted") == 1


def test_a_job_that_waits_or_runs_is_adopted_and_one_that_ended_is_not(stand_ins, cells, capsys):
    for index, cell in enumerate(cells):
        write_json_atomic(cell / "slurm.json", {"name": "old", "index": index})
    queue_says(stand_ins, old_0="RUNNING", old_1="CANCELLED", old_2="PENDING")
    with Slurm().crew() as crew:
        jobs = crew.start(cells, [])
        assert [job.exit_code() for job in jobs] == [None] * 3
    assert count(stand_ins / "submitted") == 1
    places = [slurm.place_of(cell) for cell in cells]
    assert places[0] == ("old", 0) and places[2] == ("old", 2)
    assert places[1].name.startswith("my_study-") and places[1].index == 0
    out = capsys.readouterr().out
    assert "Slurm has 2 of the cells already" in out
    assert f"3 cells stay with Slurm, waiting or running; the same command goes on watching them; to cancel them: " \
           f"scancel --name={places[1].name},old" in out


def test_which_job_has_a_cell_is_written_before_it_is_submitted(stand_ins, cells, monkeypatch):
    """So a runner that is killed in between finds the job, or knows that there is none."""
    import submitit

    seen = []
    monkeypatch.setattr(submitit.SlurmExecutor, "submit_array",
                        lambda self, jobs: seen.extend((slurm.place_of(job.cell), job.place) for job in jobs))
    with Slurm().crew() as crew:
        crew.start(cells, [])
    assert len(seen) == 3 and all(written == given for written, given in seen)
    assert [place.index for place, _ in seen] == [0, 1, 2]


def test_only_the_job_that_the_cell_names_runs_it(cells):
    write_json_atomic(cells[0] / "slurm.json", {"name": "new", "index": 0})
    assert slurm.CellJob(cells[0], Place("old", 0))() == "another job has this cell"
    assert not (cells[0] / "cell.log").exists()


def test_how_a_job_ended(stand_ins, cells, monkeypatch):
    monkeypatch.setattr(slurm, "_PAUSE", 0.0)
    with Slurm().crew() as crew:
        jobs = crew.start(cells, [])
        name = slurm.place_of(cells[0]).name
        assert [job.exit_code() for job in jobs] == [None] * 3
        queue_says(stand_ins, **{f"{name}_0": "RUNNING", f"{name}_1": "OUT_OF_MEMORY", f"{name}_2": "COMPLETED"})
        write_json_atomic(cells[2] / "result.json", {})
        assert [job.exit_code() for job in jobs] == [None, 1, 0]
        assert f"job {name}, index 1: OUT_OF_MEMORY; its own log is in" in (cells[1] / "cell.log").read_text()
        (stand_ins / "down").touch()
        assert jobs[0].exit_code() is None, "a controller that does not answer is no news"
        (stand_ins / "down").unlink()
        queue_says(stand_ins)  # long ended; its result may be on its way through a network file system
        assert jobs[0].exit_code() is None
        monkeypatch.setattr(slurm, "_DELAY", 0.0)
        assert jobs[0].exit_code() == 1


def test_slurm_is_not_asked_more_often_than_every_few_seconds(stand_ins, cells):
    with Slurm().crew() as crew:
        jobs = crew.start(cells, [])
        before = count(stand_ins / "looks")
        for _ in range(100):
            assert [job.exit_code() for job in jobs] == [None] * 3
    assert count(stand_ins / "looks") <= before + 1


def test_cells_that_wait_have_no_log_yet_and_of_many_the_first_are_shown(cells, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")
    progress = StudyProgress({cell: f"cell {number}" for number, cell in enumerate(cells)}, 0)
    (cells[1] / "cell.log").write_text("cell 1 step 5/24  loss 3.2\n")
    progress.running(cells)
    assert re.search(r"cell 0: waiting +│ cell 1 step 5/24  loss 3.2 +\x1b", capsys.readouterr().out)


# --- on a real cluster -------------------------------------------------------------------------------------------

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
        """Begin it, so that it hears of Ctrl-C: what runs in the background inherits that it is ignored."""
        return start([*self.command, *flags], preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL))

    def cell(self, arm, seed=0):
        return self.workdir / "cells" / arm / f"seed_{seed}"

    @property
    def cells(self):
        return [path.parent for path in sorted(self.workdir.glob("cells/*/*/cell.json"))]


def text_of(path):
    return path.read_text(errors="replace") if path.exists() else ""


def wait_until(condition, what, seconds=120):
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
    subprocess.run(command, check=True, capture_output=True, timeout=30)


@pytest.mark.slow
def test_four_cells_in_one_array_all_end_with_a_result(cluster, tmp_path):
    study = Study(tmp_path, PLAIN + FAST, seeds=2)
    ended = finish(study.start("--array_parallelism=2"), timeout=300)
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


@pytest.mark.slow
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
    ended = finish(runner, timeout=300)
    assert ended.returncode == 0, ended.stderr + ended.stdout
    assert "tried again" not in ended.stdout and not (cell / "failed.json").exists()
    assert starts(cell) == 4 and starts(study.cell("plain")) == 1
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(cell / "cell.json", alone)
    assert finish(start(["-m", "experiments.cell", f"--workdir={alone}"])).returncode == 0
    assert_same_run(cell, alone)


@pytest.mark.slow
def test_a_failing_cell_is_retried_and_named_and_a_cancelled_one_is_retried(cluster, tmp_path):
    study = Study(tmp_path, PLAIN + BROKEN, **LONG)
    runner, cell = study.start("--retries=1"), study.cell("plain")
    wait_until(lambda: last_step(cell) > 0, "the first step")
    first = slurm.place_of(cell)
    slurm_does("scancel", job_id(cell))
    ended = finish(runner, timeout=300)
    assert ended.returncode == 1, ended.stderr
    assert re.search(r"plain, seed 0: .*index \d: CANCELLED; .*; it is tried again", ended.stdout)
    assert re.search(r"broken, seed 0: the loss .*; it is tried again", ended.stdout)
    assert re.search(r"broken, seed 0 +FAILED: the loss or its gradient is not finite at step 2", ended.stdout)
    assert read_json(cell / "result.json")["steps"] == LONG["steps"]
    assert starts(cell) == 2 and slurm.place_of(cell) != first
    assert starts(study.cell("broken")) == 2
    assert "resuming at step" in text_of(cell / "cell.log")


@pytest.mark.slow
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
    ended = finish(study.start("--array_parallelism=1"), timeout=300)
    assert ended.returncode == 0, ended.stderr
    assert [slurm.place_of(cell) for cell in study.cells] == places
    assert [starts(cell) for cell in study.cells] == [1, 1]
    assert all(json.loads((cell / "result.json").read_text())["steps"] == LONG["steps"] for cell in study.cells)
